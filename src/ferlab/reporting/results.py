"""What predictions come to: metrics of every split, and the report of the test set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferlab.files import replacing, write_json, write_text
from ferlab.reporting import figures, tables


@dataclass(frozen=True)
class Predictions:
    """Probabilities of a split's images.

    Attributes:
        names: str (N,), the images' names in their source.
        labels: int64 (N,), canonical order.
        probabilities: float32 (N, 7).
        parts: bool (N,) by name: parts of the split that have metrics of their own.
    """

    names: NDArray[np.str_]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    parts: Mapping[str, NDArray[np.bool_]]

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


def measure(predictions: Mapping[str, Predictions]) -> dict[str, float]:
    """Return the metrics of every split and part that has images, by `split/part/metric`."""
    metrics: dict[str, float] = {}
    for split, predicted in predictions.items():
        for name, chosen in predicted.chosen(split):
            values = tables.evaluate(predicted.labels[chosen], predicted.probabilities[chosen])
            metrics |= {f"{name}/{metric}": value for metric, value in values.items()}
    return metrics


def describe(predictions: Mapping[str, Predictions], metrics: Mapping[str, float]) -> str:
    """Return a line with the accuracy, its interval and the number of images per split and part."""
    return "\n".join(
        f"{name:<14}accuracy {tables.format_accuracy(metrics[f'{name}/accuracy'], n_images)}"
        f"  ({n_images} images)"
        for split, predicted in predictions.items()
        for name, chosen in predicted.chosen(split)
        if (n_images := int(chosen.sum()))
    )


def write_predictions(predictions: Mapping[str, Predictions], path: Path) -> None:
    """Write names, labels and probabilities of every split: `<split>_names`, … in one .npz."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for split, predicted in predictions.items():
        arrays[f"{split}_names"] = predicted.names
        arrays[f"{split}_labels"] = predicted.labels
        arrays[f"{split}_probabilities"] = predicted.probabilities
        arrays |= {f"{split}_{part}": chosen for part, chosen in predicted.parts.items()}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_report(predicted: Predictions, title: str, folder: Path) -> str:
    """Write the classification report (txt, csv, json) and the confusion matrix (png).

    Returns:
        The report as text.
    """
    report = tables.classification_report(predicted.labels, predicted.probabilities)
    text = tables.format_report(report, title)
    write_text(folder / "classification_report.txt", text + "\n")
    write_text(folder / "classification_report.csv", tables.report_to_csv(report))
    write_json(folder / "classification_report.json", report)
    matrix = figures.draw_confusion_matrix(predicted.confusion, title)
    figures.save(matrix, folder / "confusion_matrix.png")
    return text
