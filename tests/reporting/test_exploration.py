"""The pictures of a data set: the numbers in them are those of the data."""

import numpy as np

from ferlab.emotions import EMOTIONS
from ferlab.reporting.exploration import (
    draw_distribution,
    draw_plan,
    draw_split,
    stratification_error,
)

TRAIN = np.array([90, 9, 180, 270, 90, 90, 171])
VALIDATION = np.array([10, 1, 20, 30, 10, 10, 19])


def heights(axes):
    """Return the heights of the bars, group by group."""
    return [[bar.get_height() for bar in group] for group in axes.containers]


def words(figure):
    return " ".join(
        [text.get_text() for axes in figure.axes for text in axes.texts]
        + [text.get_text() for axes in figure.axes for text in axes.get_xticklabels()]
    )


def test_the_distribution_shows_the_counts_in_all_and_the_shares_of_each_split():
    figure = draw_distribution({"training": TRAIN, "public": VALIDATION}, "t")
    overall, shares = figure.axes
    assert heights(overall) == [(TRAIN + VALIDATION).tolist()]
    assert np.allclose(heights(shares), [TRAIN / 900, VALIDATION / 100])
    assert all(emotion in words(figure) for emotion in EMOTIONS)
    assert "30.0 %" in words(figure)
    assert [text.get_text() for text in shares.get_legend().get_texts()] == [
        "training (900)",
        "public (100)",
    ]


def test_the_stratification_error_is_the_difference_of_shares_in_points():
    other = VALIDATION + np.array([1, 0, 0, -1, 0, 0, 0])
    assert np.allclose(stratification_error(TRAIN, VALIDATION), 0)
    assert np.allclose(stratification_error(TRAIN, other), [1, 0, 0, -1, 0, 0, 0])
    _, errors = draw_split({"train": TRAIN, "validation": other}, "t").axes
    assert np.allclose(heights(errors), [[1, 0, 0, -1, 0, 0, 0]])


def test_the_plan_puts_the_added_rows_on_top_of_the_originals():
    added = np.array([15, 16, 15, 0, 0, 0, 20])
    (axes,) = draw_plan(TRAIN, added, "t").axes
    originals, extra = axes.containers
    assert [bar.get_height() for bar in originals] == TRAIN.tolist()
    assert [(bar.get_y(), bar.get_height()) for bar in extra] == list(
        zip(TRAIN, added, strict=True)
    )
