"""Many runs in one figure: accuracy by model, learning curves over one another, against cost.

Each figure is 6 inches wide with letters to match, so that it reads on a phone too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from ferlab.reporting.entries import Entry
from ferlab.reporting.figures import GREY, INK, new_figure, tidy
from ferlab.reporting.intervals import wilson_interval

# Okabe & Ito's colours, apart for every kind of colour vision; without the pale yellow
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
HIGHLIGHTED = len(COLOURS)
"""Runs with a colour of their own; all others are grey."""

_LETTERS = 11  # points

Reported = Mapping[str, float]
"""Accuracy by the name of a model, as somebody else has it."""


def draw_accuracies(
    best: Sequence[Entry], title: str, reported: Reported, reported_on: str
) -> Figure:
    """Return bars of test accuracy by model, a colour per optimizer, with 95 % intervals.

    Args:
        best: trained networks judged on the same test images, at most one per model and optimizer;
            models in the order of their first entry, from the top.
        title: says what the images are.
        reported: is marked beside the bars.
        reported_on: the images of that; the legend names them.
    """
    models = list(dict.fromkeys(entry.model for entry in best))
    optimizers = sorted({entry.optimizer for entry in best})
    thickness = 0.8 / len(optimizers)
    figure = new_figure(6, 1.5 + 0.34 * len(models) * max(1, len(optimizers) * 0.75), title)
    axes = figure.subplots()
    for entry in best:
        score, index = entry.scores["test"], optimizers.index(entry.optimizer)
        y = models.index(entry.model) + thickness * (index - (len(optimizers) - 1) / 2)
        axes.barh(y, score.accuracy, height=0.9 * thickness, color=COLOURS[index % HIGHLIGHTED])
        high = score.accuracy
        if score.images:
            low, high = wilson_interval(score.accuracy, score.images)
            axes.plot([low, high], [y, y], color=INK, linewidth=1.2)
        axes.annotate(
            f"{100 * score.accuracy:.1f}",
            (high, y),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=_LETTERS - 2,
        )
    handles: list[object] = [
        Line2D([], [], color=COLOURS[index % HIGHLIGHTED], linewidth=7, label=_short(name, 24))
        for index, name in enumerate(optimizers)
    ]
    marked = [(reported[model], y) for y, model in enumerate(models) if model in reported]
    if marked:
        look: dict[str, Any] = {
            "marker": "D",
            "linestyle": "",
            "markerfacecolor": "white",
            "color": INK,
        }
        axes.plot(*zip(*marked, strict=True), **look)
        handles.append(Line2D([], [], label=f"the report, on {reported_on}", **look))
    axes.set_yticks(range(len(models)), [_short(model, 16) for model in models])
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_xlim(0, min(1.12, axes.get_xlim()[1] * 1.08))
    axes.set_xlabel("test accuracy, % (line: 95 % interval)", fontsize=_LETTERS)
    _percent(axes, "x")
    tidy(axes, grid="x")
    axes.tick_params(labelsize=_LETTERS - 1)
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=1 if marked else min(3, len(optimizers)),
        frameon=False,
        fontsize=_LETTERS - 1,
    )
    return figure


def draw_overlaid(entries: Sequence[Entry], metric: str, title: str) -> Figure:
    """Return the validation curves of all runs, the first HIGHLIGHTED ones in colours.

    Their training curves are dashed. The values of a few diverging epochs may lie outside.

    Args:
        entries: with a history, the best first.
        metric: `accuracy` or `loss`.
        title: one line above.
    """
    figure = new_figure(6, 4.6, title)
    axes = figure.subplots()
    seen: list[float] = []
    for rank, entry in reversed(list(enumerate(entries))):
        epochs = [row["epoch"] for row in entry.history]
        val = [row.get(f"val/{metric}", np.nan) for row in entry.history]
        if rank >= HIGHLIGHTED:
            axes.plot(epochs, val, color=GREY, linewidth=0.7, alpha=0.45, zorder=1)
        else:
            look: dict[str, Any] = {"color": COLOURS[rank], "zorder": 3}
            train = [row.get(f"train/{metric}", np.nan) for row in entry.history]
            marker = "o" if len(epochs) == 1 else ""
            axes.plot(epochs, val, linewidth=1.9, marker=marker, **look)
            axes.plot(
                epochs, train, linewidth=1, linestyle=(0, (3, 2)), alpha=0.6, marker=marker, **look
            )
            seen += [*val, *train]
        seen += val
    if metric == "loss" and (finite := [value for value in seen if np.isfinite(value)]):
        low, usual, high = np.quantile(finite, [0, 0.95, 1])
        axes.set_ylim(max(0, low * 0.9), min(high, usual * 1.3) * 1.02 + 1e-6)
    if metric == "accuracy":
        _percent(axes, "y")
    axes.set_xlabel("epoch", fontsize=_LETTERS)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylabel(f"{metric}, %" if metric == "accuracy" else metric, fontsize=_LETTERS)
    tidy(axes, grid="y")
    axes.tick_params(labelsize=_LETTERS - 1)
    return figure


def draw_costs(entries: Sequence[Entry], title: str) -> Figure:
    """Return test accuracy against multiply-accumulates, the best of each model with its name.

    Args:
        entries: trained networks judged on the same test images, the best first.
        title: says what the images are.
    """
    figure = new_figure(6, 4.6, title)
    axes = figure.subplots()
    best: dict[str, Entry] = {}
    for entry in entries:
        best.setdefault(entry.model, entry)
    for entry in entries:
        if best[entry.model] is not entry:
            axes.plot(_mega(entry), entry.scores["test"].accuracy, ".", color=GREY, alpha=0.5)
    for entry in best.values():
        score = entry.scores["test"]
        if score.images:
            low, high = wilson_interval(score.accuracy, score.images)
            axes.plot([_mega(entry)] * 2, [low, high], color=COLOURS[0], linewidth=1, alpha=0.6)
        axes.plot(_mega(entry), score.accuracy, "o", color=COLOURS[0], markersize=6)
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.12)
    axes.set_xlabel("million multiply-accumulates per image, forward", fontsize=_LETTERS)
    axes.set_ylabel("test accuracy, %", fontsize=_LETTERS)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda millions, _: f"{millions:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    _percent(axes, "y")
    tidy(axes, grid="both")
    axes.tick_params(labelsize=_LETTERS - 1)
    figure.canvas.draw()  # places the axes, which the labels are placed in
    figure.set_layout_engine("none")
    _name_points(
        axes,
        {model: (_mega(entry), entry.scores["test"].accuracy) for model, entry in best.items()},
        [(_mega(entry), entry.scores["test"].accuracy) for entry in entries],
    )
    return figure


def _name_points(
    axes: Axes, named: Mapping[str, tuple[float, float]], points: Sequence[tuple[float, float]]
) -> None:
    """Write each name beside its point, where it covers no other name and none of the points.

    A name that finds no such place is not written.
    """
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in axes.transData.transform(points)]
    frame = axes.get_window_extent()
    for name, point in named.items():
        for dx, dy, across, along in _PLACES:
            text = axes.annotate(
                _short(name, 14),
                point,
                (dx, dy),
                textcoords="offset points",
                ha=across,
                va=along,
                fontsize=_LETTERS - 1,
            )
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()


_PLACES = (
    (8, 0, "left", "center"),
    (-8, 0, "right", "center"),
    (0, 9, "center", "bottom"),
    (0, -9, "center", "top"),
    (8, 8, "left", "bottom"),
    (-8, -8, "right", "top"),
    (8, -8, "left", "top"),
    (-8, 8, "right", "bottom"),
)
"""Of a name beside its point, the preferred ones first: points to the right and up, alignment."""


def _mega(entry: Entry) -> float:
    return (entry.macs or 0) / 1e6


def _short(text: str, most: int) -> str:
    """Return the text of at most so many letters, its middle cut; `$` means no formula.

    Variants of one name differ at its end.
    """
    kept = most - 1
    cut = text if len(text) <= most else f"{text[: kept - kept // 2]}…{text[-(kept // 2) :]}"
    return cut.replace("$", r"\$")


def _percent(axes: Axes, side: str) -> None:
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}"))
