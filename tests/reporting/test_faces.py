"""Faces side by side: every one in its place, with its caption."""

import numpy as np
import pytest

from ferlab.reporting.faces import contact_sheet, draw_captioned


@pytest.mark.parametrize("n", [1, 8, 9, 17])
def test_a_contact_sheet_shows_every_image_in_its_place(n):
    images = np.random.default_rng(0).integers(0, 255, (n, 1, 6, 6), dtype=np.uint8)
    sheet = contact_sheet(images, columns=8, scale=2)
    for index, image in enumerate(images):
        row, column = divmod(index, 8)
        place = sheet[16 * row : 16 * row + 12 : 2, 16 * column : 16 * column + 12 : 2]
        assert np.array_equal(place, image[0])


def test_every_caption_stands_below_its_image():
    images = [(f"face {n}", np.full((48, 48), n, dtype=np.uint8)) for n in range(11)]
    figure = draw_captioned(images, "t", columns=4)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == [caption for caption, _ in images]
    for text, drawn, (_, image) in zip(axes.texts, axes.images, images, strict=True):
        assert np.array_equal(drawn.get_array(), image)
        left, right, bottom, _ = drawn.get_extent()
        x, y = text.get_position()
        assert x == (left + right) / 2
        assert bottom < y < bottom + 0.1  # rows are counted downwards
