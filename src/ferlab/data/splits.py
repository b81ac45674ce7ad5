"""The stratified split of training images into train and validation, and of train into folds."""

import numpy as np
from numpy.typing import NDArray

from ferlab.checks import FerlabError, check_number
from ferlab.emotions import EMOTIONS


def stratified_split(
    labels: NDArray[np.int64],
    hashes: NDArray[np.bytes_],
    val_fraction: float,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return positions of train and of validation images, each ascending.

    Every class gives `val_fraction` of its images to validation (at least one, not all): to the
    image, or a few less where twins leave no other choice. Images with equal hashes (identical
    pixels, whatever their labels) stay on one side. With a share of 0 all are train images.

    Args:
        labels: int64 (N,), canonical order.
        hashes: (N,), equal for identical images.
        val_fraction: share of each class that goes to validation, in [0, 1).
        seed: another seed, another split.

    Raises:
        FerlabError: `val_fraction` out of range, or a class with fewer than 2 images (1 where none
            validates).
    """
    check_number("data.val_fraction", val_fraction, at_least=0, below=1)
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    counts = np.zeros((len(first), len(EMOTIONS)), dtype=np.int64)  # images per group and class
    np.add.at(counts, (group, labels), 1)
    of_class = counts.sum(axis=0)
    needed = 1 if val_fraction == 0 else 2
    if (of_class < needed).any():
        emotion = EMOTIONS[int(np.argmin(of_class))]
        raise FerlabError(
            f"class {emotion} has {of_class.min()} training images; at least "
            + ("1 is needed" if needed == 1 else "2 are needed, one to train and one to validate")
            + ": add images, or take a larger data.limit"
        )
    if val_fraction == 0:
        return np.arange(len(labels)), np.arange(0)
    wanted = np.rint(val_fraction * of_class).astype(np.int64).clip(1, of_class - 1)

    in_val = np.zeros(len(first), dtype=bool)
    for index in np.random.default_rng(seed).permutation(len(first)):
        if (counts[index] <= wanted).all():  # a group that no longer fits whole stays in train
            in_val[index] = True
            wanted -= counts[index]
            if not wanted.any():
                break
    return np.flatnonzero(~in_val[group]), np.flatnonzero(in_val[group])


def assign_folds(
    labels: NDArray[np.int64], hashes: NDArray[np.bytes_], n_folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the fold of each image, 0 to `n_folds` - 1: int64 (N,).

    Images with equal hashes share a fold. The folds of images without twins differ in size by one
    at most, and so do each class's parts of them.

    Args:
        labels: int64 (N,), canonical order.
        hashes: (N,), equal for identical images.
        n_folds: how many, >= 2.
        seed: another seed, other folds.
    """
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(first))
    order = np.lexsort((drawn, labels[first]))  # by class, at random within
    fold = np.empty(len(first), dtype=np.int64)
    fold[order] = np.arange(len(first)) % n_folds
    return fold[group]
