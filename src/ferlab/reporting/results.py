"""What predictions come to: metrics of every split, and the report of the test set."""

from collections.abc import Mapping
from pathlib import Path

from ferlab.checks import counted
from ferlab.files import write_json, write_text
from ferlab.reporting import faces, figures, tables
from ferlab.reporting.calibration import draw_reliability, reliability
from ferlab.reporting.predictions import Predictions

SHOWN_MISTAKES = 36

OF_PROBABILITIES = ("loss", "ece")
"""Metrics that mean nothing for a classifier that names classes alone."""


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
