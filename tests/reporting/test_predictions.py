"""predictions.npz: what is read of it, and what is refused."""

import io

import numpy as np
import pytest
from mistakes import mistake_of

from ferlab.reporting.predictions import confusion_of, read_predictions

_file = io.BytesIO()
np.save(_file, np.arange(3))
LONE_ARRAY = _file.getvalue()


def test_predictions_are_read_with_probabilities_or_classes_alone(tmp_path):
    path = tmp_path / "predictions.npz"
    probabilities = np.eye(7, dtype=np.float32)[[3, 3, 5]]
    np.savez(
        path,
        val_names=np.array(["v"]),
        val_labels=np.array([2]),
        val_predicted=np.array([4]),
        test_names=np.array(["a", "b", "c"]),
        test_labels=np.array([3, 1, 5]),
        test_probabilities=probabilities,
        test_clean=np.array([True, False, True]),
        test_private=np.array([False] * 3),
    )
    read = read_predictions(path)
    assert list(read) == ["val", "test", "test/clean"]
    assert read["val"][2].tolist() == [4]
    assert [column.tolist() for column in read["test/clean"]] == [["a", "c"], [3, 5], [3, 5]]
    matrix = confusion_of(path)
    assert matrix.shape == (7, 7)
    assert (matrix[3, 3], matrix[1, 3], matrix[5, 5], matrix.sum()) == (1, 1, 1, 3)


def test_a_flipped_bit_is_named(tmp_path):
    path = tmp_path / "predictions.npz"
    labels = np.random.default_rng(0).integers(0, 7, 999)
    np.savez_compressed(path, test_labels=labels, test_names=labels.astype(str))
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 0xFF
    path.write_bytes(content)
    assert "predictions.npz is damaged" in mistake_of(read_predictions, path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04.", LONE_ARRAY])
def test_damaged_predictions_are_named(tmp_path, content):
    path = tmp_path / "predictions.npz"
    path.write_bytes(content)
    assert "predictions.npz is damaged" in mistake_of(read_predictions, path)
    path.unlink()
    assert "there is no" in mistake_of(read_predictions, path)


@pytest.mark.parametrize(
    ("labels", "predicted", "said"),
    [
        ([0, 9], [0, 1], "unknown classes"),
        ([0], [0, 1], "columns of different lengths"),
        ([0.5, 1], [0, 1], ""),
    ],
)
def test_predictions_that_cannot_be_are_refused(tmp_path, labels, predicted, said):
    path = tmp_path / "predictions.npz"
    names = np.array(["a", "b"])
    np.savez(path, test_names=names, test_labels=np.array(labels), test_predicted=predicted)
    assert f"predictions.npz is damaged (test has {said}" in mistake_of(read_predictions, path)
