from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlab.history import (
    HISTORY_COLUMNS,
    best_row,
    read_history,
    total_seconds,
    write_history,
)

PATH = Path("history.csv")

share = st.floats(0, 1)
positive = st.floats(0, 1e6)


def rows(validates: bool):
    values = [st.integers(1, 10**6), st.floats(), share, st.floats(), share, *[positive] * 3]
    kept = {
        column: value
        for column, value in zip(HISTORY_COLUMNS, values, strict=True)
        if validates or not column.startswith("val/")
    }
    return st.lists(st.fixed_dictionaries(kept), max_size=4)


@settings(max_examples=30)
@given(st.booleans().flatmap(rows))
def test_what_is_written_is_read_again_also_where_nothing_validated_or_it_diverged(written):
    write_history(PATH, written)
    read = read_history(PATH)
    assert len(read) == len(written)
    for one, other in zip(read, written, strict=True):
        assert one == pytest.approx(other, rel=0, abs=0, nan_ok=True)


def test_a_missing_file_has_no_rows():
    assert read_history(PATH) == []


@pytest.mark.parametrize(
    "line",
    [
        "1,0.5",  # cut off
        "0,1,0.5,1,0.5,0.1,9,9",  # there is no epoch 0
        "1e308,1,0.5,1,0.5,0.1,9,9",
        "2,1,1.5,1,0.5,0.1,9,9",  # more than all are right
        "2,1,0.5,1,-0.5,0.1,9,9",
        "2,1,0.5,1,0.5,0.1,inf,9",
        "2,1,0.5,,,0.1,9,9",  # validated in the first epoch alone
    ],
)
def test_a_line_that_cannot_be_makes_the_file_damaged(line):
    good = "1,1,0.5,1,0.5,0.1,9,9"
    PATH.write_text("\n".join([",".join(HISTORY_COLUMNS), good, ""]))
    assert len(read_history(PATH)) == 1
    PATH.write_text("\n".join([",".join(HISTORY_COLUMNS), good, line, ""]))
    assert read_history(PATH) == []


def test_seconds_are_added_up_over_the_epochs():
    assert total_seconds([{"seconds": 1.5}, {"seconds": 2.0}]) == 3.5
    assert total_seconds([]) is None


@pytest.mark.parametrize(
    ("monitor", "direction", "epoch"), [("val/accuracy", "max", 2), ("val/loss", "min", 3)]
)
def test_the_best_epoch_is_the_first_of_equals(monitor, direction, epoch):
    rows = [
        {"epoch": number, "val/accuracy": accuracy, "val/loss": loss}
        for number, accuracy, loss in [(1, 0.4, 1.2), (2, 0.6, 1.1), (3, 0.6, 1.0), (4, 0.5, 1.0)]
    ]
    assert best_row(rows, monitor, direction)["epoch"] == epoch
