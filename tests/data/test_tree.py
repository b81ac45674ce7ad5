"""A tree of image files, on disk and in a zip: how it is read, what is said if it is wrong."""

import errno
import logging
import os
import re
import shutil
import stat
import struct
import zipfile

import numpy as np
import pytest
from faces import make_tree, zip_folder
from mistakes import mistake_of
from PIL import Image

from ferlab.data.listing import list_folder
from ferlab.data.sources import fer2013
from ferlab.data.store import SPLITS
from ferlab.data.tree import OTHER_NAMES, decode, find_classes, fingerprint
from ferlab.emotions import EMOTIONS


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Give each test a cache of its own."""
    monkeypatch.setenv("FERLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "fer2013")


@pytest.fixture
def warnings(caplog, monkeypatch):
    """Return a function that tells the warnings so far, less those of the data set's size."""
    monkeypatch.setattr(logging.getLogger("ferlab"), "propagate", True)

    def lines():
        said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        return [line for line in said if "FER-2013 has" not in line]

    return lines


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
    save_image(tree / "train" / "fear" / "face.png")
    store = fer2013(str(tree))
    split_of = {name: SPLITS[code] for name, code in zip(store.names, store.splits, strict=True)}
    assert split_of["train/sad/Training_2.jpg"] == "training"
    assert split_of["test/sad/PublicTest_1.jpg"] == "public"
    assert split_of["test/sad/PrivateTest_1.jpg"] == "private"
    assert split_of["test/fear/0017.png"] == "test"
    assert split_of["test/fear/publictest_1.jpg"] == "test"
    assert split_of["train/fear/face.png"] == "training"
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
    "two names of one class": (
        lambda tree: shutil.copytree(tree / "train/angry", tree / "train/anger"),
        "train/angry",
        "are one class, angry",
    ),
    "classes by number": (
        lambda tree: (tree / "train/sad").rename(tree / "train/4"),
        "train/4",
        "either of two class orders",
    ),
    "a test image in train": (
        lambda tree: shutil.copy(tree / "test/sad/PublicTest_0.jpg", tree / "train/sad"),
        "train/sad/PublicTest_0.jpg",
        "one of the public images, which do not belong in train/",
    ),
    "a training image in test": (
        lambda tree: shutil.copy(tree / IMAGE, tree / "test/sad"),
        "test/sad/Training_1.jpg",
        "one of the training images, which do not belong in test/",
    ),
    "a link to itself": (
        lambda tree: (tree / "train/sad/loop.jpg").symlink_to("loop.jpg"),
        "train/sad/loop.jpg",
        "Too many levels",
    ),
    "a film": (
        lambda tree: (tree / IMAGE).write_bytes(b"\0" * (1 << 21)),
        IMAGE,
        "has 2,097,152 bytes",
    ),
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
    classes = find_classes(list_folder(tree))
    assert fingerprint(classes)
    (tree / IMAGE).unlink()
    line = mistake_of(decode, classes)
    assert str(tree / IMAGE) in line
    assert os.strerror(errno.ENOENT) in line


# other names


def test_classes_by_other_names_are_recognised_and_told(tree, warnings):
    before = fer2013(str(tree))
    for other, emotion in OTHER_NAMES.items():
        (tree / "train" / emotion).rename(tree / "train" / other.title())
    after = fer2013(str(tree))
    assert after.digest == before.digest
    assert list(after.names) == list(before.names)
    (line,) = warnings()
    for other, emotion in OTHER_NAMES.items():
        assert f"{other.title()} = {emotion}" in line


# in a zip


def pack(tree, tmp_path):
    return zip_folder(tree, tmp_path / "fer2013.zip")


def add(name, content=b"", mode=0, method=zipfile.ZIP_DEFLATED):
    """Return what adds an entry to an archive."""

    def change(path):
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(info, content, method)

    return change


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_data(path):
    """Change a byte of the first entry's packed data."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[0]
    name_length, extra_length = struct.unpack_from("<HH", content, info.header_offset + 26)
    content[info.header_offset + 30 + name_length + extra_length + info.compress_size // 2] ^= 0xFF
    path.write_bytes(content)


def damage_lzma(path):
    """Add an entry that is packed by LZMA, its data damaged."""
    add("train/angry/x.jpg", b"hello" * 9, method=zipfile.ZIP_LZMA)(path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("train/angry/x.jpg")
    start = info.header_offset + 30 + len(info.filename)
    content[start + 4 : start + info.compress_size] = b"\xff" * (info.compress_size - 4)
    path.write_bytes(content)


def set_in_directory(offset, value):
    """Return what overwrites two bytes of the first file's entry in the central directory."""

    def change(path):
        content = bytearray(path.read_bytes())
        struct.pack_into("<H", content, content.index(b"PK\x01\x02") + offset, value)
        path.write_bytes(content)

    return change


POSTSCRIPT = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 48 48
%ImageData: 48 48 8 1 1 48 1 "image"
%%EndComments
(made) (w) file closefile
%%EOF
"""

HOSTILE = {
    "no name": (add("."), "has no name"),
    "climbs out": (add("../evil.jpg"), "leads out of the archive"),
    "climbs out further in": (add("train/angry/../../../evil.jpg"), "leads out of the archive"),
    "absolute": (add("/etc/evil.jpg"), "leads out of the archive"),
    "backslashes": (add("train\\angry\\evil.jpg"), "leads out of the archive"),
    "symbolic link": (add("train/angry/x.jpg", b"/etc/passwd", stat.S_IFLNK | 0o777), "symbolic"),
    "twice": (add("train/angry/Training_0.jpg", b"other"), "is there twice"),
    "in a file": (add("train/angry/Training_0.jpg/x.jpg"), "lies in a file"),
    "bomb": (add("train/angry/bomb.jpg", b"\0" * (1 << 24)), "16,777,216 bytes"),
    "encrypted": (set_in_directory(8, 1), "is encrypted"),
    "unknown compression": (set_in_directory(10, 99), "cannot be unpacked"),
    "cut off": (cut, "not a whole zip archive"),
    "empty file": (lambda path: path.write_bytes(b""), "not a whole zip archive"),
    "damaged data": (damage_data, "cannot be unpacked"),
    "damaged data packed by LZMA": (damage_lzma, "cannot be unpacked"),
    "no image": (add("train/angry/x.jpg", b"hello"), "cannot be decoded"),
    "a program": (add("train/angry/x.jpg", POSTSCRIPT), "cannot be decoded (no image)"),
    "unknown class": (add("train/contempt/x.jpg", b"hello"), "is not one of the classes"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("change", "said"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_ends_in_one_line_and_writes_nothing(tree, tmp_path, cache, change, said):
    path = pack(tree, tmp_path)
    change(path)
    before = sorted(tmp_path.rglob("*"))
    line = mistake_of(fer2013, str(path))
    assert str(path) in line
    assert said in line
    assert [found for found in sorted(tmp_path.rglob("*")) if found not in before + [cache]] == []


def test_an_entry_that_pretends_to_be_small_is_not_unpacked_whole(tree, tmp_path):
    path = pack(tree, tmp_path)
    size = 19_088_743  # bytes that occur nowhere else in the archive
    add("train/angry/bomb.jpg", b"\0" * size)(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", size), struct.pack("<I", 2000)))
    assert "bomb.jpg cannot be unpacked" in mistake_of(fer2013, str(path))


def test_a_link_to_a_folder_above_is_not_followed(tree, warnings):
    (tree / "train" / "sad" / "more").symlink_to(tree)
    assert len(fer2013(str(tree))) == 49
    (line,) = warnings()
    assert str(tree / "train/sad/more") in line


def test_droppings_in_an_archive_pass_silently(tree, tmp_path, warnings):
    path = pack(tree, tmp_path)
    for name in ("__MACOSX/train/angry/._x.jpg", "train/angry/.DS_Store", "train/angry/Thumbs.db"):
        add(name, b"not an image")(path)
    assert len(fer2013(str(path))) == 49
    assert warnings() == []
