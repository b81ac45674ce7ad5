"""The store: one order whatever the input's, and a cache that is whole or built again."""

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from faces import make_store
from mistakes import mistake_of

from ferlab.checks import FerlabError
from ferlab.data import store as store_module
from ferlab.data.store import SPLITS, ImageStore, cache_folder, cached

COLUMNS = ("images", "labels", "splits", "names", "hashes")


def copy_of(store, order=slice(None), **changed):
    columns = {name: getattr(store, name)[order].copy() for name in COLUMNS if name != "hashes"}
    return ImageStore.from_arrays(**{**columns, **changed})


def assert_equal(store, other):
    for column in COLUMNS:
        assert np.array_equal(getattr(store, column), getattr(other, column)), column


def must_not_build():
    raise AssertionError("a whole cache was built again")


def test_order_follows_from_the_content_not_from_the_input():
    store = make_store(5)
    images = store.images.copy()
    images[1:4] = images[0]  # twins of one class and split: their names decide
    store = copy_of(store, images=images)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(store))
        assert_equal(copy_of(store, order), store)


def test_order_is_split_then_label_then_pixel_hash():
    store = make_store(4, twins=6)
    keys = list(zip(store.splits, store.labels, store.hashes, store.names, strict=True))
    assert keys == sorted(keys)


def test_every_column_keeps_to_its_image():
    images = np.zeros((3, 1, 48, 48), dtype=np.uint8)
    images[:, 0, 0, 0] = [10, 20, 30]
    store = ImageStore.from_arrays(
        images,
        labels=np.array([6, 0, 3]),
        splits=np.array([2, 0, 1], dtype=np.uint8),
        names=np.array(["ten", "twenty", "thirty"]),
    )
    assert store.images[:, 0, 0, 0].tolist() == [20, 30, 10]
    assert store.labels.tolist() == [0, 3, 6]
    assert store.splits.tolist() == [0, 1, 2]
    assert store.names.tolist() == ["twenty", "thirty", "ten"]


def test_hashes_are_equal_for_identical_pixels_only():
    store = make_store(3, twins=5)
    _, counts = np.unique(store.hashes, return_counts=True)
    assert sorted(counts) == [1] * (len(store) - 10) + [2] * 5
    twin = np.flatnonzero(store.hashes == store.hashes[0])
    assert np.array_equal(store.images[twin[0]], store.images[twin[1]])


def test_rows_and_counts_are_those_of_the_splits():
    store = make_store((1, 2, 3, 4, 5, 6, 7), splits=("training", "test"))
    assert store.rows("training").tolist() == list(range(28))
    assert store.rows("test").tolist() == list(range(28, 56))
    assert store.rows("private").tolist() == []
    assert store.rows("training", "test").tolist() == list(range(56))
    assert store.class_counts(store.rows("test")).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert store.class_counts(np.array([0, 1, 2])).tolist() == [1, 2, 0, 0, 0, 0, 0]


def test_equal_content_has_an_equal_digest_whatever_its_names_and_order():
    store = make_store(3)
    backwards = copy_of(store, slice(None, None, -1))
    renamed = copy_of(store, names=np.array([f"elsewhere/{name}" for name in store.names]))
    assert backwards.digest == renamed.digest == store.digest


def test_one_changed_pixel_changes_the_digest():
    store = make_store(3)
    images = store.images.copy()
    images[30, 0, 20, 20] ^= 1
    assert copy_of(store, images=images).digest != store.digest


def test_the_same_pixels_under_another_label_or_split_have_another_digest():
    angry, disgust = make_store((3, 0, 0, 0, 0, 0, 0)), make_store((0, 3, 0, 0, 0, 0, 0))
    public, private = (make_store(3, splits=("training", split)) for split in ("public", "private"))
    for store, other in ((angry, disgust), (public, private)):
        assert np.array_equal(store.images, other.images)
        assert store.digest != other.digest


def test_a_saved_store_loads_as_it_was_with_its_images_memory_mapped(tmp_path):
    store = make_store(3, twins=2)
    store.save(tmp_path / "store")
    loaded = ImageStore.load(tmp_path / "store")
    assert_equal(loaded, store)
    assert loaded.digest == store.digest
    assert isinstance(loaded.images, np.memmap)
    assert all(getattr(loaded, column).dtype == getattr(store, column).dtype for column in COLUMNS)


def test_writing_into_loaded_images_leaves_the_file_alone(tmp_path):
    store = make_store(2)
    store.save(tmp_path / "store")
    loaded = ImageStore.load(tmp_path / "store")
    loaded.images[:] = 0
    loaded.images.flush()
    assert_equal(ImageStore.load(tmp_path / "store"), store)


def truncate(column, size=None):
    def damage(folder):
        path = folder / f"{column}.npy"
        os.truncate(path, path.stat().st_size - 1 if size is None else size)

    return damage


def change_manifest(**changed):
    def damage(folder):
        manifest = json.loads((folder / "store.json").read_text())
        (folder / "store.json").write_text(json.dumps(manifest | changed))

    return damage


DAMAGES = {
    **{f"{column} one byte short": truncate(column) for column in COLUMNS},
    "images cut in the header": truncate("images", 20),
    "column empty": truncate("splits", 0),
    "column missing": lambda folder: (folder / "hashes.npy").unlink(),
    "column of another length": lambda folder: np.save(folder / "labels.npy", np.arange(3)),
    "manifest missing": lambda folder: (folder / "store.json").unlink(),
    "manifest empty": lambda folder: (folder / "store.json").write_text(""),
    "manifest not an object": lambda folder: (folder / "store.json").write_text("[]"),
    "another format": change_manifest(format=store_module.FORMAT + 1),
    "other classes": change_manifest(classes=["joy"]),
    "another number of images": change_manifest(images=3),
    "folder empty": lambda folder: [path.unlink() for path in folder.iterdir()],
    "folder missing": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cache_is_refused_by_load_and_built_again_by_cached(tmp_path, damage):
    store, folder = make_store(2), tmp_path / "store"
    store.save(folder)
    damage(folder)
    with pytest.raises(FerlabError, match="is not a complete image store") as caught:
        ImageStore.load(folder)
    assert str(folder) in str(caught.value)

    assert_equal(cached(folder, lambda: store), store)
    assert_equal(ImageStore.load(folder), store)
    assert os.listdir(tmp_path) == ["store"]


def test_a_whole_cache_is_not_built_again(tmp_path):
    store = cached(tmp_path / "store", lambda: make_store(2))
    assert_equal(cached(tmp_path / "store", must_not_build), store)


def test_a_missing_cache_folder_is_made_with_its_parents(tmp_path):
    folder = tmp_path / "some" / "where" / "store"
    assert_equal(cached(folder, lambda: make_store(2)), make_store(2))


@pytest.mark.parametrize("damaged", [False, True])
def test_two_that_build_the_same_cache_at_once_both_get_it_whole(tmp_path, damaged):
    folder, store, both_are_building = tmp_path / "store", make_store(3), threading.Barrier(2)

    def build():
        both_are_building.wait(timeout=30)
        return store

    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            if damaged:
                store.save(folder)
                (folder / "store.json").write_text("{}")
            for got in pool.map(lambda _: cached(folder, build), range(2)):
                assert_equal(got, store)
            assert os.listdir(tmp_path) == ["store"]
            shutil.rmtree(folder)


def test_a_failing_build_leaves_nothing_behind(tmp_path):
    def build():
        raise FerlabError("no images")

    with pytest.raises(FerlabError, match="no images"):
        cached(tmp_path / "cache" / "store", build)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("column", COLUMNS)
def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path, monkeypatch, column):
    save = np.save

    def save_until_full(path, array, **options):
        if path.stem == column:
            path.write_bytes(b"half")
            raise OSError("no space left on device")
        save(path, array, **options)

    monkeypatch.setattr(np, "save", save_until_full)
    with pytest.raises(
        FerlabError, match=r"cannot be kept in .*no space left.*set data\.cache elsewhere"
    ):
        cached(tmp_path / "store", lambda: make_store(2))
    assert os.listdir(tmp_path) == []


def test_the_cache_lies_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("FERLAB_CACHE", "/chosen")
    assert cache_folder() == Path("/chosen")
    monkeypatch.delenv("FERLAB_CACHE")
    assert cache_folder() == Path("/xdg/ferlab")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/me/.cache/ferlab")


def test_a_user_without_a_home_is_told_to_name_a_cache(monkeypatch):
    for name in ("FERLAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", Mock(side_effect=RuntimeError))
    assert "set the environment variable FERLAB_CACHE" in mistake_of(cache_folder)


def test_split_codes_are_those_that_caches_and_tables_hold():
    assert SPLITS == ("training", "public", "private", "test")


def test_what_a_killed_process_left_there_is_removed_when_it_is_old(tmp_path):
    left, recent = tmp_path / ".partial-left", tmp_path / ".partial-recent"
    for folder in (left, recent):
        folder.mkdir()
        (folder / "images.npy").touch()
    os.utime(left, (0, 0))
    make_store().save(tmp_path / "store")
    assert not left.exists()
    assert recent.exists()
