"""The datamodule: nothing that validates or tests is ever trained on."""

import numpy as np
import pytest
import torch
from faces import make_store
from hypothesis import given
from hypothesis import strategies as st

from ferlab.augment.targeted import TargetedAugmentation
from ferlab.augment.transforms import RandomTransforms
from ferlab.checks import FerlabError
from ferlab.data.datamodule import FaceDataModule, equal_batches
from ferlab.data.store import ImageStore

N = 10  # images per class and split


def module(store=None, **options):
    store = make_store(N) if store is None else store
    return FaceDataModule(lambda: store, **options)


def pixels(batches):
    images = torch.cat([batch.images for batch in batches])
    return [image.tobytes() for image in (images * 255).round().byte().numpy()]


def pixels_at(store, rows):
    return [store.images[row].tobytes() for row in rows]


@pytest.mark.parametrize("twins", [0, 30])
def test_train_and_validation_share_the_training_images_between_them(twins):
    store = make_store(N, splits=("training",), twins=twins)
    data = module(store, val_fraction=0.3)
    train, val = data.rows("train"), data.rows("val")
    assert sorted([*train, *val]) == store.rows("training").tolist()
    assert not set(store.hashes[train]) & set(store.hashes[val])
    if not twins:
        assert store.class_counts(val).tolist() == [3] * 7


def test_no_test_image_is_in_train_or_validation():
    store = make_store(N, splits=("private", "test", "training", "public"))
    data = module(store)
    train, val = data.rows("train"), data.rows("val")
    assert sorted([*train, *val]) == store.rows("training").tolist()
    assert data.rows("test").tolist() == store.rows("public", "private", "test").tolist()
    assert len(data.rows("test")) == 3 * 7 * N


def test_only_train_images_are_trained_on_and_no_copy_of_the_others():
    store = make_store(N)
    augmentation = TargetedAugmentation(RandomTransforms(flip=1.0), {"happy": 34}, apply_to="all")
    data = module(store, augmentation=augmentation, batch_size=4, val_fraction=0.2)
    mirrored = torch.cat([batch.images for batch in data.train_dataloader()]).flip(3)
    trained = {image.tobytes() for image in (mirrored * 255).round().byte().numpy()}
    assert trained <= set(pixels_at(store, data.rows("train")))


def test_without_augmentation_the_train_images_come_as_they_are():
    store = make_store(N)
    data = module(store, batch_size=9, val_fraction=0.1)
    assert sorted(pixels(data.train_dataloader())) == sorted(pixels_at(store, data.rows("train")))


def test_validation_and_chosen_rows_come_in_order():
    store = make_store(N)
    data = module(store, eval_batch_size=3, val_fraction=0.2)
    assert pixels(data.val_dataloader()) == pixels_at(store, data.rows("val"))
    assert pixels(data.batches_of(data.rows("test"))) == pixels_at(store, data.rows("test"))
    assert [len(batch.images) for batch in data.val_dataloader()] == [3, 3, 3, 3, 2]


@given(n_processes=st.integers(1, 9), n_rows=st.integers(9, 3000), size=st.integers(1, 400))
def test_no_process_waits_for_another_that_has_no_validation_batch_left(n_processes, n_rows, size):
    size = equal_batches(size, n_rows, n_processes)
    counts = {-(-len(range(rank, n_rows, n_processes)) // size) for rank in range(n_processes)}
    assert len(counts) == 1


def test_runs_of_all_seeds_share_the_split_and_differ_in_the_order():
    def trained(**seeds):
        data = module(batch_size=9, **seeds)
        return data.rows("val").tolist(), pixels(data.train_dataloader())

    assert trained(seed=0) == trained(seed=0)
    assert trained(seed=0)[0] == trained(seed=1)[0]
    assert trained(seed=0)[1] != trained(seed=1)[1]
    assert trained(split_seed=0)[0] != trained(split_seed=1)[0]


def test_each_fold_is_left_out_once_and_nothing_else_changes():
    store = make_store(N)
    whole = module(store)
    train, val = whole.rows("train"), whole.rows("val")
    left_out = []
    for fold in range(3):
        data = module(store, folds=3, fold=fold)
        kept, validating = data.rows("train"), data.rows("val")
        assert validating.tolist() == val.tolist()
        assert sorted([*kept, *data.rows("left out")]) == train.tolist()
        assert data.rows_by_split()["left out"].tolist() == data.rows("left out").tolist()
        left_out += data.rows("left out").tolist()
    assert sorted(left_out) == train.tolist()
    assert "left out" not in module(store).rows_by_split()


def test_a_class_of_which_a_fold_holds_all_is_named():
    store = make_store(2)
    said = r"data\.fold=0 of data\.folds=2 holds all train images of class \w+; take other folds"
    with pytest.raises(FerlabError, match=said):
        module(store, val_fraction=0.5, folds=2).rows("train")


def test_the_source_is_called_once_and_late():
    calls = []
    data = FaceDataModule(lambda: calls.append(1) or make_store(N))
    assert calls == []
    list(data.train_dataloader())
    list(data.val_dataloader())
    list(data.batches_of(data.rows("test")))
    assert calls == [1]


def test_the_clean_part_leaves_out_test_images_with_a_twin_in_training():
    store = make_store(N, twins=3)  # between training/angry and private/surprise
    parts = module(store).test_parts()
    test = store.rows("public", "private", "test")
    unclean = test[~parts["clean"]]
    assert len(unclean) == 3
    assert set(store.splits[unclean]) == {2}
    assert np.isin(store.hashes[unclean], store.hashes[store.rows("training")]).all()


def test_twins_among_the_test_images_alone_are_clean():
    store = make_store(N, splits=("public", "training", "private"), twins=3)
    assert module(store).test_parts()["clean"].all()


def test_a_twin_of_a_validation_image_is_not_clean_either():
    store = make_store(N, twins=7 * N)
    assert module(store, val_fraction=0.5).test_parts()["clean"].sum() == 7 * N


def test_without_training_images_nobody_knows_which_test_images_are_clean():
    store = make_store(N, splits=("public", "private"))
    assert set(module(store).test_parts()) == {"public", "private"}


def test_the_official_halves_are_told_apart():
    store = make_store(N, splits=("training", "public", "private", "test"))
    data = module(store)
    parts = data.test_parts()
    assert data.rows("test")[parts["public"]].tolist() == store.rows("public").tolist()
    assert data.rows("test")[parts["private"]].tolist() == store.rows("private").tolist()
    assert all(part.shape == (3 * 7 * N,) for part in parts.values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 1}, r"data\.batch_size must be an integer >= 2; got 1"),
        ({"batch_size": 0}, r"data\.batch_size must be an integer >= 2; got 0"),
        ({"batch_size": 64.0}, r"data\.batch_size must be an integer >= 2; got 64.0"),
        ({"batch_size": "64"}, r"data\.batch_size must be an integer >= 2; got '64'"),
        ({"batch_size": None}, r"data\.batch_size must be an integer >= 2; got None"),
        ({"eval_batch_size": 0}, r"data\.eval_batch_size must be an integer >= 1; got 0"),
        ({"seed": -1}, r"seed must be an integer >= 0 and <= 4294967295; got -1"),
        ({"seed": 0.5}, r"seed must be an integer >= 0 and <= 4294967295; got 0.5"),
        ({"split_seed": -1}, r"data\.split_seed must be an integer >= 0; got -1"),
        ({"val_fraction": -0.1}, r"data\.val_fraction must be a number >= 0 and < 1; got -0.1"),
        ({"val_fraction": 1.0}, r"data\.val_fraction must be a number >= 0 and < 1; got 1.0"),
        ({"folds": 1}, r"data\.folds must be an integer >= 2; got 1"),
        ({"folds": 3, "fold": 3}, r"data\.fold must be an integer >= 0 and <= 2; got 3"),
        ({"fold": -1}, r"data\.fold must be an integer >= 0; got -1"),
        ({"fold": 1}, r"data\.fold=1 is one of data\.folds, which is null; set that too"),
    ],
)
def test_a_wrong_value_is_refused_by_name(options, said):
    with pytest.raises(FerlabError, match=f"^{said}$"):
        module(**options).train_dataloader()


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1},
        {"eval_batch_size": 0},
        {"seed": -1},
        {"val_fraction": 2},
    ],
)
def test_a_wrong_value_is_refused_before_any_image_is_read(options):
    with pytest.raises(FerlabError):
        FaceDataModule(make_store, **options)


# what may be left out


def store_with_defects():
    """Return a store with 5 training images that are test images too, and 3 blank ones."""
    store = make_store(N, twins=5)
    images = store.images.copy()
    images[[5, 100, 200]] = 77
    return ImageStore.from_arrays(images, store.labels, store.splits, store.names)


def test_by_default_every_image_is_used():
    store = store_with_defects()
    data = module(store)
    used = np.concatenate([data.rows("train"), data.rows("val"), data.rows("test")])
    assert sorted(used) == list(range(len(store)))


def test_dropping_twins_from_train_leaves_the_test_set_as_it_is():
    store = store_with_defects()
    kept, dropped = module(store), module(store, twins="drop_from_train")
    trained = np.concatenate([dropped.rows("train"), dropped.rows("val")])
    assert len(trained) < len(np.concatenate([kept.rows("train"), kept.rows("val")]))
    assert not set(store.hashes[trained]) & set(store.hashes[dropped.rows("test")])
    assert np.array_equal(kept.rows("test"), dropped.rows("test"))
    assert np.array_equal(kept.test_parts()["clean"], dropped.test_parts()["clean"])
    assert not kept.test_parts()["clean"].all()


def test_twins_are_dropped_before_the_number_of_images_is_limited():
    store = store_with_defects()
    dropped = module(store, twins="drop_from_train")
    most = len(np.concatenate([dropped.rows("train"), dropped.rows("val")])) - 1
    limited = module(store, twins="drop_from_train", limit=most)
    assert len(np.concatenate([limited.rows("train"), limited.rows("val")])) == most


def test_dropped_blanks_are_neither_trained_on_nor_judged():
    store = store_with_defects()
    data = module(store, blank="drop")
    used = np.concatenate([data.rows("train"), data.rows("val"), data.rows("test")])
    assert len(used) == len(store) - 3
    assert (store.images[used].std(axis=(1, 2, 3)) > 1).all()
    assert all(len(part) == len(data.rows("test")) for part in data.test_parts().values())


@pytest.mark.parametrize("knob", ["twins", "blank"])
def test_an_unknown_way_with_defects_is_refused(knob):
    with pytest.raises(FerlabError, match=rf"^data\.{knob} must be one of keep, drop"):
        module(**{knob: "dorp"})


@pytest.mark.parametrize("limit", [70, 105])
def test_a_limit_takes_from_every_class(limit):
    data = module(make_store(40), limit=limit, val_fraction=0)
    for rows in (data.rows("train"), data.rows("test")):
        counts = data.store.class_counts(rows)
        assert counts.sum() == limit
        assert np.ptp(counts) <= 2


def test_the_rows_of_an_epoch_are_the_train_images_and_the_added_ones():
    augmentation = TargetedAugmentation(RandomTransforms(flip=0.5), extra={"disgust": 9})
    data = module(make_store(N), augmentation=augmentation, val_fraction=0.2)
    assert data.epoch_class_counts().tolist() == [8, 17, 8, 8, 8, 8, 8]


def test_no_spread_batch_is_of_neighbours_in_a_store_that_is_sorted_by_class():
    data = module(make_store(32, splits=("training",)), batch_size=28, val_fraction=0)
    for batch in data.spread_batches(n_images=120):
        assert torch.equal(batch.labels.bincount(), torch.full((7,), 4))


@pytest.mark.parametrize(
    ("n_images", "batch_size", "sizes"),
    [(2, 16, [16]), (47, 16, [16] * 2), (9999, 16, [16] * 3), (2048, 64, [49])],
)
def test_spread_batches_are_whole_and_of_untransformed_images_of_training(
    n_images, batch_size, sizes
):
    augmentation = TargetedAugmentation(RandomTransforms(flip=1.0), apply_to="all")
    data = module(make_store(N), augmentation=augmentation, batch_size=batch_size, val_fraction=0.3)
    batches = list(data.spread_batches(n_images))
    assert [len(batch.labels) for batch in batches] == sizes
    seen = pixels(batches)
    assert len(set(seen)) == sum(sizes)
    assert set(seen) <= set(pixels_at(data.store, data.rows("train")))


def test_each_process_has_a_part_of_the_validation_images():
    n_val = len(module().rows("val"))
    module(batch_size=2 * n_val).check_division(n_val)
    with pytest.raises(FerlabError, match=f"{n_val} validation images cannot be divided among"):
        module(batch_size=2 * n_val + 2).check_division(n_val + 1)
    module(batch_size=2 * n_val + 2, val_fraction=0).check_division(n_val + 1)
