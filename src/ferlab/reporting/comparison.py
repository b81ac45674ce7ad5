"""The comparison as text: the table of all runs, and the means over seeds."""

import csv
import io
import re
from collections.abc import Sequence

from ferlab.checks import printable
from ferlab.reporting.aligned import format_table
from ferlab.reporting.entries import COLUMNS, SPLITS, Entry, OverSeeds, ordered
from ferlab.reporting.intervals import wilson_interval
from ferlab.reporting.report_tables import table_3, table_4

TITLES = {
    "model": "model",
    "optimizer": "optimizer",
    "val": "val %",
    "val_loss": "val loss",
    "test": "test %",
    "judged_on": "test images",
    "clean": "clean %",
    "public": "public %",
    "private": "private %",
    "macro_f1": "macro F1",
    "train": "train %",
    "augmentation": "augment",
    "seed": "seed",
    "parameters": "parameters",
    "macs": "MACs",
    "epochs": "epochs",
    "seconds": "time",
    "data": "data",
    "kind": "kind",
    "details": "details",
    "commit": "commit",
    "folder": "folder",
}
"""What stands above the columns, in their order."""

TEXTS = (
    "model",
    "kind",
    "optimizer",
    "augmentation",
    "judged_on",
    "data",
    "commit",
    "details",
    "folder",
)
"""Columns of words; the others hold numbers."""


def shown(entry: Entry, column: str) -> tuple[str, str]:
    """Return what stands in a cell, and a note to it: both may be empty."""
    value = entry.value(column)
    if value is None:
        return "", ""
    if column in SPLITS:
        return f"{100 * entry.scores[column].accuracy:.2f}", entry.interval(column)
    match column:
        case "macro_f1" | "val_loss":
            return f"{value:.3f}", ""
        case "parameters":
            return f"{value:,}", ""
        case "macs":
            return _millions(float(value)), ""
        case "epochs":
            chosen = entry.best_epoch and "val" in entry.scores
            return str(value), f"best {entry.best_epoch}" if chosen else ""
        case "seconds":
            return duration(float(value)), ""
        case "commit":
            commit, _, dirty = str(value).partition("-")
            return commit[:7], dirty
    return str(value), ""


def duration(seconds: float) -> str:
    """Return hours and minutes, minutes and seconds, or seconds."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"


def used(entries: Sequence[Entry], columns: Sequence[str]) -> list[str]:
    """Return the columns out of `columns` in which one of the entries has something to show."""
    return [
        column
        for column in columns
        if any(entry.value(column) not in (None, "") for entry in entries)
    ]


def format_runs(entries: Sequence[Entry], columns: Sequence[str], form: str = "text") -> str:
    """Return the table of entries: those of the columns that have something to show.

    Args:
        entries: in their order.
        columns: out of TITLES.
        form: one of `aligned.FORMATS`.
    """
    columns = used(entries, columns)
    body = [[_plain(" ".join(shown(entry, name)), form) for name in columns] for entry in entries]
    right = [index for index, name in enumerate(columns) if name not in TEXTS]
    return "\n".join(format_table([TITLES[name] for name in columns], body, [], right, form))


def runs_to_csv(entries: Sequence[Entry]) -> str:
    """Return all columns as CSV, in full precision; accuracies in [0, 1].

    Beside each accuracy stand the images and the ends of the 95 % interval; what is not known is
    empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    further = [f"{split}_{what}" for split in SPLITS[1:] for what in ("images", "low", "high")]
    writer.writerow([*COLUMNS, *further])
    for entry in entries:
        numbers: list[float | None] = []
        for split in SPLITS[1:]:
            score = entry.scores.get(split)
            images = score.images if score else None
            ends = wilson_interval(score.accuracy, images) if score and images else (None, None)
            numbers += [images, *ends]
        writer.writerow([*(_no_formula(entry.value(column)) for column in COLUMNS), *numbers])
    return text.getvalue()


def _no_formula(value: str | float | None) -> str | float | None:
    """Return the value; a text that a spreadsheet would compute begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(tuple("=+-@")) else value


SPREAD = ("val", "val_loss", "test", "public", "private", "clean", "macro_f1")
"""Columns of the table over seeds."""


def seed_rows(groups: Sequence[OverSeeds]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of mean ± standard deviation over seeds."""
    columns = [name for name in SPREAD if any(group.spread(name) for group in groups)]
    header = ["model", "optimizer", "augment", "details", "seeds", *map(TITLES.get, columns)]
    header.append("test images")
    rows = []
    for group in groups:
        first = group.entries[0]
        seeds = str(len(group.entries))
        rows.append(
            [first.model, first.optimizer, first.augmentation, first.details, seeds]
            + [_spread(group.spread(column), column) for column in columns]
            + [first.test_set]
        )
    return [str(name) for name in header], rows


def to_markdown(
    title: str, order: str, entries: Sequence[Entry], groups: Sequence[OverSeeds]
) -> str:
    """Return the tables of all entries, over seeds, and the report's 3 and 4 in Markdown.

    Args:
        title: the first heading.
        order: a sentence on the order of the entries.
        entries: in that order.
        groups: of runs that differ in their seed alone.
    """
    parts = [f"# {title}", order, format_runs(entries, list(TITLES), "markdown")]
    best = ordered(entries, "val")
    if groups:
        header, rows = seed_rows(groups)
        parts += ["## Over seeds", _markdown(header, rows)]
    if (third := table_3(best)) is not None:
        parts += ["## Table 3", _markdown(third.header, third.rows)]
    fourth = table_4(best)
    if len(fourth.cited) < len(fourth.rows):
        parts += ["## Table 4", _markdown(fourth.header, fourth.rows)]
    return "\n\n".join(parts) + "\n"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    body = [[_plain(cell, "markdown") for cell in row] for row in rows]
    return "\n".join(format_table(header, body, [], [], "markdown"))


def _plain(text: str, form: str) -> str:
    """Return a cell on one line, in Markdown without anything that means something there."""
    line = printable(" ".join(text.split()))
    if form != "markdown":
        return line
    return re.sub(r"([\\|*`$\[])", r"\\\1", line).replace("<", "&lt;")


def _spread(spread: tuple[float, float] | None, column: str) -> str:
    if spread is None:
        return ""
    scale, digits = (1, 3) if column in ("macro_f1", "val_loss") else (100, 2)
    return f"{scale * spread[0]:.{digits}f} ± {scale * spread[1]:.{digits}f}"


def _millions(number: float) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e5 else f"{number / 1e3:.1f} k"
