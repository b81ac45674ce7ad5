"""Drawn faces: reproducible, in FER-2013's proportions, all different."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from ferlab.checks import FerlabError
from ferlab.data.drawn import FER2013_COUNTS, draw_face, draw_store
from ferlab.data.store import SPLITS, ImageStore
from ferlab.emotions import EMOTIONS


@pytest.fixture(scope="module")
def store() -> ImageStore:
    return draw_store(300, seed=3)


def counts(store: ImageStore) -> dict[str, list[int]]:
    return {split: store.class_counts(store.rows(split)).tolist() for split in FER2013_COUNTS}


def test_the_same_seed_draws_the_same_store(store: ImageStore) -> None:
    again = draw_store(300, seed=3)
    assert np.array_equal(again.images, store.images)
    assert np.array_equal(again.names, store.names)
    assert again.digest == store.digest


def test_another_seed_draws_none_of_these_faces(store: ImageStore) -> None:
    assert not np.isin(draw_store(70, seed=4).hashes, store.hashes).any()


# from 240 or 290 to 300 images, largest-remainder rounding would take a face away
@pytest.mark.parametrize("size", [71, 240, 290])
def test_a_larger_store_keeps_the_earlier_faces(store: ImageStore, size: int) -> None:
    larger = dict(zip(store.names, store.hashes, strict=True))
    smaller = draw_store(size, seed=3)
    assert all(
        larger.get(name) == pixels
        for name, pixels in zip(smaller.names, smaller.hashes, strict=True)
    )


def test_splits_and_classes_keep_the_proportions_of_fer2013() -> None:
    drawn = counts(draw_store(350, seed=0))
    total = sum(map(sum, FER2013_COUNTS.values()))
    assert [sum(drawn[split]) for split in FER2013_COUNTS] == [280, 35, 35]
    for split, official in FER2013_COUNTS.items():
        share = np.array(official) * 350 / total
        assert np.abs(drawn[split] - share).max() <= 1


def test_the_smallest_store_has_every_class_in_every_split() -> None:
    drawn = counts(draw_store(70, seed=0))
    assert sum(map(sum, drawn.values())) == 70
    assert min(drawn["training"]) >= 2
    assert min(drawn["public"]) >= 1
    assert min(drawn["private"]) >= 1


def test_every_name_tells_split_and_class(store: ImageStore) -> None:
    assert len(set(store.names)) == len(store)
    for name, label, split in zip(store.names, store.labels, store.splits, strict=True):
        assert name.startswith(f"drawn/{SPLITS[split]}/{EMOTIONS[label]}/")


def test_no_two_faces_are_identical(store: ImageStore) -> None:
    assert len(set(store.hashes)) == len(store) == 300


def test_every_face_is_a_48_by_48_grey_image_with_something_on_it(store: ImageStore) -> None:
    assert store.images.dtype == np.uint8
    assert store.images.shape == (300, 1, 48, 48)
    assert store.images.std(axis=(1, 2, 3)).min() > 5


def test_a_linear_classifier_tells_unseen_faces_apart() -> None:
    labels = np.tile(np.arange(len(EMOTIONS)), 130)
    faces = np.array(
        [draw_face(EMOTIONS[k], np.random.default_rng([9, i])) for i, k in enumerate(labels)]
    )
    pixels = faces.reshape(len(faces), -1).astype(np.float32)
    model = RidgeClassifier(alpha=1e6).fit(pixels[:700], labels[:700])
    assert model.score(pixels[700:], labels[700:]) > 1.5 / len(EMOTIONS)  # chance is 1 / 7


@pytest.mark.parametrize("size", [69, 0, -1, 100.0, "100", True])
def test_a_wrong_size_is_refused_by_name(size: object) -> None:
    with pytest.raises(FerlabError, match=r"data\.size must be an integer >= 70"):
        draw_store(size, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_a_wrong_seed_is_refused_by_name(seed: object) -> None:
    with pytest.raises(FerlabError, match="seed must be an integer >= 0"):
        draw_store(70, seed=seed)  # type: ignore[arg-type]


def test_an_unknown_emotion_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(FerlabError, match="emotion must be one of .* did you mean 'happy'"):
        draw_face("hapy", np.random.default_rng(0))
