"""What predictions come to: metrics of every split, and the report of the test set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferlab.checks import counted
from ferlab.emotions import EMOTIONS
from ferlab.files import replacing, write_json, write_text
from ferlab.reporting import faces, figures, tables
from ferlab.reporting.calibration import draw_reliability, reliability

SHOWN_MISTAKES = 36

OF_PROBABILITIES = ("loss", "ece")
"""Metrics that mean nothing for a classifier that names classes alone."""


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


def measure(predictions: Mapping[str, Predictions]) -> dict[str, float]:
    """Return the metrics of every split and part that has images, by `split/part/metric`."""
    metrics: dict[str, float] = {}
    for split, predicted in predictions.items():
        for name, chosen in predicted.chosen(split):
            values = tables.evaluate(predicted.labels[chosen], predicted.probabilities[chosen])
            metrics |= {
                f"{name}/{metric}": value
                for metric, value in values.items()
                if predicted.probabilistic or metric not in OF_PROBABILITIES
            }
    return metrics


def describe(metrics: Mapping[str, float]) -> str:
    """Return a line with the accuracy, its interval and the number of images per split and part."""
    judged = [name.removesuffix("/images") for name in metrics if name.endswith("/images")]
    return "\n".join(
        f"{name:<14}accuracy "
        f"{tables.format_accuracy(metrics[f'{name}/accuracy'], int(metrics[f'{name}/images']))}"
        f"  ({counted(int(metrics[f'{name}/images']), 'image')})"
        for name in judged
    )


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


def write_report(predicted: Predictions, title: str, folder: Path) -> str:
    """Write classification report, confusion matrix, reliability diagram and worst mistakes.

    The last two are of probabilities; of a classifier without them they are not written.

    Returns:
        The classification report as text.
    """
    report = tables.classification_report(predicted.labels, predicted.probabilities)
    text = tables.format_report(report, title)
    write_text(folder / "classification_report.txt", text + "\n")
    write_text(folder / "classification_report.csv", tables.report_to_csv(report))
    write_json(folder / "classification_report.json", report)
    write_text(folder / "confusion_matrix.csv", tables.confusion_to_csv(predicted.confusion))
    matrix = figures.draw_confusion_matrix(predicted.confusion, title)
    figures.save(matrix, folder / "confusion_matrix.png")
    if not predicted.probabilistic:
        return text
    bins = reliability(predicted.labels, predicted.probabilities)
    figures.save(draw_reliability(bins, title), folder / "reliability.png")
    if worst := predicted.worst(SHOWN_MISTAKES):
        sheet = faces.draw_captioned(worst, f"{title}: the most confident mistakes")
        figures.save(sheet, folder / "mistakes.png")
    return text
