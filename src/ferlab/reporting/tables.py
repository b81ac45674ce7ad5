"""Predictions into numbers and tables: accuracy, loss, F1, the per-class report, confusion."""

import csv
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from ferlab.checks import FerlabError
from ferlab.emotions import EMOTIONS
from ferlab.reporting.calibration import reliability
from ferlab.reporting.intervals import wilson_interval

Report = dict[str, Any]
"""Class name, `macro avg` and `weighted avg` -> their SCORES; `accuracy` -> a float."""

SCORES = ("precision", "recall", "f1-score", "support")
"""The columns of a classification report, in scikit-learn's order and words."""

_CLASSES = range(len(EMOTIONS))
_AVERAGES = ("macro avg", "weighted avg")


def evaluate(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> dict[str, float]:
    """Return what these predictions come to, by the names of metrics.

    `images`, `accuracy`, `loss`, `ece` (expected calibration error), and `macro_` and `weighted_`
    `precision`, `recall` and `f1`. Macro averages are the mean over the classes that occur in
    `labels`: a class without images has no recall, and counting it as 0 would blame the network
    for the lack of data.

    Args:
        labels: (N,), index into EMOTIONS.
        probabilities: (N, 7), each row sums to 1.

    Returns:
        All but `images` and `loss` in [0, 1]; loss is the mean negative log-likelihood in nats, of
        probabilities clipped to [eps, 1 - eps] of float32 as in scikit-learn's `log_loss`, so it
        is finite.

    Raises:
        ValueError: there are no images.
        FerlabError: a probability is not a finite number.
    """
    predicted = _predicted(labels, probabilities)
    eps = float(np.finfo(np.float32).eps)
    likelihood = probabilities[np.arange(len(labels)), labels].astype(np.float64)  # (N,)
    averages = {kind: _average(labels, predicted, kind) for kind in ("macro", "weighted")}
    return {
        "images": len(labels),
        "accuracy": float(metrics.accuracy_score(labels, predicted)),
        "loss": float(-np.log(np.clip(likelihood, eps, 1 - eps)).mean()),
        "ece": reliability(labels, probabilities).error,
        **{
            f"{kind}_{name}": scores[score]
            for kind, scores in averages.items()
            for name, score in (
                ("precision", "precision"),
                ("recall", "recall"),
                ("f1", "f1-score"),
            )
        },
    }


def classification_report(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> Report:
    """Return scikit-learn's classification report as plain Python values, ready for JSON.

    All seven classes have an entry, in canonical order, then `accuracy`, `macro avg` and
    `weighted avg`. What is undefined is 0, as in scikit-learn with `zero_division=0`; unlike
    there, the macro average leaves out classes without images, so it agrees with `evaluate`.

    Args:
        labels: (N,), index into EMOTIONS.
        probabilities: (N, 7).

    Raises:
        ValueError: there are no images.
        FerlabError: a probability is not a finite number.
    """
    predicted = _predicted(labels, probabilities)
    columns = metrics.precision_recall_fscore_support(
        labels, predicted, labels=_CLASSES, zero_division=0
    )
    report: Report = {
        name: _scores(*(column[index] for column in columns)) for index, name in enumerate(EMOTIONS)
    }
    report["accuracy"] = float(metrics.accuracy_score(labels, predicted))
    for average in _AVERAGES:
        report[average] = _average(labels, predicted, average.removesuffix(" avg"))
    return report


def format_report(report: Report, title: str) -> str:
    """Return the report as an aligned table, `title` above it: for the console and the .txt file.

    Classes first, then accuracy and the averages, four decimals. A class without images shows
    dashes instead of scores.
    """
    rows = [["", *SCORES], *_rows(report, absent="-")]
    table = [
        f"{name:<12}" + "".join(f"{_four_decimals(cell):>11}" for cell in cells)
        for name, *cells in rows
    ]
    table.insert(1, "")
    table.insert(2 + len(EMOTIONS), "")
    return "\n".join([title, "", *table]) + "\n"


def report_to_csv(report: Report) -> str:
    """Return the report as CSV: class,precision,recall,f1-score,support; scores in full precision.

    Cells without a value are empty: the precision and recall of the accuracy row, and the scores
    of a class without images.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", *SCORES])
    writer.writerows(_rows(report, absent=""))
    return text.getvalue()


def confusion_to_csv(matrix: NDArray[np.int64]) -> str:
    """Return a confusion matrix (7, 7) as CSV: a row per true class, a column per predicted one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true", *EMOTIONS])
    writer.writerows([name, *row] for name, row in zip(EMOTIONS, matrix.tolist(), strict=True))
    return text.getvalue()


def confusion(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the confusion matrix: counts (7, 7), rows the true class, columns the predicted one.

    Raises:
        ValueError: there are no images.
        FerlabError: a probability is not a finite number.
    """
    predicted = _predicted(labels, probabilities)
    matrix = metrics.confusion_matrix(labels, predicted, labels=_CLASSES)
    return np.asarray(matrix, dtype=np.int64)


def format_accuracy(accuracy: float, n: int) -> str:
    """Return accuracy and the half-width of its Wilson interval in points: `62.93 % ± 1.12`.

    Arguments and errors as of `wilson_interval`.
    """
    low, high = wilson_interval(accuracy, n)
    return f"{100 * accuracy:.2f} % ± {50 * (high - low):.2f}"


def _predicted(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the most probable class of each image (N,); the first one of equals."""
    if len(labels) == 0:
        raise ValueError("there are no images to judge; leave out splits without images")
    # argmax would take the first NaN for the most probable class
    broken = np.count_nonzero(~np.isfinite(probabilities).all(axis=1))
    if broken:
        raise FerlabError(
            f"the network's output is not a number for {broken} of {len(labels)} images;"
            " its training diverged, try a smaller learning rate"
        )
    predicted: NDArray[np.int64] = probabilities.argmax(axis=1)
    return predicted


def _average(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], average: str
) -> dict[str, float]:
    """Return the scores averaged over the classes that occur in `labels`."""
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, predicted, labels=np.unique(labels), average=average, zero_division=0
    )
    return _scores(precision, recall, f1, len(labels))


def _scores(precision: float, recall: float, f1: float, support: int) -> dict[str, float]:
    values = float(precision), float(recall), float(f1), int(support)
    return dict(zip(SCORES, values, strict=True))


def _rows(report: Report, absent: str) -> list[list[Any]]:
    """Return name and SCORES of each row of the tables, `absent` for a class without images."""
    rows = []
    for name in (*EMOTIONS, *_AVERAGES):
        scores = [report[name][score] for score in SCORES]
        rows.append([name, *scores] if report[name]["support"] else [name, *[absent] * 3, 0])
    accuracy = ["accuracy", "", "", report["accuracy"], report["macro avg"]["support"]]
    rows.insert(len(EMOTIONS), accuracy)
    return rows


def _four_decimals(cell: object) -> str:
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)
