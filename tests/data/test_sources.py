"""FER-2013 on this machine: where it is looked for, how it is read, what is said if it is wrong."""

import errno
import logging
import os
import re
import shutil
from pathlib import Path
from unittest.mock import create_autospec

import kagglehub
import numpy as np
import pytest
from faces import make_tree
from PIL import Image

from ferlab.checks import FerlabError
from ferlab.data import sources
from ferlab.data.sources import drawn, fer2013, find_root
from ferlab.data.store import SPLITS
from ferlab.emotions import EMOTIONS


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


def mistake_of(call, *arguments):
    """Return the one line that the call fails with."""
    with pytest.raises(FerlabError) as caught:
        call(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def save_image(path, side=(48, 48), mode="L", **options):
    Image.new(mode, side).save(path, **options)


# reading


def test_pixels_are_those_that_pillow_decodes(tree):
    store = fer2013(str(tree))
    assert len(store) == 7 * (3 + 2 + 2)
    for name, image in zip(store.names, store.images, strict=True):
        with Image.open(tree / name) as original:
            assert np.array_equal(image[0], np.asarray(original))


def test_more_images_than_one_chunk_keep_to_their_names(tmp_path):
    store = fer2013(str(make_tree(tmp_path / "large", train=40, test=1)))
    assert len(store) == 7 * 42
    for row in range(0, len(store), 29):
        with Image.open(tmp_path / "large" / store.names[row]) as original:
            assert np.array_equal(store.images[row, 0], np.asarray(original))


def test_labels_are_those_of_the_folders(tree):
    store = fer2013(str(tree))
    folders = [name.split("/")[1] for name in store.names]
    assert [EMOTIONS[label] for label in store.labels] == folders


def test_splits_are_those_of_the_file_names(tree):
    save_image(tree / "test" / "fear" / "0017.png")
    save_image(tree / "test" / "fear" / "publictest_1.jpg")  # not as Kaggle writes it
    shutil.copy(tree / "test/fear/PublicTest_0.jpg", tree / "train/fear/PublicTest_0.jpg")
    store = fer2013(str(tree))
    split_of = {name: SPLITS[code] for name, code in zip(store.names, store.splits, strict=True)}
    assert split_of["train/sad/Training_2.jpg"] == "training"
    assert split_of["test/sad/PublicTest_1.jpg"] == "public"
    assert split_of["test/sad/PrivateTest_1.jpg"] == "private"
    assert split_of["test/fear/0017.png"] == "test"
    assert split_of["test/fear/publictest_1.jpg"] == "test"
    assert split_of["train/fear/PublicTest_0.jpg"] == "training"
    counts = {split: len(store.rows(split)) for split in SPLITS}
    assert counts == {"training": 22, "public": 14, "private": 14, "test": 2}


def test_png_and_upper_case_suffixes_are_read_too(tree):
    for name in ("a.png", "b.PNG", "c.JPG", "d.jpeg"):
        save_image(tree / "train" / "happy" / name)
    assert len(fer2013(str(tree))) == 49 + 4


def test_a_class_without_test_images_is_no_mistake(tree):
    for file in (tree / "test" / "disgust").iterdir():
        file.unlink()
    assert len(fer2013(str(tree))) == 49 - 4


# the cache


def count_decodes(monkeypatch):
    decode, calls = sources._decode, []
    monkeypatch.setattr(sources, "_decode", lambda files: calls.append(1) or decode(files))
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


def test_an_interruption_of_the_download_is_no_mistake(kaggle):
    kaggle.side_effect = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        find_root()


@pytest.mark.parametrize("as_file", [False, True], ids=["missing", "a file"])
@pytest.mark.parametrize("named_by", ["data.root", "FERLAB_DATA"])
def test_a_named_root_that_is_no_folder_is_refused(tmp_path, monkeypatch, named_by, as_file):
    root = tmp_path / "nowhere"
    if as_file:
        root.touch()
    (tmp_path / "data/fer2013").mkdir(parents=True)  # not taken instead
    if named_by == "data.root":
        line = mistake_of(fer2013, str(root))
    else:
        monkeypatch.setenv("FERLAB_DATA", str(root))
        line = mistake_of(fer2013)
    assert f"{named_by}={root}" in line
    assert ("is not a folder" if as_file else "does not exist") in line


# what is passed over


@pytest.mark.parametrize(
    "name", [".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.jpg", "._Training_0.jpg", ".git/"]
)
@pytest.mark.parametrize("folder", ["", "train", "test", "train/happy", "test/sad"])
def test_droppings_and_hidden_files_pass_silently(tree, warnings, folder, name):
    path = tree / folder / name
    path.mkdir() if name.endswith("/") else path.write_bytes(b"not an image")
    assert len(fer2013(str(tree))) == 49
    assert warnings() == []


@pytest.mark.parametrize("name", ["train/README.md", "test/sad/notes.txt", "train/happy/more/"])
def test_a_stray_file_is_named_in_a_warning_and_harmless(tree, warnings, name):
    path = tree / name
    path.mkdir() if name.endswith("/") else path.write_text("stray")
    assert len(fer2013(str(tree))) == 49
    (line,) = warnings()
    assert str(path) in line


# what is wrong with the images


def empty_class(tree):
    for file in (tree / "train" / "sad").iterdir():
        file.unlink()


def truncate(tree):
    file = tree / "train" / "sad" / "Training_1.jpg"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


IMAGE = "train/sad/Training_1.jpg"
MISTAKES = {
    "empty root": (lambda tree: [shutil.rmtree(part) for part in tree.iterdir()], "", "nothing"),
    "no train": (lambda tree: shutil.rmtree(tree / "train"), "", "no folder train/"),
    "no test": (lambda tree: shutil.rmtree(tree / "test"), "", "no folder test/"),
    "a level too high": (lambda tree: (tree / "train").rename(tree / "Train"), "", "holds Train"),
    "no class": (lambda tree: shutil.rmtree(tree / "train/disgust"), "train", "disgust"),
    "no test class": (lambda tree: shutil.rmtree(tree / "test/fear"), "test", "folder fear;"),
    "misspelt class": (
        lambda tree: (tree / "train/surprise").rename(tree / "train/suprise"),
        "train/suprise",
        "did you mean 'surprise'?",
    ),
    "eighth class": (lambda tree: (tree / "test/contempt").mkdir(), "test/contempt", "remove it"),
    "empty class": (empty_class, "train/sad", "holds no image"),
    "truncated": (truncate, IMAGE, "cannot be decoded"),
    "empty file": (lambda tree: (tree / IMAGE).write_bytes(b""), IMAGE, "cannot be decoded"),
    "text": (lambda tree: (tree / IMAGE).write_text("hello"), IMAGE, "cannot be decoded"),
    "50×50": (lambda tree: save_image(tree / IMAGE, (50, 50)), IMAGE, "50×50 pixels"),
    "47×48": (lambda tree: save_image(tree / IMAGE, (47, 48)), IMAGE, "47×48 pixels"),
    "48×47": (lambda tree: save_image(tree / IMAGE, (48, 47)), IMAGE, "48×47 pixels"),
    "colour": (lambda tree: save_image(tree / IMAGE, mode="RGB"), IMAGE, "not 8-bit grey"),
    "palette": (
        lambda tree: save_image(tree / IMAGE, mode="P", format="PNG"),
        IMAGE,
        "not 8-bit grey",
    ),
}


@pytest.mark.parametrize(("damage", "named", "said"), MISTAKES.values(), ids=MISTAKES)
def test_wrong_data_end_in_one_line_that_names_the_place(tree, tmp_path, damage, named, said):
    damage(tree)
    line = mistake_of(fer2013, str(tree))
    assert re.search(re.escape(str(tree / named)) + r"\b", line)
    assert said in line
    assert not (tmp_path / "cache").exists() or os.listdir(tmp_path / "cache") == []


def test_a_file_that_goes_away_while_decoding_is_named(tree):
    files = list(sources._scan(tree))
    (tree / IMAGE).unlink()
    line = mistake_of(sources._decode, files)
    assert str(tree / IMAGE) in line
    assert os.strerror(errno.ENOENT) in line


def test_a_path_object_is_a_root_too(tree):
    assert find_root(Path(tree)) == tree
