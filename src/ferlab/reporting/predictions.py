"""Predictions of a split's images, and `predictions.npz`, the file that keeps them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferlab.checks import FerlabError
from ferlab.emotions import EMOTIONS
from ferlab.files import DAMAGED, replacing
from ferlab.reporting import faces, tables

_LARGEST = 1 << 30  # bytes of all columns together; FER-2013's predictions have two million

Columns = tuple[NDArray[np.str_], NDArray[np.int64], NDArray[np.int64]]
"""Names, labels and predicted classes of images, each (N,)."""

Judged = Mapping[str, Columns]
"""The columns of each split and `test/part`."""


@dataclass(frozen=True)
class Predictions:
    """Probabilities of a split's images.

    Attributes:
        names: str (N,), the images' names in their source.
        images: uint8 (N, 1, 48, 48), grey levels.
        labels: int64 (N,), canonical order.
        probabilities: float32 (N, 7).
        parts: bool (N,) by name: parts of the split that have metrics of their own.
        probabilistic: False where the classifier names classes alone: `probabilities` are then
            one-hot, and what judges them as probabilities is left out.
    """

    names: NDArray[np.str_]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    parts: Mapping[str, NDArray[np.bool_]]
    probabilistic: bool = True

    @property
    def confusion(self) -> NDArray[np.int64]:
        """int64 (7, 7): rows = true class, columns = predicted class."""
        return tables.confusion(self.labels, self.probabilities)

    def chosen(self, split: str) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield the split's name and its parts', `split/part`, with their images: bool (N,).

        A part without images is left out.
        """
        yield split, np.ones(len(self.labels), dtype=bool)
        for part, chosen in self.parts.items():
            if chosen.any():
                yield f"{split}/{part}", chosen

    def worst(self, n: int) -> list[faces.Captioned]:
        """Return the `n` most confident mistakes, the most confident first."""
        confidence = self.probabilities.max(axis=1)
        predicted = self.probabilities.argmax(axis=1)
        wrong = np.flatnonzero(predicted != self.labels)
        rows = wrong[np.argsort(-confidence[wrong], kind="stable")][:n]
        return [
            (
                f"{EMOTIONS[predicted[row]]}, {100 * confidence[row]:.1f} %\n"
                f"labelled {EMOTIONS[self.labels[row]]}",
                self.images[row, 0],
            )
            for row in rows
        ]


def average(several: Sequence[Predictions]) -> Predictions:
    """Return the mean of several networks' probabilities for the same images."""
    first = several[0]
    if any(not np.array_equal(first.names, other.names) for other in several):
        raise ValueError("predictions can be averaged for the same images only")
    mean = np.stack([one.probabilities for one in several]).mean(axis=0)
    return replace(first, probabilities=mean)


def write_predictions(predictions: Mapping[str, Predictions], path: Path) -> None:
    """Write names, labels and probabilities of every split: `<split>_names`, … in one .npz.

    In place of probabilities that are one-hot the classes, `<split>_predicted`.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    for split, predicted in predictions.items():
        arrays[f"{split}_names"] = predicted.names
        arrays[f"{split}_labels"] = predicted.labels
        if predicted.probabilistic:
            arrays[f"{split}_probabilities"] = predicted.probabilities
        else:
            arrays[f"{split}_predicted"] = predicted.probabilities.argmax(axis=1)
        arrays |= {f"{split}_{part}": chosen for part, chosen in predicted.parts.items()}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_predictions(path: Path) -> Judged:
    """Return names, labels and predicted classes of every split and part in a `predictions.npz`.

    Raises:
        FerlabError: the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            if sum(entry.file_size for entry in file.zip.infolist()) > _LARGEST:
                raise ValueError("it is too large")
            return dict(_judged(file))
    except FileNotFoundError as error:
        raise FerlabError(f"there is no {path}; name a finished run or evaluation") from error
    except DAMAGED as error:
        raise FerlabError(f"{path} is damaged ({error})") from error


def _judged(
    file: Mapping[str, NDArray[np.generic]],
) -> Iterator[tuple[str, Columns]]:
    """Yield each split and part with its names, labels and predicted classes."""
    for split in ("val", "test"):
        if f"{split}_names" not in file:
            continue
        if f"{split}_predicted" in file:
            predicted = file[f"{split}_predicted"]
        else:
            predicted = file[f"{split}_probabilities"].argmax(axis=1)
        names, labels = file[f"{split}_names"], file[f"{split}_labels"]
        if len({column.shape for column in (names, labels, predicted)}) > 1 or names.ndim != 1:
            raise ValueError(f"{split} has columns of different lengths")
        if not set(np.unique([labels, predicted]).tolist()) <= set(range(len(EMOTIONS))):
            raise ValueError(f"{split} has unknown classes")
        columns = names.astype(np.str_), labels.astype(np.int64), predicted.astype(np.int64)
        yield split, columns
        for part in ("public", "private", "clean"):
            chosen = np.asarray(file.get(f"{split}_{part}", []), dtype=bool)
            if chosen.any():
                names, labels, predicted = columns
                yield f"{split}/{part}", (names[chosen], labels[chosen], predicted[chosen])


def confusion_of(path: Path) -> NDArray[np.int64]:
    """Return the confusion matrix (7, 7) of the test images in a `predictions.npz`.

    Rows are the true class, columns the predicted one.

    Raises:
        FerlabError: the file is missing or damaged, or knows no test images.
    """
    judged = read_predictions(path)
    if "test" not in judged:
        raise FerlabError(f"{path} has no test images; choose a run that was tested")
    _, labels, predicted = judged["test"]
    n = len(EMOTIONS)
    return np.bincount(labels * n + predicted, minlength=n * n).reshape(n, n)
