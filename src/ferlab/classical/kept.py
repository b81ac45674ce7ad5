"""Features as they lie in a run's folder: written once, and read again where they fit."""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from ferlab.checks import FerlabError
from ferlab.emotions import EMOTIONS
from ferlab.files import DAMAGED, read_json, replacing, write_json

log = logging.getLogger(__name__)

Arrays = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Features (N, D) and the network's probabilities (N, 7) of the same images."""


@dataclass(frozen=True)
class Features:
    """A split's features beside what is known of its images, in the store's order.

    Attributes:
        values: float32 (N, D), the output of one row of the network, flattened.
        probabilities: float32 (N, 7), what the network itself makes of the images.
        labels: int64 (N,), canonical order.
        names: str (N,), the images' names in their source.
        hashes: ASCII bytes (N,), equal for identical images; an added image has its original's.
        parts: bool (N,) by name, the parts of the test split.
    """

    values: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: NDArray[np.str_]
    hashes: NDArray[np.bytes_]
    parts: Mapping[str, NDArray[np.bool_]]


@contextlib.contextmanager
def held_alone(folder: Path) -> Iterator[None]:
    """Hold a folder: of several processes one makes the features, and the others then read them."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")  # the system releases it when its process dies
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("waiting for another process that is at %s", os.path.relpath(folder))
        lock.acquire()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # removed while it is held: nobody else can hold it
            Path(lock.lock_file).unlink()
        lock.release()
        with contextlib.suppress(OSError):  # where nothing was written
            folder.rmdir()
            folder.parent.rmdir()


def read_features(folder: Path, split: str, manifest: Mapping[str, Any]) -> Arrays | None:
    """Return the features and probabilities in `folder`; None where they do not fit `manifest`."""
    try:
        recorded = read_json(folder / f"{split}.json")
        if differing := [key for key in manifest if recorded.get(key) != manifest[key]]:
            other = " and ".join(differing)
            log.info("%-8s features made with other %s are made again", split, other)
            return None
        values = np.load(folder / f"{split}.npy", mmap_mode="r", allow_pickle=False)
        n_images, width = manifest["shape"]
        with np.load(folder / f"{split}.npz", allow_pickle=False) as images:
            # by the size that the archive says, before memory is taken for it
            if (
                images.zip.getinfo("probabilities.npy").file_size
                > n_images * len(EMOTIONS) * 4 + 999
            ):
                raise ValueError("too many probabilities")
            probabilities = images["probabilities"]
        whole = (values.shape, probabilities.shape) == (
            (n_images, width),
            (n_images, len(EMOTIONS)),
        )
        if not whole or not np.isfinite(values).all():
            raise ValueError("not what the manifest says")
    except FileNotFoundError:
        return None
    except (FerlabError, *DAMAGED):
        log.info("%-8s features that are damaged are made again", split)
        return None
    log.info("%-8s %d × %d features are there already", split, *values.shape)
    return values, probabilities


def write_features(
    folder: Path, split: str, features: Features, manifest: Mapping[str, Any]
) -> None:
    """Write a split's three files, the manifest last: without it the others are not read."""
    (folder / f"{split}.json").unlink(missing_ok=True)
    with replacing(folder / f"{split}.npy") as partial, partial.open("wb") as file:
        np.save(file, features.values, allow_pickle=False)
    with replacing(folder / f"{split}.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            names=features.names,
            labels=features.labels,
            probabilities=features.probabilities,
            **features.parts,
        )
    write_json(folder / f"{split}.json", manifest)
