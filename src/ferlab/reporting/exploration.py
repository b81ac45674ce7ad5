"""A data set as pictures: class distributions, the split, faces, augmentation, defects."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from ferlab.emotions import EMOTIONS
from ferlab.reporting.figures import GREY, new_figure, tidy

# Okabe & Ito's colours: apart for every kind of colour vision
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")

Counts = Mapping[str, NDArray[np.int64]]
"""Images per class (7,), by the name of a split."""


def draw_distribution(counts: Counts, title: str) -> Figure:
    """Return the report's Figure 1: images per class in all, and each class's share of a split.

    Args:
        counts: of each split.
        title: one line above the panels.
    """
    figure = new_figure(11, 4.4, title)
    overall, shares = figure.subplots(1, 2, width_ratios=(2, 3))
    total = np.sum(list(counts.values()), axis=0)
    bars = overall.bar(EMOTIONS, total, color=COLOURS[0], width=0.7)
    overall.bar_label(
        bars, [f"{n:,}\n{_percent(n / total.sum(), 1)}" for n in total], fontsize=8, padding=2
    )
    overall.set_ylabel("images")
    overall.margins(y=0.18)
    _draw_groups(
        shares,
        {f"{name} ({sum(row):,})": row / max(row.sum(), 1) for name, row in counts.items()},
    )
    shares.set_ylabel("share of the split")
    shares.yaxis.set_major_formatter(lambda share, _: _percent(share))
    overall.yaxis.set_major_formatter(_thousands)
    for axes in (overall, shares):
        tidy(axes)
        axes.tick_params(axis="x", length=0, labelsize=9)
    return figure


def draw_split(counts: Counts, title: str) -> Figure:
    """Return train and validation by class, and how far their class shares differ, in points."""
    figure = new_figure(11, 4.4, title)
    amounts, errors = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_groups(amounts, {f"{name} ({sum(row):,})": row for name, row in counts.items()})
    amounts.set_ylabel("images, logarithmic")
    amounts.set_yscale("log")
    amounts.yaxis.set_major_formatter(_thousands)
    error = stratification_error(counts["train"], counts["validation"])
    bars = errors.bar(EMOTIONS, error, color=COLOURS[2], width=0.7)
    errors.bar_label(bars, [f"{points:+.3f}" for points in error], fontsize=8, padding=2)
    errors.axhline(0, color=GREY, linewidth=0.8)
    errors.set_ylabel("validation's share less train's, points")
    errors.margins(y=0.2)
    for axes in (amounts, errors):
        tidy(axes)
        axes.tick_params(axis="x", length=0, labelsize=9)
    return figure


def stratification_error(
    train: NDArray[np.int64], validation: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return by how many percentage points each class's share of validation exceeds train's."""
    error: NDArray[np.float64] = 100 * (validation / validation.sum() - train / train.sum())
    return error


def draw_plan(originals: NDArray[np.int64], added: NDArray[np.int64], title: str) -> Figure:
    """Return the rows of one epoch by class: the originals, and the added ones on top."""
    figure = new_figure(11, 4.4, title)
    axes = figure.subplots()
    axes.bar(
        EMOTIONS, originals, color=COLOURS[0], width=0.7, label=f"originals ({sum(originals):,})"
    )
    bars = axes.bar(
        EMOTIONS,
        added,
        bottom=originals,
        color=COLOURS[1],
        width=0.7,
        label=f"added ({sum(added):,})",
    )
    labels = [f"{o:,}\n+{a:,}" if a else f"{o:,}" for o, a in zip(originals, added, strict=True)]
    axes.bar_label(bars, labels, fontsize=8, padding=2)
    axes.set_ylabel("rows per epoch")
    axes.yaxis.set_major_formatter(_thousands)
    axes.margins(y=0.15)
    tidy(axes)
    axes.tick_params(axis="x", length=0, labelsize=9)
    axes.legend(frameon=False)
    return figure


_thousands = StrMethodFormatter("{x:,.0f}")


def _percent(share: float, decimals: int = 0) -> str:
    return f"{100 * share:.{decimals}f} %"


def _draw_groups(axes: Axes, values: Mapping[str, NDArray[np.generic]]) -> None:
    """Draw a group of bars per class, a bar per name."""
    width = 0.8 / len(values)
    for index, (name, row) in enumerate(values.items()):
        place = np.arange(len(EMOTIONS)) + width * (index - (len(values) - 1) / 2)
        axes.bar(place, row, width=0.92 * width, color=COLOURS[index], label=name)
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS)
    axes.legend(frameon=False, fontsize=9)
