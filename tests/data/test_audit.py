"""The audit: held against a count by hand, image by image."""

from collections import defaultdict

import numpy as np
import pytest
from faces import make_store
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlab.data.audit import FER2013_COUNTS, Audit, describe_gaps
from ferlab.data.store import SPLITS, ImageStore
from ferlab.emotions import EMOTIONS, IMAGE_SIZE


def store_of(*rows):
    """Return a store of (split, label, grey level) rows: equal levels are twins."""
    images = np.zeros((len(rows), 1, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    images[:, 0, ::2] = np.array([level for *_, level in rows], dtype=np.uint8)[:, None, None]
    return ImageStore.from_arrays(
        images,
        labels=np.array([label for _, label, _ in rows], dtype=np.int64),
        splits=np.array([SPLITS.index(split) for split, *_ in rows], dtype=np.uint8),
        names=np.array([f"{number}" for number in range(len(rows))]),
    )


stores = st.lists(
    st.tuples(st.sampled_from(SPLITS), st.integers(0, 6), st.integers(100, 112)),
    min_size=1,
    max_size=40,
).map(lambda rows: store_of(*rows))


def groups(store):
    """Return the rows of each set of equal pixels."""
    found = defaultdict(list)
    for row, image in enumerate(store.images):
        found[image.tobytes()].append(row)
    return found.values()


def rows(marks):
    return set(np.flatnonzero(marks).tolist())


@given(stores)
@settings(max_examples=200, deadline=None)
def test_twins_contradictions_and_leaks_are_those_counted_by_hand(store):
    training = SPLITS.index("training")
    twins, contradicting, leaked = set(), set(), set()
    n_groups = n_contradicting = 0
    for group in groups(store):
        if len(group) > 1:
            twins.update(group)
            n_groups += 1
        if len({store.labels[row] for row in group}) > 1:
            contradicting.update(group)
            n_contradicting += 1
        if any(store.splits[row] == training for row in group):
            leaked.update(row for row in group if store.splits[row] != training)
    audit = Audit(store)
    assert rows(audit.twins) == twins
    assert rows(audit.contradicting) == contradicting
    assert rows(audit.leaked) == leaked
    summary = audit.summary()
    assert summary["twins/groups"] == n_groups
    assert summary["twins/images"] == len(twins)
    assert summary["contradicting/groups"] == n_contradicting
    assert summary["contradicting/images"] == len(contradicting)
    assert sum(n for name, n in summary.items() if name.startswith("leaked/")) == len(leaked)
    assert sum(n for name, n in summary.items() if name.startswith("images/")) == len(store)


@given(stores)
@settings(max_examples=200, deadline=None)
def test_without_the_superfluous_training_images_no_two_are_alike(store):
    audit = Audit(store)
    training, test = store.rows("training"), store.rows("public", "private", "test")
    kept = training[~audit.superfluous[training]]
    assert not audit.superfluous[test].any()
    assert len(set(store.hashes[kept])) == len(kept)
    assert not set(store.hashes[kept]) & set(store.hashes[test])
    for group in groups(store):
        inside = set(group) & set(training.tolist())
        if inside == set(group) and len({store.labels[row] for row in group}) == 1:
            assert len(inside & set(kept.tolist())) == 1  # one of agreeing twins stays
        else:
            assert not inside & set(kept.tolist())


def test_blank_is_what_shows_less_than_one_grey_level():
    images = np.full((4, 1, IMAGE_SIZE, IMAGE_SIZE), 128, dtype=np.uint8)
    images[1, 0, ::2] += 1  # deviation 0.5
    images[2, 0, ::2] += 2  # deviation 1
    images[3, 0, 0, 0] = 0  # one dead pixel: deviation 2.7
    store = ImageStore.from_arrays(
        images,
        labels=np.arange(4),
        splits=np.zeros(4, dtype=np.uint8),
        names=np.array(list("abcd")),
    )
    assert dict(zip(store.names, Audit(store).blank, strict=True)) == {
        "a": True,
        "b": True,
        "c": False,
        "d": False,
    }
    assert Audit(store).summary()["blank/images"] == 2


def test_a_large_store_is_audited_in_parts():
    store = make_store(60)  # 1,260 images
    assert np.array_equal(Audit(store).blank, store.images.reshape(len(store), -1).std(axis=1) < 1)


def of_counts(**splits):
    """Return a store with these images per class, all alike: counting needs no pixels."""
    labels = np.concatenate([np.repeat(np.arange(7), counts) for counts in splits.values()])
    codes = [np.full(sum(counts), SPLITS.index(split)) for split, counts in splits.items()]
    n = len(labels)
    return ImageStore(
        images=np.zeros((n, 1, 1, 1), dtype=np.uint8),
        labels=labels,
        splits=np.concatenate(codes).astype(np.uint8),
        names=np.zeros(n, dtype=np.str_),
        hashes=np.zeros(n, dtype="S32"),
    )


def test_the_whole_of_fer2013_has_no_gaps():
    assert sum(map(sum, FER2013_COUNTS.values())) == 35_887
    assert list(describe_gaps(of_counts(**FER2013_COUNTS))) == []


def test_test_images_without_their_half_are_counted_together():
    both = np.add(FER2013_COUNTS["public"], FER2013_COUNTS["private"])
    assert list(describe_gaps(of_counts(training=FER2013_COUNTS["training"], test=both))) == []


@pytest.mark.parametrize("label", range(7))
def test_an_image_too_few_or_in_the_wrong_class_is_told(label):
    counts = np.array(FER2013_COUNTS["training"])
    counts[label] -= 1
    (line,) = describe_gaps(of_counts(**{**FER2013_COUNTS, "training": counts}))
    official = FER2013_COUNTS["training"][label]
    assert line == (
        "28,708 training images, FER-2013 has 28,709 "
        f"({EMOTIONS[label]} {official - 1:,} of {official:,})"
    )


def test_classes_in_the_order_of_the_csv_codes_would_be_told():
    mixed_up = {
        split: np.array(counts)[[0, 1, 2, 3, 5, 6, 4]] for split, counts in FER2013_COUNTS.items()
    }
    assert len(list(describe_gaps(of_counts(**mixed_up)))) == 3
