"""`history.csv`: what was measured in each epoch of a training."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ferlab.files import write_text

HISTORY_COLUMNS = (
    "epoch",
    "train/loss",
    "train/accuracy",
    "val/loss",
    "val/accuracy",
    "learning_rate",
    "seconds",
    "images_per_second",
)

_MEASURED = HISTORY_COLUMNS[1:]  # all but the epoch's number


def read_history(path: Path) -> list[dict[str, float]]:
    """Return one row per epoch, HISTORY_COLUMNS by name; none where the file is not whole.

    Where nothing validated, the rows have no `val/loss` and no `val/accuracy`. Of a training that
    diverged, losses may be no numbers.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [_parse(row) for row in csv.DictReader(file)]
    except (OSError, ValueError, LookupError, TypeError, csv.Error):
        return []
    alike = all(row.keys() == rows[0].keys() for row in rows)
    return rows if alike and all(map(_is_plausible, rows)) else []


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write the rows that `read_history` returns, all or none."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def total_seconds(rows: Sequence[Mapping[str, float]]) -> float | None:
    """Return how long the epochs took together, over all starts of the training; None of none."""
    return sum(row["seconds"] for row in rows) if rows else None


def best_row(
    rows: Sequence[Mapping[str, float]], monitor: str, direction: str
) -> Mapping[str, float]:
    """Return the row with the best value of `monitor`, the first of equals.

    Where nothing validated it is the last one.

    Args:
        rows: one at least.
        monitor: `val/accuracy` or `val/loss`.
        direction: "max" where more is better, else "min".
    """
    if monitor not in rows[-1]:
        return rows[-1]
    choose = max if direction == "max" else min
    return choose(rows, key=lambda row: row[monitor])


def _parse(row: Mapping[str, str]) -> dict[str, float]:
    kept = [key for key in _MEASURED if not key.startswith("val/") or row[key] != ""]
    return {"epoch": int(row["epoch"]), **{key: float(row[key]) for key in kept}}


def _is_plausible(row: Mapping[str, float]) -> bool:
    accuracies = (row[key] for key in ("train/accuracy", "val/accuracy") if key in row)
    return (
        1 <= row["epoch"] < 1e9
        and 0 <= row["seconds"] < math.inf
        and not any(value < 0 or value > 1 for value in accuracies)
    )
