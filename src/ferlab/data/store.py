"""All images of a data set in memory: what every source becomes and every split indexes."""

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferlab.checks import FerlabError
from ferlab.emotions import EMOTIONS

SPLITS = ("training", "public", "private", "test")
"""Where an image comes from; `test` is a test image whose official half is not known."""

OFFICIAL = {"Training": "training", "PublicTest": "public", "PrivateTest": "private"}
"""FER-2013's own words for three of them: a CSV's `Usage`, the beginning of Kaggle's file names."""

FORMAT = 1  # of the cache; part of every key, so an older cache is never opened

_COLUMNS = ("images", "labels", "splits", "names", "hashes")


@dataclass(frozen=True)
class ImageStore:
    """Decoded images with their labels and origin, in canonical order: split, label, pixel hash.

    The order depends on the content alone, so the same images give the same splits and batches
    whatever form they came in.

    Attributes:
        images: uint8 (N, 1, 48, 48), grey levels 0-255; may be memory-mapped.
        labels: int64 (N,), index into EMOTIONS.
        splits: uint8 (N,), index into SPLITS.
        names: str (N,), path of the image inside its source.
        hashes: ASCII bytes (N,), BLAKE2b-128 of the pixels in hex; equal for identical twins.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    splits: NDArray[np.uint8]
    names: NDArray[np.str_]
    hashes: NDArray[np.bytes_]

    @classmethod
    def from_arrays(
        cls,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        splits: NDArray[np.uint8],
        names: NDArray[np.str_],
    ) -> "ImageStore":
        """Return a store of these images, hashed and put into canonical order."""
        hashes = np.array(
            [hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images],
            dtype="S32",
        )
        order = np.lexsort((names, hashes, labels, splits))
        return cls(images[order], labels[order], splits[order], names[order], hashes[order])

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, *splits: str) -> NDArray[np.int64]:
        """Return the indices of the images of these splits, ascending."""
        codes = [SPLITS.index(split) for split in splits]
        return np.flatnonzero(np.isin(self.splits, codes))

    def class_counts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of images per class among `rows`: (7,), canonical order."""
        return np.bincount(self.labels[rows], minlength=len(EMOTIONS))

    @property
    def digest(self) -> str:
        """A hex digest of pixels, labels and splits: equal for equal data, wherever it lies."""
        return self.digest_of(*SPLITS)

    def digest_of(self, *splits: str) -> str:
        """Return a hex digest of the images of these splits, as `digest` is of all."""
        rows = self.rows(*splits)
        digest = hashlib.blake2b(digest_size=16)
        for column in (self.hashes, self.labels, self.splits):
            digest.update(column[rows].tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write the store into `folder`, which appears complete or not at all.

        Two processes that save the same folder at once both succeed; one of the copies stays.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(".partial-*"):  # by a process that was killed long ago
            with contextlib.suppress(OSError):  # it may be a living one's, and gone by now
                if time.time() - left.stat().st_mtime > 24 * 60 * 60:
                    shutil.rmtree(left, ignore_errors=True)
        partial = folder.parent / f".partial-{uuid.uuid4().hex}"
        partial.mkdir()
        try:
            for column in _COLUMNS:
                np.save(partial / f"{column}.npy", getattr(self, column), allow_pickle=False)
            (partial / "store.json").write_text(json.dumps(self._manifest(), indent=2) + "\n")
            try:
                os.replace(partial, folder)
            except OSError:  # another process was first, or what lies there is damaged
                for file in list(partial.iterdir()):  # one by one: no process sees one missing
                    os.replace(file, folder / file.name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path) -> "ImageStore":
        """Return the store saved in `folder`, its images memory-mapped.

        Raises:
            FerlabError: the folder is not a complete store of this version.
        """
        if not _is_whole(folder):
            raise FerlabError(f"{folder} is not a complete image store; delete it and start again")
        columns = {
            column: np.load(
                folder / f"{column}.npy",
                # copy-on-write: torch wants writable memory, the file is never written
                mmap_mode="c" if column == "images" else None,
                allow_pickle=False,
            )
            for column in _COLUMNS
        }
        return cls(**columns)

    def _manifest(self) -> dict[str, object]:
        return {"format": FORMAT, "images": len(self), "classes": list(EMOTIONS)}


def cached(folder: Path, build: Callable[[], ImageStore]) -> ImageStore:
    """Return the store saved in `folder`; where there is no whole one, build and save it first.

    Raises:
        FerlabError: it cannot be saved, for lack of space or of permission.
    """
    if not _is_whole(folder):
        store = build()
        try:
            store.save(folder)
        except OSError as error:
            raise FerlabError(
                f"the decoded images cannot be kept in {folder.parent} "
                f"({error.strerror or error}); make room there, or set data.cache elsewhere"
            ) from error
    return ImageStore.load(folder)


def cache_folder(chosen: str | None = None) -> Path:
    """Return the folder for decoded stores: `chosen`, $FERLAB_CACHE, or in the user's cache."""
    if named := chosen or os.environ.get("FERLAB_CACHE"):
        return Path(os.path.expanduser(str(named)))
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferlab"
    except RuntimeError as error:
        raise FerlabError(
            "this user has no home folder for decoded images; set the environment variable "
            "FERLAB_CACHE"
        ) from error


def _is_whole(folder: Path) -> bool:
    """Tell whether `folder` holds every column, each as long as the manifest says."""
    try:
        manifest = json.loads((folder / "store.json").read_text())
        if manifest["format"] != FORMAT or manifest["classes"] != list(EMOTIONS):
            return False
        return all(
            # memory-mapping fails on a file shorter than its header says
            len(np.load(folder / f"{column}.npy", mmap_mode="r", allow_pickle=False))
            == manifest["images"]
            for column in _COLUMNS
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return False
