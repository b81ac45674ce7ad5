"""Tiny data for tests: noise in the place of faces, in memory or as a folder tree."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ferlab.data.store import SPLITS, ImageStore
from ferlab.emotions import EMOTIONS, IMAGE_SIZE

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
    shape = (len(rows), 1, IMAGE_SIZE, IMAGE_SIZE)
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


CSV_CODES = (0, 1, 2, 3, 6, 4, 5)  # of the classes in canonical order
_USAGES = {"training": "Training", "public": "PublicTest", "private": "PrivateTest"}


def make_csv(path: Path, store: ImageStore, form: str = "fer2013.csv") -> Path:
    """Write the store as one of the CSV forms of FER-2013, its rows shuffled; return `path`.

    Args:
        path: the file.
        store: without images of the split `test`.
        form: `fer2013.csv`, `icml_face_data.csv` (other order, spaces in the header) or
            `train.csv` (training images alone, no Usage).
    """
    headers = {
        "fer2013.csv": "emotion,pixels,Usage",
        "icml_face_data.csv": "emotion, Usage, pixels",
        "train.csv": "emotion,pixels",
    }
    lines = [headers[form]]
    for row in np.random.default_rng(0).permutation(len(store)):
        split = SPLITS[store.splits[row]]
        pixels = " ".join(map(str, store.images[row].ravel()))
        emotion, usage = CSV_CODES[store.labels[row]], _USAGES[split]
        if form == "fer2013.csv":
            lines.append(f"{emotion},{pixels},{usage}")
        elif form == "icml_face_data.csv":
            lines.append(f"{emotion}, {usage},{pixels}")
        elif split == "training":
            lines.append(f'{emotion},"{pixels}"')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def zip_folder(folder: Path, path: Path, prefix: str = "") -> Path:
    """Pack what lies in `folder` into a zip archive, names below `prefix`; return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, prefix + str(file.relative_to(folder)))
    return path
