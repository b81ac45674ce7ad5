"""What became of a sweep's jobs: a table for people, a CSV for programs."""

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from ferlab.reporting.aligned import format_table
from ferlab.reporting.tables import format_accuracy

FINISHED = "finished"


class JobRow(NamedTuple):
    """One job.

    Attributes:
        name: the values that are its own: `model=A seed=1`.
        name_without_seed: the same for jobs that differ in nothing but the seed.
        status: FINISHED, or in words what else.
        metrics: by name; empty where the job is not finished.
        seconds: of training, over all its starts; None where nothing tells.
        reason: why it is not finished, in one line; else empty.
    """

    name: str
    name_without_seed: str
    status: str
    metrics: Mapping[str, float]
    seconds: float | None
    reason: str


def describe_jobs(rows: Sequence[JobRow]) -> str:
    """Return a table of the jobs, and below it one over seeds where jobs differ in these alone.

    Accuracies are in per cent with their 95 % interval, the time in hours, minutes and seconds.
    """
    columns = _accuracies(rows)
    numbers = range(2, 2 + len(columns))
    body = [
        [
            row.name,
            row.status,
            *(_percent(row.metrics, column) for column in columns),
            "" if row.seconds is None else str(timedelta(seconds=round(row.seconds))),
            row.reason,
        ]
        for row in rows
    ]
    header = ["job", "status", *columns, "time", ""]
    lines = format_table(header, body, [], [*numbers, 2 + len(columns)], "text")
    if means := _over_seeds(rows, columns):
        header = ["mean ± standard deviation", "seeds", *columns]
        lines += ["", *format_table(header, means, [], [1, *numbers], "text")]
    return "\n".join(lines)


def jobs_to_csv(rows: Sequence[JobRow]) -> str:
    """Return one line per job: name, status, every accuracy as a fraction, seconds, reason."""
    columns = _accuracies(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", "status", *columns, "seconds", "reason"])
    for row in rows:
        values = [row.metrics.get(column, "") for column in columns]
        seconds = "" if row.seconds is None else round(row.seconds, 1)
        writer.writerow([row.name, row.status, *values, seconds, row.reason])
    return text.getvalue()


def _accuracies(rows: Sequence[JobRow]) -> list[str]:
    """Return the names of the accuracies on validation and test, in order of appearance."""
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    return [name for name in names if name.endswith(("val/accuracy", "test/accuracy"))]


def _over_seeds(rows: Sequence[JobRow], columns: Sequence[str]) -> list[list[str]]:
    """Return name, number and means of the finished jobs that differ in nothing but the seed.

    What not all of them have, such as a validation, has no mean.
    """
    alike: dict[str, list[JobRow]] = {}
    for row in rows:
        if row.status == FINISHED:
            alike.setdefault(row.name_without_seed, []).append(row)
    return [
        [
            name or "all",
            str(len(several)),
            *(
                _mean([row.metrics[column] for row in several])
                if all(column in row.metrics for row in several)
                else ""
                for column in columns
            ),
        ]
        for name, several in alike.items()
        if len(several) > 1
    ]


def _percent(metrics: Mapping[str, float], column: str) -> str:
    """Return an accuracy with its 95 % interval where the number of images is known."""
    if column not in metrics:
        return ""
    n_images = metrics.get(column.replace("accuracy", "images"))
    accuracy = metrics[column]
    return format_accuracy(accuracy, int(n_images)) if n_images else f"{100 * accuracy:.2f} %"


def _mean(values: Sequence[float]) -> str:
    return f"{100 * statistics.mean(values):.2f} ± {100 * statistics.stdev(values):.2f} %"
