"""`ferlab explore`: one page, its pictures, and the audit's numbers."""

import json
from pathlib import Path

import pytest
from faces import make_csv, make_store
from PIL import Image

from ferlab.cli import main
from ferlab.data.audit import Audit
from ferlab.emotions import EMOTIONS

PICTURES = {
    "distribution.png",
    "split.png",
    "plan.png",
    "transforms.png",
    "transformed.png",
    *(f"faces_{emotion}.png" for emotion in EMOTIONS),
}


@pytest.fixture
def store():
    return make_store(9, twins=4)


def explore(store, *overrides):
    make_csv(Path("fer2013.csv"), store)
    source = [] if "data=drawn" in overrides else ["data.root=fer2013.csv"]
    return main(["explore", *source, "hydra.run.dir=out", *overrides])


def test_a_page_with_its_pictures_and_numbers_is_written(store):
    assert explore(store) == 0
    assert {path.name for path in Path("out").glob("*.png")} == PICTURES | {
        "contradicting.png",
        "leaked.png",
    }
    for path in Path("out").glob("*.png"):
        with Image.open(path) as image:
            image.load()
    html = Path("out/index.html").read_text()
    assert html.count("data:image/png;base64,") == len(PICTURES) + 2
    assert "189 images" in html
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics == {**Audit(store).summary(), "images/added": 6600}
    assert {"config.yaml", "environment.json", "explore.log"} <= {
        path.name for path in Path("out").iterdir()
    }


@pytest.mark.parametrize(("data", "compared"), [("fer2013", True), ("drawn", False)])
def test_only_fer2013_lacks_what_fer2013_has(store, data, compared):
    assert explore(store, *{"drawn": ["data=drawn", "data.size=140"]}.get(data, [])) == 0
    assert ("FER-2013 has 28,709" in Path("out/index.html").read_text()) is compared


def test_a_training_image_with_a_twin_in_the_test_images_alone_is_not_called_repeated():
    store = make_store(9)
    store.images[store.rows("public")[0]] = store.images[store.rows("training")[0]]
    assert explore(store) == 0
    assert Path("out/leaked.png").exists()
    assert not Path("out/repeated.png").exists()


def test_a_finished_page_is_not_made_again(store, capfd):
    explore(store)
    before = Path("out/index.html").stat().st_mtime_ns
    assert explore(store) == 0
    assert Path("out/index.html").stat().st_mtime_ns == before
    out = capfd.readouterr().out
    assert "finished before, nothing to do" in out
    assert "out/index.html" in out
    assert explore(store, "seed=1") == 1
    assert "seed (0 there, 1 now)" in capfd.readouterr().err


def test_the_page_tells_what_the_plan_does(store):
    extra = "augment.extra={disgust: 5, surprise: 6, angry: 7, fear: 8}"
    explore(store, extra, "augment.mixup=0.2", "augment.refine=0.125")
    html = Path("out/index.html").read_text()
    assert "adds 26 images to 56, so an epoch has 82" in html
    assert "the added images alone, the same in each epoch" in html
    assert "Mixup blends each image with another, alpha 0.2." in html
    assert "In the last 12.5 % of the epochs there is no mixup, and no transform" in html


def test_without_augmentation_no_transform_is_shown(store):
    assert explore(store, "augment=none") == 0
    assert not Path("out/transforms.png").exists()


@pytest.mark.parametrize(
    ("override", "said"),
    [("faces=0", "faces must be an integer >= 1"), ("data.twins=drop", "data.twins must be one")],
)
def test_a_mistake_leaves_no_folder(store, capfd, override, said):
    assert explore(store, override) == 1
    err = capfd.readouterr().err
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not Path("out").exists()


def test_data_that_cannot_be_split_leave_no_folder(capfd):
    assert explore(make_store(1)) == 1
    assert "at least 2" in capfd.readouterr().err
    assert not Path("out").exists()


def test_the_page_says_where_nothing_validates(store):
    assert explore(store, "data.val_fraction=0") == 0
    assert "All training images train; none validates." in Path("out/index.html").read_text()
    assert not Path("out/split.png").exists()


def test_a_finished_page_is_of_no_other_data(store, capfd):
    explore(store)
    assert explore(make_store(9, seed=1)) == 1
    assert "out was begun with other data" in capfd.readouterr().err
