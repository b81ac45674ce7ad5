"""Small grey images side by side: contact sheets, and thumbnails with captions."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ferlab.reporting.figures import new_figure

Captioned = tuple[str, NDArray[np.uint8]]
"""A caption and a grey image (48, 48)."""


def draw_captioned(images: Sequence[Captioned], title: str, columns: int = 9) -> Figure:
    """Return small images row by row, each with its caption of up to three lines below."""
    n_rows = -(-len(images) // columns)
    figure = new_figure(11, 0.5 + 1.62 * n_rows, title)
    axes = figure.subplots()  # one for all: each more would take longer than all else here
    axes.set_axis_off()
    side, row_height = 0.84, 1.36  # of a column's width
    for index, (caption, image) in enumerate(images):
        row, column = divmod(index, columns)
        left, top = column, row * row_height
        extent = (left, left + side, top + side, top)
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=extent)
        place = (left + side / 2, top + side + 0.04)
        axes.text(*place, caption, ha="center", va="top", fontsize=7.5, in_layout=False)
    axes.set_xlim(0, columns - 1 + side)
    axes.set_ylim(n_rows * row_height, 0)
    axes.set_anchor("NW")  # of few images too
    return figure


def contact_sheet(images: NDArray[np.uint8], columns: int, scale: int = 2) -> NDArray[np.uint8]:
    """Return the images (N, 1, S, S) side by side, row by row, on white: uint8 (H, W).

    Args:
        images: grey levels.
        columns: images beside one another.
        scale: each pixel becomes so many in both directions.
    """
    side, gap = images.shape[-1], 2
    n_rows = -(-len(images) // columns)
    sheet = np.full(
        (n_rows * (side + gap) - gap, columns * (side + gap) - gap), 255, dtype=np.uint8
    )
    for index, image in enumerate(images[:, 0]):
        top, left = (place * (side + gap) for place in divmod(index, columns))
        sheet[top : top + side, left : left + side] = image
    return sheet.repeat(scale, axis=0).repeat(scale, axis=1)
