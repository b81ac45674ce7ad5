"""Calibration: how far a network's confidence is its accuracy (Guo et al. 2017)."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ferlab.reporting.figures import GREY, new_figure

N_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Images in bins of equal width by the confidence of the predicted class: (N_BINS,) each.

    Attributes:
        count: images in the bin.
        confidence: their mean confidence; 0 in an empty bin.
        accuracy: the share of them that is right; 0 in an empty bin.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error: mean of |accuracy - confidence|, weighted by count."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.average(gaps, weights=self.count))


def reliability(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> Reliability:
    """Return the bins of these predictions.

    Args:
        labels: (N,), at least one.
        probabilities: (N, 7).
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, N_BINS + 1)[1:-1]
    bins = np.digitize(confidence, edges, right=True)  # an edge belongs to the bin below
    count = np.bincount(bins, minlength=N_BINS)
    divisor = np.maximum(count, 1)
    return Reliability(
        count=count,
        confidence=np.bincount(bins, weights=confidence, minlength=N_BINS) / divisor,
        accuracy=np.bincount(bins, weights=right, minlength=N_BINS) / divisor,
    )


def draw_reliability(bins: Reliability, title: str) -> Figure:
    """Return accuracy over confidence, the images per bin below; the diagonal is calibrated."""
    figure = new_figure(5.5, 6, title)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    width = 1 / N_BINS
    middle = (np.arange(N_BINS) + 0.5) * width
    full = bins.count > 0
    upper.bar(middle[full], bins.accuracy[full], width=0.92 * width, color="#0072b2")
    upper.plot(
        [0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="as confident as right"
    )
    upper.scatter(
        bins.confidence[full],
        bins.accuracy[full],
        color="#d55e00",
        s=14,
        zorder=3,
        label="mean confidence of these images",
    )
    upper.set_ylabel("accuracy")
    upper.set_ylim(0, 1)
    upper.set_title(f"expected calibration error {bins.error:.3f}", loc="left", fontsize="medium")
    lower.bar(middle, bins.count, width=0.92 * width, color=GREY)
    lower.set_ylabel("images")
    lower.set_xlabel("confidence")
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize="small")
    return figure
