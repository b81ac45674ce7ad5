"""Many runs in one figure."""

from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ferlab.reporting.entries import Entry, Score
from ferlab.reporting.figures import to_image
from ferlab.reporting.overlays import (
    COLOURS,
    HIGHLIGHTED,
    draw_accuracies,
    draw_costs,
    draw_overlaid,
)

REPORTED = {"F": 0.6293, "C": 0.5972}


def entry(
    model: str = "F", test: float = 0.6, optimizer: str = "adam", macs: int = 10**8, n: int = 3
) -> Entry:
    history = [
        {
            "epoch": float(epoch),
            "train/accuracy": test * epoch / n,
            "val/accuracy": 0.9 * test * epoch / n,
            "train/loss": 2.0 - epoch / n,
            "val/loss": 2.1 - epoch / n,
        }
        for epoch in range(1, n + 1)
    ]
    return Entry(
        kind="run",
        model=model,
        optimizer=optimizer,
        augmentation="report",
        seed=0,
        data="FER-2013",
        scores={"test": Score(test, 3589)},
        folder="f",
        path=Path("f"),
        macs=macs,
        history=history,
    )


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_each_model_has_a_bar_per_optimizer_with_its_interval() -> None:
    best = [entry("F", 0.65), entry("F", 0.63, "sgd"), entry("G", 0.5)]
    figure = draw_accuracies(best, "t", REPORTED, "7,178 images")
    (axes,) = figure.axes
    assert [patch.get_width() for patch in axes.patches] == [0.65, 0.63, 0.5]  # type: ignore[attr-defined]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["F", "G"]
    assert texts(figure) == ["65.0", "63.0", "50.0"]
    intervals = [line.get_xdata() for line in axes.lines[:3]]
    assert intervals[0][0] < 0.65 < intervals[0][1]  # type: ignore[index, operator]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["adam", "sgd", "the report, on 7,178 images"]
    diamonds = axes.lines[3]
    assert (list(diamonds.get_xdata()), list(diamonds.get_ydata())) == ([0.6293], [0])  # type: ignore[arg-type]


def test_without_reported_numbers_the_report_is_not_mentioned() -> None:
    figure = draw_accuracies([entry("G")], "t", REPORTED, "7,178 images")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["adam"]


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_the_first_runs_are_coloured_and_all_others_grey(metric: str) -> None:
    figure = draw_overlaid([entry(test=0.9 - rank / 100) for rank in range(30)], metric, "t")
    colours = [to_hex(line.get_color()) for line in figure.axes[0].lines]
    assert len(colours) == 30 + HIGHLIGHTED  # these have a dashed line too
    assert {colour: colours.count(colour) for colour in COLOURS} == dict.fromkeys(COLOURS, 2)
    to_image(figure)


def test_a_diverged_epoch_does_not_flatten_all_others() -> None:
    entries = [entry(n=40) for _ in range(3)]
    entries[2].history[7]["val/loss"] = 1e6  # type: ignore[index]
    entries[1].history[7]["val/loss"] = float("nan")  # type: ignore[index]
    low, high = draw_overlaid(entries, "loss", "t").axes[0].get_ylim()
    assert 0 <= low < high < 10


def test_one_epoch_is_drawn_as_a_point() -> None:
    figure = draw_overlaid([entry(n=1)], "accuracy", "t")
    assert {line.get_marker() for line in figure.axes[0].lines} == {"o"}
    to_image(figure)


def test_names_beside_points_cover_neither_each_other_nor_the_points() -> None:
    entries = [
        entry(name, 0.6 + 0.003 * rank, macs=10**8 + rank) for rank, name in enumerate("ABCD")
    ]
    figure = draw_costs([*entries, entry("far", 0.5, macs=10**6)], "t")
    (axes,) = figure.axes
    assert set(texts(figure)) <= {"A", "B", "C", "D", "far"}
    assert len(texts(figure)) >= 4
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    for point in entries:
        x, y = axes.transData.transform((point.macs / 1e6, point.scores["test"].accuracy))  # type: ignore[operator]
        assert not any(box.contains(x, y) for box in boxes)


def test_names_with_dollars_are_no_formulas() -> None:
    odd = entry("$\\frac$", optimizer="$x_$")
    for figure in (draw_accuracies([odd], "t", {}, ""), draw_costs([odd], "t of $DATA_$x")):
        assert to_image(figure).std() > 0  # drawn to the end
