"""What is wrong with a data set: identical twins, contradicting labels, blanks, missing images."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ferlab.data.store import SPLITS, ImageStore
from ferlab.emotions import EMOTIONS

FER2013_COUNTS = {
    "training": (3995, 436, 4097, 7215, 4965, 4830, 3171),
    "public": (467, 56, 496, 895, 607, 653, 415),
    "private": (491, 55, 528, 879, 626, 594, 416),
}
"""Images per class in each split of FER-2013, in the order of EMOTIONS."""

TEST_SPLITS = ("public", "private", "test")

_BLANK = 1.0  # standard deviation of the grey levels below which nothing is to be seen


@dataclass(frozen=True)
class Audit:
    """The defects of a store, each as a mark per image: arrays (N,) in the store's order.

    Twins are images with identical pixels, whatever their names, labels and splits.
    """

    store: ImageStore

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """The number of the image's group of twins; an image without a twin is a group too."""
        return np.unique(self.store.hashes, return_inverse=True)[1]

    @cached_property
    def twins(self) -> NDArray[np.bool_]:
        """Whether another image has the same pixels."""
        return (np.bincount(self.group) > 1)[self.group]

    @cached_property
    def contradicting(self) -> NDArray[np.bool_]:
        """Whether a twin has another label."""
        return self._several_labels(np.ones(len(self.store), dtype=bool))

    @cached_property
    def leaked(self) -> NDArray[np.bool_]:
        """Whether it is a test image that has a twin in the training split."""
        return self._of_test & self._any_in_group(~self._of_test)

    @cached_property
    def superfluous(self) -> NDArray[np.bool_]:
        """Whether it is a training image that a split free of twins leaves out.

        It has a twin among the test images; or among the training images one with another label,
        or one that comes before it.
        """
        training = ~self._of_test
        rows = np.flatnonzero(training)
        _, first = np.unique(self.group[rows], return_index=True)
        repeated = training.copy()
        repeated[rows[first]] = False
        return training & (
            repeated | self._any_in_group(self._of_test) | self._several_labels(training)
        )

    @cached_property
    def blank(self) -> NDArray[np.bool_]:
        """Whether nothing is to be seen: the grey levels' standard deviation is below 1."""
        pixels = self.store.images.reshape(len(self.store), -1)
        starts = range(0, len(pixels), 1024)  # in parts: float copies of all would be large
        deviations = [
            pixels[start : start + 1024].std(axis=1, dtype=np.float32) for start in starts
        ]
        return np.concatenate(deviations) < _BLANK

    def summary(self) -> dict[str, int]:
        """Return the number of images, groups of twins, leaks and blanks."""
        rows = {split: self.store.rows(split) for split in SPLITS}
        present = [split for split in SPLITS if len(rows[split])]
        return {
            **{f"images/{split}": len(rows[split]) for split in present},
            "twins/groups": len(np.unique(self.group[self.twins])),
            "twins/images": int(self.twins.sum()),
            "contradicting/groups": len(np.unique(self.group[self.contradicting])),
            "contradicting/images": int(self.contradicting.sum()),
            **{
                f"leaked/{split}": int(self.leaked[rows[split]].sum())
                for split in present
                if split in TEST_SPLITS
            },
            "blank/images": int(self.blank.sum()),
        }

    @cached_property
    def _of_test(self) -> NDArray[np.bool_]:
        of_test: NDArray[np.bool_] = self.store.splits != SPLITS.index("training")
        return of_test

    def _any_in_group(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell for each image whether one of its group is chosen."""
        held: NDArray[np.bool_] = np.bincount(self.group, weights=chosen) > 0  # by group
        return held[self.group]

    def _several_labels(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell for each image whether the chosen ones of its group have more than one label."""
        labels = np.unique(
            np.stack([self.group[chosen], self.store.labels[chosen]]), axis=1
        )  # each group with each of its labels once
        return (np.bincount(labels[0], minlength=self.group.max() + 1) > 1)[self.group]


def describe_gaps(store: ImageStore) -> Iterator[str]:
    """Yield a line per split whose class counts are not those of FER-2013.

    Test images whose official half is not known are counted against both halves together.
    """
    expected = {split: np.array(counts) for split, counts in FER2013_COUNTS.items()}
    present = {split: store.class_counts(store.rows(split)) for split in expected}
    if len(store.rows("test")):
        expected["test"] = expected.pop("public") + expected.pop("private")
        present["test"] = store.class_counts(store.rows(*TEST_SPLITS))
    for split, wanted in expected.items():
        found = present[split]
        if not found.any():
            yield f"no {split} images; FER-2013 has {wanted.sum():,}"
        elif (found != wanted).any():
            classes = [
                f"{emotion} {found[label]:,} of {wanted[label]:,}"
                for label, emotion in enumerate(EMOTIONS)
                if found[label] != wanted[label]
            ]
            yield (
                f"{found.sum():,} {split} images, FER-2013 has {wanted.sum():,} "
                f"({', '.join(classes)})"
            )
