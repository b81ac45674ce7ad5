"""Tiny data for tests: noise in the place of faces, in memory or as a folder tree."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ferlab.data.store import SIDE, SPLITS, ImageStore
from ferlab.emotions import EMOTIONS

_PLACES = {
    "training": "train/{}/Training_{}.jpg",
    "public": "test/{}/PublicTest_{}.jpg",
    "private": "test/{}/PrivateTest_{}.jpg",
    "test": "test/{}/{}.jpg",
}


def make_store(
    n_per_class: Sequence[int] | int = 4,
    seed: int = 0,
    splits: Sequence[str] = ("training", "public", "private"),
    twins: int = 0,
) -> ImageStore:
    """Return a store of random images, all different but for the twins.

    Args:
        n_per_class: images of every class, or of each class in turn, in each of the splits.
        seed: other seeds, other images.
        splits: names out of SPLITS.
        twins: so many images, counted from the last class of the last split, repeat the pixels
            of as many from the first class of the first split on.
    """
    counts = [n_per_class] * len(EMOTIONS) if isinstance(n_per_class, int) else n_per_class
    rows = [
        (SPLITS.index(split), label, _PLACES[split].format(EMOTIONS[label], number))
        for split in splits
        for label, count in enumerate(counts)
        for number in range(count)
    ]
    shape = (len(rows), 1, SIDE, SIDE)
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    images[len(rows) - twins :] = images[:twins]
    codes, labels, names = zip(*rows, strict=True)
    return ImageStore.from_arrays(
        images,
        labels=np.array(labels, dtype=np.int64),
        splits=np.array(codes, dtype=np.uint8),
        names=np.array(names),
    )


def make_tree(root: Path, train: int = 3, test: int = 2) -> Path:
    """Write random JPEG files as Kaggle lays out FER-2013, and return `root`.

    Args:
        root: the folder to fill; made where it is missing.
        train: images per class in `train/`.
        test: images per class and official half in `test/`.
    """
    stores = (
        make_store(train, seed=0, splits=("training",)),
        make_store(test, seed=1, splits=("public", "private")),
    )
    for store in stores:
        for name, image in zip(store.names, store.images, strict=True):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0]).save(path)
    return root
