"""Numbers into figures: learning curves and the confusion matrix.

Drawn through matplotlib's object interface on the Agg canvas: no window, no global state.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray
from PIL import Image

from ferlab.emotions import EMOTIONS
from ferlab.files import replacing

# Okabe & Ito's vermilion beside a muted blue: apart for every kind of colour vision, and the dashes
# keep them apart in grey
_CURVES: dict[str, dict[str, Any]] = {
    "train": {"label": "train", "color": "#5b8db8", "linestyle": (0, (4, 1.5)), "linewidth": 1.5},
    "val": {"label": "validation", "color": "#d55e00", "linestyle": "-", "linewidth": 2.0},
}
INK = "#1a1a1a"
GREY = "#8c8c8c"
_FEW = 25  # epochs up to which each one gets a dot


def draw_curves(
    history: list[dict[str, float]], title: str, best_epoch: int | None = None
) -> Figure:
    """Return the learning curves of a run: loss on the left, accuracy on the right.

    The best epoch is marked in both panels with its value. A strip below each panel shows the
    learning rate over the same epochs.

    Args:
        history: one row per epoch, in order, with `epoch` (from 1), `train/loss`, `val/loss`,
            `train/accuracy`, `val/accuracy` and `learning_rate`; without the two `val/` keys
            where nothing was held out for validation.
        title: one line above the panels.
        best_epoch: the epoch whose weights were kept; None takes that of the highest validation
            accuracy, the first of equals.

    Raises:
        ValueError: the history has no rows.
    """
    if not history:
        raise ValueError("the history has no epochs to draw")
    figure = new_figure(10, 5, title)
    panels, strips = figure.subplots(2, 2, sharex=True, height_ratios=(7, 1))
    for panel, strip, metric in zip(panels, strips, ("loss", "accuracy"), strict=True):
        _draw_metric(panel, history, metric)
        if "val/accuracy" in history[0]:
            _mark_best(panel, history, metric, best_epoch)
        _draw_learning_rate(strip, history)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    return figure


def draw_confusion_matrix(matrix: NDArray[np.int64], title: str) -> Figure:
    """Return the confusion matrix as a figure: in each cell the count and the share of its row.

    The colour is the share too, from 0 (white) to 1, so that small classes read like large ones.

    Args:
        matrix: counts (7, 7), rows the true class, columns the predicted one; a row without
            images shows zeros.
        title: one line above the matrix.
    """
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)  # (7, 7)
    figure = new_figure(7, 6.9, title)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        share = shares[row, column]
        # from about two thirds on, Blues is so dark that white is the more legible ink
        ink = "white" if share > 0.68 else INK
        # inside the axes they need no room of their own: the layout is found twice as fast
        place = {"x": column, "color": ink, "ha": "center", "in_layout": False}
        axes.text(y=row - 0.02, s=f"{count}", va="bottom", fontsize=11, **place)
        axes.text(y=row + 0.06, s=f"{share:.1%}".replace("%", " %"), va="top", fontsize=8, **place)
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS)
    axes.set_yticks(range(len(EMOTIONS)), EMOTIONS)
    axes.set_xlabel("predicted", labelpad=8)
    axes.set_ylabel("true", labelpad=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    borders = np.arange(len(EMOTIONS) + 1) - 0.5
    axes.hlines(borders, -0.5, len(EMOTIONS) - 0.5, color="#d9d9d9", linewidth=0.8)
    axes.vlines(borders, -0.5, len(EMOTIONS) - 0.5, color="#d9d9d9", linewidth=0.8)
    return figure


def to_image(figure: Figure, dpi: int = 100) -> NDArray[np.uint8]:
    """Return the figure as pixels (H, W, 3), `dpi` of them per inch."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba(), dtype=np.uint8)[..., :3]


def save(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG file, 150 pixels per inch, whole or not at all.

    It is drawn once: matplotlib's own `savefig` draws once more to find the layout.
    """
    pixels = to_image(figure, dpi=150)
    with replacing(path) as partial:
        Image.fromarray(pixels).save(partial, format="png", dpi=(150, 150))


def save_image(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write grey levels (H, W) as a PNG file, whole or not at all."""
    with replacing(path) as partial:
        Image.fromarray(pixels).save(partial, format="png", optimize=True)


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure of this size in inches, its title at the upper left."""
    figure = Figure(
        figsize=(width, height),
        dpi=100,
        layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1),
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    text = title.replace("$", r"\$")  # no formula
    figure.suptitle(text, x=0.012, ha="left", fontsize=12, color=INK, wrap=True)
    return figure


def tidy(axes: Axes, grid: Literal["x", "y", "both"] = "y") -> None:
    """Draw a pale grid behind the marks, and no frame at the top and right."""
    axes.grid(axis=grid, color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_metric(axes: Axes, history: list[dict[str, float]], metric: str) -> None:
    """Draw train over validation for `loss` or `accuracy`."""
    epochs = _column(history, "epoch")
    for split, look in _CURVES.items():
        key = f"{split}/{metric}"
        if key in history[0]:
            marker = "o" if len(history) <= _FEW else ""
            axes.plot(epochs, _column(history, key), marker=marker, markersize=3.5, **look)
    axes.set_ylabel(metric)
    tidy(axes)


def _mark_best(
    axes: Axes, history: list[dict[str, float]], metric: str, best_epoch: int | None
) -> None:
    """Draw a line at the best epoch, its value beside its foot."""
    if best_epoch is None:
        best = history[int(np.argmax(_column(history, "val/accuracy")))]
    else:
        best = next(row for row in history if row["epoch"] == best_epoch)
    axes.axvline(best["epoch"], color=GREY, linewidth=0.8, zorder=1)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.1 * (high - low), high)  # a band below the curves for the value
    left_half = best["epoch"] < (history[0]["epoch"] + history[-1]["epoch"]) / 2
    axes.annotate(
        f"{best[f'val/{metric}']:.3f} at epoch {best['epoch']:.0f}",
        xy=(best["epoch"], 0.02),
        xycoords=axes.get_xaxis_transform(),
        xytext=(5 if left_half else -5, 0),
        textcoords="offset points",
        ha="left" if left_half else "right",
        va="bottom",
        fontsize=9,
        color=_CURVES["val"]["color"],
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # no grid line through it
    )


def _draw_learning_rate(axes: Axes, history: list[dict[str, float]]) -> None:
    """Draw the learning rate as a thin stepped line, its extremes written on the axis."""
    epochs, rates = _column(history, "epoch"), _column(history, "learning_rate")
    edges = np.append(epochs, epochs[-1] + 1) - 0.5  # one epoch is a step too
    axes.stairs(rates, edges, baseline=None, color=GREY, linewidth=1.2)
    if rates.min() > 0:  # a schedule may end at 0, which has no logarithm
        axes.set_yscale("log")
    extremes = np.unique([rates.min(), rates.max()])
    axes.set_yticks(extremes, [f"{rate:.3g}" for rate in extremes], fontsize=8)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.margins(y=0.25)
    axes.set_ylabel("learning\nrate", fontsize=8)
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.spines[["top", "right"]].set_visible(False)


def _column(history: list[dict[str, float]], key: str) -> NDArray[np.float64]:
    return np.array([row[key] for row in history], dtype=np.float64)
