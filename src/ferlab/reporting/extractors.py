"""The report's Table 3: classifiers on the features of networks, beside the networks alone."""

import csv
import io
from collections.abc import Mapping

from ferlab.reporting.aligned import format_table
from ferlab.reporting.literature import REPORT_IMAGES, TABLE_3
from ferlab.reporting.tables import format_accuracy

ALONE = "network_alone"
"""The column of the networks' own output layers."""

Accuracies = Mapping[str, float]
"""Test accuracy by the name of a classifier, or ALONE."""


def format_extractors(
    title: str,
    measured: Mapping[str, Accuracies],
    n_images: Mapping[str, int],
    cites: bool = True,
    form: str = "text",
) -> str:
    """Return the table: a row per network and, where the report has one, the report's below it.

    Ours have their 95 % interval.

    Args:
        title: above the table.
        measured: by the name of a network; each of the same classifiers.
        n_images: how many test images each network's accuracies are of.
        cites: whether the report's rows are there; they are of FER-2013.
        form: one of `aligned.FORMATS`.
    """
    columns = _columns(measured)
    body = [
        [
            network,
            source if source == "ferlab" else f"the report, {REPORT_IMAGES}",
            *(
                _cell(accuracies.get(column), n_images[network] if source == "ferlab" else None)
                for column in columns
            ),
        ]
        for network, source, accuracies in _rows(measured, cites)
    ]
    header = ["extractor", "", *columns]
    lines = format_table(header, body, [], range(2, len(header)), form)
    return "\n".join([f"### {title}" if form == "markdown" else title, "", *lines])


def extractors_to_csv(measured: Mapping[str, Accuracies], cites: bool = True) -> str:
    """Return the table as CSV: extractor, source (ferlab or report), and a column per classifier.

    Accuracies in full precision; empty where the report has none. Arguments as of
    `format_extractors`.
    """
    columns = _columns(measured)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["extractor", "source", *columns])
    writer.writerows(
        [network, source, *(accuracies.get(column, "") for column in columns)]
        for network, source, accuracies in _rows(measured, cites)
    )
    return text.getvalue()


def _columns(measured: Mapping[str, Accuracies]) -> list[str]:
    """Return the classifiers in order, the network alone last."""
    classifiers = dict.fromkeys(name for row in measured.values() for name in row if name != ALONE)
    return [*classifiers, ALONE]


def _rows(measured: Mapping[str, Accuracies], cites: bool) -> list[tuple[str, str, Accuracies]]:
    """Return network, source and accuracies of each row."""
    rows: list[tuple[str, str, Accuracies]] = []
    for network, accuracies in measured.items():
        rows.append((network, "ferlab", accuracies))
        if cites and network in TABLE_3:
            rows.append((network, "report", TABLE_3[network]))
    return rows


def _cell(accuracy: float | None, n_images: int | None) -> str:
    """Return the accuracy in words, of so many images with its interval."""
    if accuracy is None:
        return "-"
    return f"{100 * accuracy:.2f} %" if n_images is None else format_accuracy(accuracy, n_images)
