"""Penultimate features of a trained network, extracted once per split."""

import hashlib
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ferlab.augment.crops import crop_at, drawn_corners
from ferlab.checks import FerlabError, check_integer
from ferlab.classical.kept import Arrays, Features, held_alone, read_features, write_features
from ferlab.classical.progress import peak_memory
from ferlab.data.datamodule import FaceDataModule
from ferlab.emotions import EMOTIONS
from ferlab.networks.build import LayeredNetwork
from ferlab.networks.files import WEIGHTS

log = logging.getLogger(__name__)

EXTRACTED = ("train", "val", "test")
EXTRA = "extra"
"""The transformed images that the run's plan adds to its first epoch: a split of their own."""


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
            split: one of EXTRACTED, or EXTRA.
            folder: of the features of this row.
            progress_bar: whether to show one, where standard error is a terminal.

        Raises:
            FerlabError: a feature is not a finite number; nothing is written then.
        """
        manifest = self.manifest(split)
        rows, store = self._rows(split), self._data.store
        with held_alone(folder):
            arrays = read_features(folder, split, manifest)
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
                write_features(folder, split, features, manifest)
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


def _check_finite(values: NDArray[np.float32], split: str) -> None:
    if not np.isfinite(values).all():
        raise FerlabError(
            f"the features of {split} are not all numbers; the network's training diverged, "
            "try another run"
        )
