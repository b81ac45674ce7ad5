import itertools
import stat
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.text import Annotation, Text
from numpy.typing import NDArray
from PIL import Image

from ferlab.emotions import EMOTIONS
from ferlab.reporting.figures import draw_confusion_matrix, draw_curves, save, to_image


def history(epochs: int, best: int = 1) -> list[dict[str, float]]:
    """Return plausible rows of a run whose validation accuracy peaks at epoch `best`."""
    return [
        {
            "epoch": epoch,
            "train/loss": 1.8 / epoch,
            "val/loss": 1.5 / epoch + 0.01 * epoch,
            "train/accuracy": 1 - 0.7 / epoch,
            "val/accuracy": 0.65 - 0.002 * abs(epoch - best),
            "learning_rate": 5e-4 * 0.5 ** (epoch // 8),
            "seconds": 12.0,
            "images_per_second": 2500.0,
        }
        for epoch in range(1, epochs + 1)
    ]


def panel(figure: Figure, name: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_ylabel() == name)


def points(line: Line2D) -> NDArray[np.float64]:
    return np.column_stack([np.asarray(column, float) for column in line.get_data()])


def note(axes: Axes) -> Annotation:
    return next(text for text in axes.texts if isinstance(text, Annotation))


def assert_no_text_is_clipped_or_hidden(figure: Figure) -> None:
    drawn: dict[int, Text] = {}
    draw = Text.draw

    def draw_and_note(text: Text, renderer: RendererBase) -> None:
        if text.get_visible() and text.get_text():
            drawn[id(text)] = text
        draw(text, renderer)

    with mock.patch.object(Text, "draw", draw_and_note):
        to_image(figure)
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn.values()]
    assert len(boxes) > 10
    for name, box in boxes:
        assert min(box.x0, box.y0) >= 0, name
        assert box.x1 <= figure.bbox.width, name
        assert box.y1 <= figure.bbox.height, name
    for (name, box), (other_name, other) in itertools.combinations(boxes, 2):
        assert not box.overlaps(other), (name, other_name)


@pytest.mark.parametrize(("epochs", "best"), [(1, 1), (20, 1), (100, 60), (300, 300)])
def test_no_text_of_the_curves_is_clipped_or_hidden(epochs: int, best: int) -> None:
    assert_no_text_is_clipped_or_hidden(draw_curves(history(epochs, best), "F, Adam, seed 0"))


def test_the_epoch_whose_weights_were_kept_is_marked_where_it_is_named() -> None:
    figure = draw_curves(history(9, best=7), "F", best_epoch=3)
    assert "at epoch 3" in note(panel(figure, "accuracy")).get_text()


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_curves_show_the_history_of_both_splits(metric: str) -> None:
    rows = history(12)
    axes = panel(draw_curves(rows, "F"), metric)
    lines = {line.get_label(): points(line) for line in axes.lines}
    for label, split in (("train", "train"), ("validation", "val")):
        expected = [[row["epoch"], row[f"{split}/{metric}"]] for row in rows]
        np.testing.assert_array_equal(lines[label], expected)


def test_the_first_of_several_best_epochs_is_marked_with_its_values() -> None:
    rows = history(20, best=9)
    rows[14]["val/accuracy"] = rows[8]["val/accuracy"]
    figure = draw_curves(rows, "F")
    assert note(panel(figure, "accuracy")).get_text() == "0.650 at epoch 9"
    assert note(panel(figure, "loss")).get_text() == f"{rows[8]['val/loss']:.3f} at epoch 9"
    for name in ("accuracy", "loss"):
        epochs = [points(line)[:, 0] for line in panel(figure, name).lines]
        assert [along[0] for along in epochs if np.ptp(along) == 0] == [9]


@pytest.mark.parametrize("best", [1, 10, 20])
def test_the_value_of_the_best_epoch_lies_in_its_panel_below_every_curve(best: int) -> None:
    figure = draw_curves(history(20, best), "F")
    to_image(figure)
    for name in ("loss", "accuracy"):
        axes = panel(figure, name)
        curves = [points(line) for line in axes.lines if len(points(line)) == 20]
        lowest = min(axes.transData.transform(curve)[:, 1].min() for curve in curves)
        box = note(axes).get_window_extent()
        assert box.y1 < lowest
        assert axes.bbox.x0 < box.x0 < box.x1 < axes.bbox.x1


@pytest.mark.parametrize("epochs", [1, 2, 100])
def test_epochs_are_whole_numbers_on_the_axis(epochs: int) -> None:
    figure = draw_curves(history(epochs), "F")
    to_image(figure)
    axes = panel(figure, "accuracy")
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks
    assert all(tick == round(tick) and 1 <= tick <= epochs for tick in ticks)


def test_learning_rate_is_drawn_over_its_epochs_with_its_extremes_written() -> None:
    rows = history(20)
    strip = panel(draw_curves(rows, "F"), "learning\nrate")
    steps = strip.patches[0]
    assert isinstance(steps, StepPatch)
    values, edges, _ = steps.get_data()
    np.testing.assert_array_equal(values, [row["learning_rate"] for row in rows])
    np.testing.assert_array_equal(edges, np.arange(21) + 0.5)
    assert [label.get_text() for label in strip.get_yticklabels()] == ["0.000125", "0.0005"]


def test_a_schedule_that_ends_at_zero_and_a_loss_that_is_not_a_number_are_drawn() -> None:
    rows = history(10)
    rows[-1]["learning_rate"] = 0.0
    rows[4]["train/loss"] = float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_curves(rows, "F")
        assert_no_text_is_clipped_or_hidden(figure)
    assert panel(figure, "learning\nrate").get_ylim()[0] < 0  # the zero is in view


def test_without_validation_images_only_the_training_curves_are_drawn() -> None:
    rows = [{key: row[key] for key in row if not key.startswith("val/")} for row in history(5)]
    figure = draw_curves(rows, "F")
    assert [line.get_label() for line in panel(figure, "loss").lines] == ["train"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train"]


def test_a_history_without_epochs_is_a_programming_mistake() -> None:
    with pytest.raises(ValueError, match="no epochs"):
        draw_curves([], "F")


def matrix() -> NDArray[np.int64]:
    counts = np.arange(49, dtype=np.int64).reshape(7, 7)
    counts[3] = [0, 0, 0, 28709, 0, 0, 0]
    counts[1] = 0
    return counts


def test_each_cell_shows_its_count_and_its_share_of_the_true_class() -> None:
    counts = matrix()
    axes = draw_confusion_matrix(counts, "F").axes[0]
    cells: dict[tuple[int, int], list[str]] = {}
    for text in axes.texts:
        x, y = text.get_position()
        cells.setdefault((round(y), round(x)), []).append(text.get_text())
    assert cells[3, 3] == ["28709", "100.0 %"]
    assert cells[0, 6] == ["6", "28.6 %"]  # of 0 + 1 + ... + 6 = 21
    assert {key: texts[0] for key, texts in cells.items()} == {
        key: str(count) for key, count in np.ndenumerate(counts)
    }
    assert all(cells[1, column] == ["0", "0.0 %"] for column in range(7))


def colours(axes: Axes) -> NDArray[np.float64]:
    return np.asarray(axes.images[0].get_array(), float)


def test_matrix_is_coloured_by_the_share_of_the_true_class() -> None:
    counts = np.eye(7, dtype=np.int64) * np.array([111, 1774, 1, 2, 3, 4, 5])
    counts[0] = [111, 0, 0, 333, 0, 0, 0]
    axes = draw_confusion_matrix(counts, "F").axes[0]
    assert colours(axes)[0].tolist() == [0.25, 0, 0, 0.75, 0, 0, 0]
    assert np.diag(colours(axes))[1:].tolist() == [1] * 6
    assert axes.images[0].get_clim() == (0, 1)


def test_rows_are_named_true_and_columns_predicted() -> None:
    axes = draw_confusion_matrix(matrix(), "F").axes[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert tuple(label.get_text() for label in labels) == EMOTIONS


def test_nothing_warns_about_a_class_without_images() -> None:
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        assert_no_text_is_clipped_or_hidden(draw_confusion_matrix(np.zeros((7, 7), int), "F"))


def test_no_text_of_the_matrix_is_clipped_or_hidden() -> None:
    assert_no_text_is_clipped_or_hidden(draw_confusion_matrix(matrix(), "F: 7,178 test images"))


def luminance(colour: tuple[float, ...]) -> float:
    """Return the relative luminance of an sRGB colour (WCAG 2.1)."""
    channels = np.array(colour[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("lowest", [51, 58, 65, 93])
def test_cell_text_is_legible_on_every_shade(lowest: int) -> None:
    counts = np.zeros((7, 7), np.int64)
    counts[:, 0] = np.arange(lowest, lowest + 7)
    counts[:, 1] = 100 - counts[:, 0]
    axes = draw_confusion_matrix(counts, "F").axes[0]
    shades = axes.images[0].to_rgba(colours(axes))
    for text in axes.texts:
        x, y = text.get_position()
        cell, ink = luminance(shades[round(y), round(x)]), luminance(to_rgb(text.get_color()))
        assert (max(cell, ink) + 0.05) / (min(cell, ink) + 0.05) > 4


def test_image_for_tensorboard_is_the_drawn_figure() -> None:
    image = to_image(draw_curves(history(3), "F"))
    assert image.dtype == np.uint8
    assert image.shape == (500, 1000, 3)
    assert (image[0, 0] == 255).all()
    assert (np.abs(image.astype(int) - [213, 94, 0]).sum(axis=-1) == 0).any()  # validation's orange


def test_saved_figure_is_a_whole_png_that_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    path.write_text("old")
    save(draw_curves(history(3), "F"), path)
    assert imread(path).shape[:2] == (750, 1500)
    assert list(tmp_path.iterdir()) == [path]
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_save_that_fails_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "curves.png"
    path.write_text("old")
    figure = draw_curves(history(3), "F")

    def break_off(image: Image.Image, partial: Path, **options: object) -> None:
        Path(partial).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", break_off)
    with pytest.raises(OSError, match="disk full"):
        save(figure, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_figures_need_neither_pyplot_nor_torch() -> None:
    code = (
        "import sys, ferlab.reporting.figures;"
        "print({'matplotlib.pyplot', 'torch', 'lightning', 'hydra'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "set()", printed.stderr
