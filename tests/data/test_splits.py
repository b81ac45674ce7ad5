"""The split of the training images: stratified, blind to order, and never between twins."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ferlab.checks import FerlabError
from ferlab.data.splits import assign_folds, stratified_split
from ferlab.emotions import EMOTIONS

steadily = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # on a busy machine too
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**31)


@st.composite
def images(draw, twins):
    """Return labels and hashes with at least 2 images of every class, in any order."""
    counts = draw(st.lists(st.integers(2, 15), min_size=7, max_size=7))
    labels = draw(st.permutations(np.repeat(np.arange(7), counts).tolist()))
    n = len(labels)
    pixels = (
        draw(st.lists(st.integers(0, n // 2), min_size=n, max_size=n)) if twins else list(range(n))
    )
    return np.array(labels), np.array([f"{pixel:032x}" for pixel in pixels], dtype="S32")


def count(labels):
    return np.bincount(labels, minlength=len(EMOTIONS))


def wanted(labels, fraction):
    return [min(max(round(fraction * n), 1), n - 1) for n in count(labels).tolist()]


@steadily
@given(images(twins=True), fractions, seeds)
def test_every_image_is_on_one_side(data, fraction, seed):
    labels, hashes = data
    train, val = stratified_split(labels, hashes, fraction, seed)
    assert sorted([*train, *val]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(val) > 0).all()


@steadily
@given(images(twins=True), fractions, seeds)
def test_twins_never_straddle_the_split(data, fraction, seed):
    labels, hashes = data
    train, val = stratified_split(labels, hashes, fraction, seed)
    assert not set(hashes[train]) & set(hashes[val])


@steadily
@given(images(twins=False), fractions, seeds)
def test_every_class_gives_its_share_to_the_image(data, fraction, seed):
    labels, hashes = data
    _, val = stratified_split(labels, hashes, fraction, seed)
    assert count(labels[val]).tolist() == wanted(labels, fraction)


@steadily
@given(images(twins=True), fractions, seeds)
def test_with_twins_no_class_gives_more_than_its_share(data, fraction, seed):
    labels, hashes = data
    _, val = stratified_split(labels, hashes, fraction, seed)
    assert (count(labels[val]) <= wanted(labels, fraction)).all()


@steadily
@given(fractions, seeds)
def test_a_few_pairs_of_twins_do_not_keep_a_class_from_its_share(fraction, seed):
    labels = np.repeat(np.arange(7), 40)
    number = np.arange(len(labels))
    hashes = np.where(number % 40 < 4, number - number % 2, number).astype("S32")
    assume(min(wanted(labels, fraction)) < 36)  # there are single images to fill up with
    _, val = stratified_split(labels, hashes, fraction, seed)
    assert count(labels[val]).tolist() == wanted(labels, fraction)


@steadily
@given(images(twins=True), fractions, seeds)
def test_the_same_seed_gives_the_same_split(data, fraction, seed):
    first, second = (stratified_split(*data, fraction, seed) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


@steadily
@given(images(twins=False), fractions, seeds)
def test_the_split_follows_the_images_not_their_order(data, fraction, seed):
    labels, hashes = data
    order = np.random.default_rng(seed).permutation(len(labels))
    _, val = stratified_split(labels, hashes, fraction, seed)
    _, shuffled_val = stratified_split(labels[order], hashes[order], fraction, seed)
    assert set(hashes[order][shuffled_val]) == set(hashes[val])


def test_another_seed_gives_another_split():
    labels = np.repeat(np.arange(7), 30)
    hashes = np.arange(len(labels)).astype("S32")
    splits = {tuple(stratified_split(labels, hashes, 0.2, seed)[1]) for seed in range(20)}
    assert len(splits) == 20


def test_every_image_validates_under_some_seed():
    labels = np.repeat(np.arange(7), 5)
    hashes = np.arange(len(labels)).astype("S32")
    seen = [stratified_split(labels, hashes, 0.2, seed)[1] for seed in range(60)]
    assert set(np.concatenate(seen)) == set(range(len(labels)))


@pytest.mark.parametrize("fraction", [1, -0.1, 1.5, 10, float("nan"), "0.1", None, True])
def test_a_wrong_fraction_is_refused_by_name(fraction):
    labels, hashes = np.repeat(np.arange(7), 2), np.arange(14).astype("S32")
    with pytest.raises(
        FerlabError, match=r"^data\.val_fraction must be a number >= 0 and < 1; got"
    ):
        stratified_split(labels, hashes, fraction, seed=0)


def test_with_a_share_of_nothing_all_train():
    train, val = stratified_split(np.arange(7), np.arange(7).astype("S32"), 0, seed=0)
    assert train.tolist() == list(range(7))
    assert not len(val)


@pytest.mark.parametrize("n", [0, 1])
def test_a_class_with_too_few_images_is_named(n):
    labels = np.repeat(np.arange(7), [3, n, 3, 3, 3, 3, 3])
    hashes = np.arange(len(labels)).astype("S32")
    with pytest.raises(FerlabError, match=f"class disgust has {n} training images"):
        stratified_split(labels, hashes, 0.5, seed=0)


# folds

n_folds = st.integers(2, 9)


@steadily
@given(images(twins=True), n_folds, seeds)
def test_every_image_has_a_fold_and_twins_share_it(data, n, seed):
    labels, hashes = data
    folds = assign_folds(labels, hashes, n, seed)
    assert set(folds) <= set(range(n))
    assert len(folds) == len(labels)
    assert len({*zip(hashes.tolist(), folds.tolist(), strict=True)}) == len(set(hashes.tolist()))


@steadily
@given(images(twins=False), n_folds, seeds)
def test_folds_are_equal_and_so_are_their_parts_of_each_class(data, n, seed):
    labels, hashes = data
    folds = assign_folds(labels, hashes, n, seed)
    for part in (folds, *(folds[labels == label] for label in range(7))):
        sizes = np.bincount(part, minlength=n)
        assert sizes.max() - sizes.min() <= 1


@steadily
@given(images(twins=False), n_folds, seeds)
def test_folds_follow_the_images_not_their_order(data, n, seed):
    labels, hashes = data
    order = np.random.default_rng(seed).permutation(len(labels))
    folds = assign_folds(labels, hashes, n, seed)
    assert np.array_equal(assign_folds(labels[order], hashes[order], n, seed), folds[order])


def test_another_seed_gives_other_folds():
    labels = np.repeat(np.arange(7), 30)
    hashes = np.arange(len(labels)).astype("S32")
    assert len({tuple(assign_folds(labels, hashes, 3, seed)) for seed in range(20)}) == 20
