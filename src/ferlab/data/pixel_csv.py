"""FER-2013 as one CSV file, a row per image: `fer2013.csv`, `icml_face_data.csv`, `train.csv`."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ferlab.checks import FerlabError, did_you_mean
from ferlab.data.store import OFFICIAL, SPLITS, ImageStore
from ferlab.emotions import CSV_EMOTIONS, EMOTIONS, IMAGE_SIZE

_LABELS = {str(code): EMOTIONS.index(emotion) for code, emotion in enumerate(CSV_EMOTIONS)}
_GREY_LEVELS = {str(level): level for level in range(256)}
_PIXELS = IMAGE_SIZE * IMAGE_SIZE
_LARGEST = 1 << 30  # bytes; the whole of FER-2013 has 301 million


def read_csv(path: Path) -> ImageStore:
    """Return the images of a CSV file; the columns may stand in any order.

    `emotion` holds codes in the order of CSV_EMOTIONS, `pixels` 2,304 grey levels row by row.
    Without the column `Usage`, as in the challenge's `train.csv`, all images are for training.

    Raises:
        FerlabError: names the file and the line that is not so.
    """
    pixels = bytearray()
    labels: list[int] = []
    splits: list[int] = []
    names: list[str] = []
    for line, (emotion, levels, usage) in _rows(path):
        place = f"{path}, line {line}"
        if emotion not in _LABELS:
            raise FerlabError(f"{place}: emotion must be a code from 0 to 6; got {emotion[:20]!r}")
        if usage not in OFFICIAL:
            hint = did_you_mean(usage, OFFICIAL)
            raise FerlabError(
                f"{place}: Usage must be one of {', '.join(OFFICIAL)}; got {usage[:20]!r}{hint}"
            )
        texts = levels.split()
        if len(texts) != _PIXELS:
            raise FerlabError(
                f"{place}: {len(texts)} pixels; FER-2013's images have "
                f"{IMAGE_SIZE}×{IMAGE_SIZE} = {_PIXELS}"
            )
        try:
            pixels += bytes(map(_GREY_LEVELS.__getitem__, texts))
        except KeyError as error:
            raise FerlabError(
                f"{place}: a pixel must be an integer from 0 to 255; got {error.args[0][:20]!r}"
            ) from None
        labels.append(_LABELS[emotion])
        splits.append(SPLITS.index(OFFICIAL[usage]))
        names.append(f"{path.name}:{line}")
    if not labels:
        raise FerlabError(f"{path} has no rows below its header; copy it again")
    return ImageStore.from_arrays(
        np.frombuffer(pixels, dtype=np.uint8).reshape(-1, 1, IMAGE_SIZE, IMAGE_SIZE),
        labels=np.array(labels, dtype=np.int64),
        splits=np.array(splits, dtype=np.uint8),
        names=np.array(names, dtype=np.str_),
    )


def fingerprint(path: Path) -> str:
    """Return what tells this version of the file from another."""
    status = os.stat(path)
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


def _rows(path: Path) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """Yield of each row the line, counted from 1, and its emotion, pixels and Usage."""
    size = os.stat(path).st_size
    if size > _LARGEST:
        raise FerlabError(f"{path} has {size:,} bytes; FER-2013's CSV file has 301 million")
    bar = tqdm(total=size, desc="reading", unit="B", unit_scale=True, disable=None, leave=False)
    # utf-8-sig: spreadsheets put a byte order mark before the header
    with bar, path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            columns = _columns(path, next(reader, []))
            width = len(columns)
            for row in reader:
                if not row:
                    continue
                if len(row) != width:
                    raise FerlabError(
                        f"{path}, line {reader.line_num}: {len(row)} columns, the header has "
                        f"{width}; the file is cut off or damaged"
                    )
                values = dict(zip(columns, map(str.strip, row), strict=True))
                yield (
                    reader.line_num,
                    (values["emotion"], values["pixels"], values.get("usage", "Training")),
                )
                bar.update(sum(map(len, row)))
        except csv.Error as error:
            raise FerlabError(
                f"{path}, line {reader.line_num}: {error}; the file is cut off or damaged"
            ) from error
        except UnicodeDecodeError as error:
            raise FerlabError(f"{path} is not text ({error}); the file is damaged") from error


def _columns(path: Path, header: list[str]) -> list[str]:
    """Return the header's names, in lower case and without the spaces of icml_face_data.csv."""
    columns = [name.strip().lower() for name in header]
    for name in ("emotion", "pixels"):
        if columns.count(name) != 1:
            given = ", ".join(header)[:80] or "nothing"
            raise FerlabError(
                f"{path}, line 1: a header with the columns emotion, pixels and (for the test "
                f"images) Usage is needed; got {given}"
            )
    return columns
