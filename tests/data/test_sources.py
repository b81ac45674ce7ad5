"""FER-2013 on this machine: where it is looked for, in which form, and how it is cached."""

import logging
import os
from pathlib import Path
from unittest.mock import create_autospec

import kagglehub
import numpy as np
import pytest
from faces import make_csv, make_store, make_tree, zip_folder
from filelock import FileLock, Timeout
from mistakes import mistake_of
from PIL import Image

from ferlab.data import pixel_csv, sources
from ferlab.data import tree as tree_module
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.sources import drawn, fer2013, find_root


@pytest.fixture(autouse=True)
def kaggle(tmp_path, monkeypatch):
    """Give each test a cache of its own, and a stand-in for kagglehub's download."""
    monkeypatch.setenv("FERLAB_CACHE", str(tmp_path / "cache"))
    stand_in = create_autospec(kagglehub.dataset_download, side_effect=ConnectionError("offline"))
    monkeypatch.setattr(kagglehub, "dataset_download", stand_in)
    return stand_in


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "fer2013")


@pytest.fixture
def warnings(caplog, monkeypatch):
    """Return a function that tells the warnings so far."""
    monkeypatch.setattr(logging.getLogger("ferlab"), "propagate", True)
    return lambda: [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def save_image(path):
    Image.new("L", (48, 48)).save(path)


# the cache


def count_decodes(monkeypatch):
    decode, calls = tree_module.decode, []
    monkeypatch.setattr(tree_module, "decode", lambda files: calls.append(1) or decode(files))
    return calls


def test_a_warm_cache_decodes_nothing(tree, monkeypatch):
    decodes = count_decodes(monkeypatch)
    first, second = fer2013(str(tree)), fer2013(str(tree))
    assert len(decodes) == 1
    assert isinstance(second.images, np.memmap)
    assert np.array_equal(first.images, second.images)
    assert np.array_equal(first.names, second.names)


def test_the_same_files_in_another_place_need_no_second_decoding(tree, tmp_path, monkeypatch):
    decodes = count_decodes(monkeypatch)
    fer2013(str(tree))
    tree.rename(tmp_path / "moved")
    fer2013(str(tmp_path / "moved"))
    assert len(decodes) == 1


def touch(file):
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def replace_within_the_same_tick(file):
    status = file.stat()
    save_image(file)
    assert file.stat().st_size != status.st_size
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        touch,
        replace_within_the_same_tick,
        lambda file: file.rename(file.with_suffix(".jpeg")),
        lambda file: file.rename(file.parents[1] / "angry" / "Training_99.jpg"),
        lambda file: file.unlink(),
    ],
    ids=["another time", "another size", "another name", "another class", "removed"],
)
def test_a_changed_file_is_decoded_again(tree, monkeypatch, change):
    decodes = count_decodes(monkeypatch)
    before = fer2013(str(tree))
    change(tree / "train" / "happy" / "Training_1.jpg")
    after = fer2013(str(tree))
    assert len(decodes) == 2
    present = {str(path.relative_to(tree)) for path in tree.rglob("*.jp*g")}
    assert set(after.names) == present
    for name, image in zip(after.names, after.images, strict=True):
        with Image.open(tree / name) as original:
            assert np.array_equal(image[0], np.asarray(original))
    assert len(before) == 49


def test_the_cache_lies_in_the_folder_that_is_named(tree, tmp_path):
    fer2013(str(tree), cache=str(tmp_path / "named"))
    assert len(os.listdir(tmp_path / "named")) == 1
    assert not (tmp_path / "cache").exists()


def test_drawn_faces_are_drawn_once_per_size_and_seed(tmp_path, monkeypatch):
    draw, calls = sources.draw_store, []
    monkeypatch.setattr(sources, "draw_store", lambda *key: calls.append(key) or draw(*key))
    first, again = drawn(70, seed=1), drawn(70, seed=1)
    assert np.array_equal(first.images, again.images)
    assert drawn(70, seed=2).digest != first.digest
    assert len(drawn(71, seed=1)) == 71
    assert calls == [(70, 1), (70, 2), (71, 1)]


# where it is looked for


def test_roots_are_searched_in_the_documented_order(tmp_path, monkeypatch, kaggle):
    for name in ("named", "environment", "project/data/fer2013", "kaggle"):
        (tmp_path / name).mkdir(parents=True)
    kaggle.side_effect = lambda handle: str(tmp_path / "kaggle")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("FERLAB_DATA", str(tmp_path / "environment"))

    assert find_root(str(tmp_path / "named")) == tmp_path / "named"
    assert find_root() == tmp_path / "environment"
    monkeypatch.delenv("FERLAB_DATA")
    assert find_root().resolve() == tmp_path / "project/data/fer2013"
    kaggle.assert_not_called()
    monkeypatch.chdir(tmp_path)
    assert find_root() == tmp_path / "kaggle"
    kaggle.assert_called_once_with("msambare/fer2013/versions/1")


def test_a_tilde_stands_for_the_home_folder(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree.parent))
    assert find_root("~/fer2013") == tree


def test_images_come_out_of_kagglehubs_folder(tree, kaggle):
    kaggle.side_effect = lambda handle: str(tree)
    assert len(fer2013()) == 49


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("no route to host\nsecond line\nthird line"),
        ValueError("x" * 5000),
        kagglehub.exceptions.UnauthenticatedError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_without_a_network_one_line_says_what_can_be_done(kaggle, error):
    kaggle.side_effect = error
    line = mistake_of(fer2013)
    assert len(line) < 500
    for way_out in ("data.root=", "kagglehub.login()", "by hand into data/fer2013", "data=drawn"):
        assert way_out in line
    assert type(error).__name__ in line


def test_one_process_downloads_at_a_time(tree, kaggle, tmp_path):
    def download(handle):
        with pytest.raises(Timeout):
            FileLock(tmp_path / "cache/kaggle.lock").acquire(blocking=False)
        return str(tree)

    kaggle.side_effect = download
    assert find_root() == tree


def test_an_interruption_of_the_download_is_no_mistake(kaggle):
    kaggle.side_effect = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        find_root()


@pytest.mark.parametrize("named_by", ["data.root", "FERLAB_DATA"])
def test_a_named_root_that_is_not_there_is_refused(tmp_path, monkeypatch, named_by):
    root = tmp_path / "nowhere"
    (tmp_path / "data/fer2013").mkdir(parents=True)  # not taken instead
    if named_by == "data.root":
        line = mistake_of(fer2013, str(root))
    else:
        monkeypatch.setenv("FERLAB_DATA", str(root))
        line = mistake_of(fer2013)
    assert f"{named_by}={root} does not exist" in line


def test_a_path_object_is_a_root_too(tree):
    assert find_root(Path(tree)) == tree


# in which form it comes


@pytest.fixture
def forms(tmp_path, tree):
    """The same pixels in all five forms."""
    store = fer2013(str(tree))
    return {
        "tree": tree,
        "zip": zip_folder(tree, tmp_path / "archive.zip"),
        "zip with a folder in it": zip_folder(tree, tmp_path / "archive2.zip", "fer2013/"),
        **{
            name: make_csv(tmp_path / "csv" / name, store, name)
            for name in ("fer2013.csv", "icml_face_data.csv", "train.csv")
        },
    }


def assert_same(store, other):
    assert store.digest == other.digest
    for column in ("images", "labels", "splits", "hashes"):
        assert np.array_equal(getattr(store, column), getattr(other, column)), column


@pytest.mark.parametrize(
    "form", ["zip", "zip with a folder in it", "fer2013.csv", "icml_face_data.csv"]
)
def test_the_same_pixels_give_the_same_store_in_every_form(forms, form):
    assert_same(fer2013(str(forms[form])), fer2013(str(forms["tree"])))


def test_the_challenges_file_holds_the_training_images_alone(forms, tree):
    store, whole = fer2013(str(forms["train.csv"])), fer2013(str(tree))
    training = whole.rows("training")
    assert len(store) == len(training)
    assert np.array_equal(store.images, whole.images[training])
    assert np.array_equal(store.labels, whole.labels[training])


@pytest.mark.parametrize("form", ["zip", "fer2013.csv", "icml_face_data.csv", "train.csv"])
def test_the_same_pixels_are_split_and_batched_alike_in_every_form(forms, form):
    modules = [
        FaceDataModule(lambda root=root: fer2013(str(root)), batch_size=4, val_fraction=0.3)
        for root in (forms["tree"], forms[form])
    ]
    for one, other in zip(*(module.train_dataloader() for module in modules), strict=True):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)


def test_a_folder_may_hold_the_tree_or_a_csv_file(tmp_path, forms):
    outer = tmp_path / "outer"
    outer.mkdir()
    forms["tree"].rename(outer / "inner")
    assert_same(fer2013(str(outer)), fer2013(str(outer / "inner")))
    assert_same(fer2013(str(tmp_path / "csv")), fer2013(str(forms["fer2013.csv"])))


@pytest.mark.parametrize("form", ["zip", "fer2013.csv"])
def test_a_file_is_decoded_once(forms, form, monkeypatch):
    first = fer2013(str(forms[form]))
    monkeypatch.setattr(tree_module, "decode", create_autospec(tree_module.decode))
    monkeypatch.setattr(pixel_csv, "read_csv", create_autospec(pixel_csv.read_csv))
    assert_same(fer2013(str(forms[form])), first)


@pytest.mark.parametrize("form", ["zip", "fer2013.csv"])
def test_a_file_that_changed_is_decoded_again(forms, tmp_path, form, tree):
    fer2013(str(forms[form]))
    other = make_store(3, seed=9)
    if form == "zip":
        save_image(tree / "train" / "happy" / "Training_0.jpg")
        zip_folder(tree, forms[form])
    else:
        make_csv(forms[form], other)
    store = fer2013(str(forms[form]))
    assert store.digest == (fer2013(str(tree)) if form == "zip" else other).digest


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "fer2013.tar.gz").write_bytes(b"")
    assert "neither a folder nor a .zip or .csv" in mistake_of(
        fer2013, str(tmp_path / "fer2013.tar.gz")
    )


def test_what_is_missing_of_fer2013_is_told(forms, warnings):
    fer2013(str(forms["train.csv"]))
    said = warnings()
    assert any("21 training images, FER-2013 has 28,709 (angry 3 of 3,995" in line for line in said)
    assert any("no public images; FER-2013 has 3,589" in line for line in said)
    assert any("no private images; FER-2013 has 3,589" in line for line in said)
