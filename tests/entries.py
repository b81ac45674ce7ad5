"""Lines of the comparison, made up."""

from pathlib import Path
from typing import Any

from ferlab.reporting.entries import Entry, Score


def entry(folder: str, val: float | None = None, **values: Any) -> Entry:
    """Return a run with this accuracy on 100 validation images, and what else is given of it."""
    scores = {} if val is None else {"val": Score(val, 100)}
    scores |= values.pop("scores", {})
    known = {"kind": "run", "model": "A", "optimizer": "adam", "augmentation": "none", "seed": 0}
    return Entry(
        **{**known, "data": "FER-2013", **values}, scores=scores, folder=folder, path=Path(folder)
    )
