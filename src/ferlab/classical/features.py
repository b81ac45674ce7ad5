"""Penultimate features of a trained network: extracted once per split, kept, and read again."""

import contextlib
import hashlib
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ferlab.augment.crops import crop_at, drawn_corners
from ferlab.checks import FerlabError, check_integer
from ferlab.classical.progress import peak_memory
from ferlab.data.datamodule import FaceDataModule
from ferlab.emotions import EMOTIONS
from ferlab.files import DAMAGED, read_json, replacing, write_json
from ferlab.networks.build import LayeredNetwork
from ferlab.networks.files import WEIGHTS

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
EXTRA = "extra"
"""The transformed images that the run's plan adds to its first epoch: a split of their own."""

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


class Extractor:
    """Extracts the features of a run's network, or reads those that were extracted before.

    Of each split there are `<split>.npy`, the features; `<split>.npz`, the probabilities, labels,
    names and parts of its images; and `<split>.json`, the manifest, which is written last: what
    the features were made from. Features whose manifest says anything else are made again.

    Args:
        network: in evaluation mode; computes in fp32 whatever it was trained in.
        model: the folder that the network was loaded from.
        data: the images; for EXTRA with the run's augmentation.
        layer: index of the row whose output is taken; None takes the last, whose output is the
            input of the output layer.
        device: where the network computes.

    Attributes:
        layer: the row's index.
        weights: hex digest of the file with the weights.

    Raises:
        FerlabError: the network has no such row.
    """

    def __init__(
        self,
        network: LayeredNetwork,
        model: Path,
        data: FaceDataModule,
        layer: int | None,
        device: torch.device,
    ) -> None:
        last = len(network.spec.rows) - 1
        self.layer = (
            last
            if layer is None
            else check_integer("features.layer", layer, at_least=0, at_most=last)
        )
        self.weights = hashlib.blake2b((model / WEIGHTS).read_bytes(), digest_size=16).hexdigest()
        self._network = network.eval().to(device).to(memory_format=torch.channels_last)
        self._data = data
        self._device = device

    def features(self, split: str, folder: Path, progress_bar: bool = True) -> Features:
        """Return the features of a split, out of `folder` where they fit, else extracted into it.

        Args:
            split: one of SPLITS, or EXTRA.
            folder: of the features of this row.
            progress_bar: whether to show one, where standard error is a terminal.

        Raises:
            FerlabError: a feature is not a finite number; nothing is written then.
        """
        manifest = self.manifest(split)
        rows, store = self._rows(split), self._data.store
        with _alone(folder):
            arrays = _read(folder, split, manifest)
            found = arrays is not None
            values, probabilities = arrays or self._extract(split, manifest["shape"], progress_bar)
            features = Features(
                values=values,
                probabilities=probabilities,
                labels=store.labels[rows],
                names=store.names[rows],
                hashes=store.hashes[rows],
                parts=self._data.test_parts() if split == "test" else {},
            )
            if not found:
                _write(folder, split, features, manifest)
        return features

    def manifest(self, split: str) -> dict[str, Any]:
        """Return all that the features of a split follow from, as plain values."""
        rows, store = self._rows(split), self._data.store
        images = hashlib.blake2b(digest_size=16)
        images.update(store.hashes[rows].tobytes())
        images.update(store.labels[rows].tobytes())
        if split == EXTRA:
            images.update(repr(self._data.augmentation.transforms).encode())
            images.update(self._added()[1].numpy().tobytes())
            if self._network.input_size < store.images.shape[-1]:
                images.update(b"crops")
        return {
            "weights": self.weights,
            "layer": self.layer,
            "classes": list(EMOTIONS),
            "data": store.digest,
            "images": images.hexdigest(),
            "shape": [len(rows), math.prod(self._network.spec.shapes[self.layer])],
        }

    def _rows(self, split: str) -> NDArray[np.int64]:
        """Return the store's indices of a split's images; of EXTRA, those of their originals."""
        if split == EXTRA:
            return self._added()[0]
        return self._data.rows(split)

    def _added(self) -> tuple[NDArray[np.int64], Tensor]:
        """Return the originals' rows and the draws of what the first epoch adds."""
        train = self._data.rows("train")
        labels = torch.from_numpy(self._data.store.labels[train])
        plan = self._data.augmentation.plan(labels, self._data.seed, epoch=0)
        return train[plan.source[len(train) :].numpy()], plan.draws[len(train) :]

    def _batches(self, split: str) -> Iterator[Tensor]:
        """Yield the images of a split, float32 (B, 1, H, W), in its order.

        Of EXTRA they are cropped as in training, where the network sees crops.
        """
        if split != EXTRA:
            for batch in self._data.batches_of(self._rows(split)):
                yield batch.images
            return
        rows, draws = self._added()
        transforms = self._data.augmentation.transforms
        assert transforms is not None  # the plan adds no image otherwise
        batches = self._data.batches_of(rows)
        for batch, drawn in zip(batches, draws.split(self._data.eval_batch_size), strict=True):
            images = transforms(batch.images, drawn)
            if room := images.shape[-1] - self._network.input_size:
                images = crop_at(images, self._network.input_size, drawn_corners(drawn, room))
            yield images

    @torch.no_grad()
    def _extract(self, split: str, shape: Sequence[int], progress_bar: bool) -> Arrays:
        """Return features (N, D) and probabilities (N, 7), in fp32 whatever the batch size."""
        values = np.empty(shape, np.float32)
        probabilities = np.empty((shape[0], len(EMOTIONS)), np.float32)
        outputs: list[Tensor] = []
        row = self._network.layers[self.layer]
        hook = row.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        begin, start = 0, time.perf_counter()
        with (
            tqdm(
                total=len(values),
                desc=split,
                unit=" images",
                leave=False,
                disable=None if progress_bar else True,
            ) as bar,
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
        ):
            try:
                for images in self._batches(split):
                    logits = self._network(images.to(self._device))
                    end = begin + len(images)
                    values[begin:end] = outputs.pop().flatten(start_dim=1).float().cpu().numpy()
                    probabilities[begin:end] = logits.softmax(dim=1).cpu().numpy()
                    _check_finite(values[begin:end], split)
                    bar.update(len(images))
                    begin = end
            finally:
                hook.remove()
        seconds = time.perf_counter() - start
        log.info(
            "%-8s %d × %d features extracted in %.1f s (%.0f images per second), peak memory %s",
            split,
            *shape,
            seconds,
            len(values) / seconds,
            peak_memory(),
        )
        return values, probabilities


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
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


def _check_finite(values: NDArray[np.float32], split: str) -> None:
    if not np.isfinite(values).all():
        raise FerlabError(
            f"the features of {split} are not all numbers; the network's training diverged, "
            "try another run"
        )


def _read(folder: Path, split: str, manifest: Mapping[str, Any]) -> Arrays | None:
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


def _write(folder: Path, split: str, features: Features, manifest: Mapping[str, Any]) -> None:
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
