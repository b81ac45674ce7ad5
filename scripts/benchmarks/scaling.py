"""How cost grows: with the number of images, the batch size, and the jobs of a sweep.

The images are a file without content that is mapped, never read whole: FER-2013's training set so
many times over. Of an epoch a few steps are taken and the rest is reckoned from them.
"""

import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from benchmarks.measuring import (
    Effort,
    Figure,
    Measured,
    figure,
    in_own_process,
    now,
    own_memory,
)
from ferlab.augment.targeted import TargetedAugmentation
from ferlab.augment.transforms import RandomTransforms
from ferlab.cli import main as ferlab
from ferlab.data.datamodule import FaceDataModule
from ferlab.data.sources import drawn
from ferlab.data.store import ImageStore
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.trainer import make_trainer
from ferlab.networks.build import build_network
from ferlab.networks.specs import parse_network

N_IMAGES = 28_709  # of FER-2013's training set
BATCH_SIZE = 64
MODEL_A = [{"conv": 32, "pool": 2}, {"conv": 64, "pool": 2}, "flatten", {"dense": 128}]

SMALL_JOB = (
    "data=drawn",
    "data.size=700",
    "data.source.seed=0",  # the same faces in every job
    "augment=none",
    "model=A",
    "trainer.max_epochs=1",
    "logger=none",
    "trainer.progress_bar=false",
)


def measure(overrides: Sequence[str], effort: Effort) -> list[Figure]:
    """Return seconds and memory for each size, each in a process of its own, and the laws that fit.

    Args:
        overrides: none; what grows is fixed.
        effort: short ones take smaller sizes.
    """
    if overrides:
        raise SystemExit(f"scaling takes no overrides; leave out {overrides[0]}")
    quick = effort.seconds < 1
    figures = []

    sizes = [N_IMAGES // (100 if quick else 1) * times for times in (1, 10, 100)]
    of_size = [_apart("images", size, BATCH_SIZE, effort.seconds) for size in sizes]
    for size, told in zip(sizes, of_size, strict=True):
        name = f"{size:,} images"
        figures += [
            figure(f"{name}: before the first batch", "s", [told["before"]]),
            figure(f"{name}: loader, an epoch", "s", [told["loading"] * size]),
            figure(f"{name}: training of A, an epoch", "s", [told["training"] * size]),
            figure(f"{name}: own memory", "MB", [told["memory"] / 1e6]),
        ]
    epochs = [told["training"] * size for size, told in zip(sizes, of_size, strict=True)]
    figures.append(figure("epoch ∝ images to the power of", "", [_power(sizes, epochs)]))
    memory = [told["memory"] for told in of_size]
    figures.append(figure("own memory per image more", "bytes", [_slope(sizes, memory)]))

    batch_sizes = [16, 64] if quick else [16, 32, 64, 128, 256, 512, 1024]
    steps = []
    for batch_size in batch_sizes:
        told = _apart("images", sizes[0], batch_size, effort.seconds)
        steps.append(told["training"] * batch_size)
        name = f"batch {batch_size}: training of A"
        figures.append(figure(name, "images/s", [1 / told["training"]]))
    figures.append(figure("a step ∝ batch size to the power of", "", [_power(batch_sizes, steps)]))

    counts = [1, 2] if quick else [1, 2, 4, 8]
    sweeps = [_apart("jobs", count) for count in counts]
    for count, told in zip(counts, sweeps, strict=True):
        figures += [
            figure(f"sweep of {count} jobs", "s", [told["seconds"]]),
            figure(f"sweep of {count} jobs: own memory", "MB", [told["memory"] / 1e6]),
        ]
    seconds = [told["seconds"] for told in sweeps]
    figures.append(figure("a job more in a sweep", "s", [_slope(counts, seconds)]))
    memory = [told["memory"] / 1e6 for told in sweeps]
    figures.append(figure("own memory per job more", "MB", [_slope(counts, memory)]))
    return figures


def mapped_store(folder: Path, n_images: int) -> ImageStore:
    """Return a store of black training images in a mapped file that takes no room on the disk."""
    path = folder / "images.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (n_images, 1, 48, 48))
    return ImageStore(
        images=np.load(path, mmap_mode="c"),
        labels=np.arange(n_images) % 7,
        splits=np.zeros(n_images, np.uint8),
        names=np.full(n_images, "Training_00000000.jpg"),
        hashes=np.arange(n_images).astype("S32"),
    )


class _Clock(Callback):
    """Times the steps of a training for some seconds, and ends it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since = 0.0
        self._n = 0
        self._began = time.perf_counter()
        self._first = 0.0  # seconds to the first batch

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: object) -> None:
        self._n += 1
        if self._n == 3:  # the first ones warm up
            self._since = now(pl_module.device)
        elif self._n % 10 != 3:  # no wait for the device after each step
            return
        elif (passed := now(pl_module.device) - self._since) > self._seconds:
            size = trainer.train_dataloader.batch_size
            training = passed / (self._n - 3) / size
            told = {"before": self._first, "training": training, "memory": own_memory()}
            raise Measured(told)

    def on_train_batch_start(self, *_: object) -> None:
        self._first = self._first or time.perf_counter() - self._began


def _time_images(n_images: int, batch_size: int, seconds: float) -> dict[str, float]:
    """Return seconds before the first batch, seconds per image, and the memory in bytes."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        store = mapped_store(Path(folder), n_images)
        shaken = RandomTransforms(rotation=10, flip=0.5, zoom=0.1)
        augmentation = TargetedAugmentation(shaken, apply_to="all")
        data = FaceDataModule(lambda: store, augmentation, batch_size, val_fraction=0.001)
        network = build_network(parse_network(MODEL_A))
        optimizer = partial(torch.optim.Adam, lr=1e-4, fused=True)
        clock = _Clock(seconds)
        trainer = make_trainer(Path(folder), max_epochs=1000, callbacks=[clock], progress_bar=False)
        try:
            trainer.fit(EmotionClassifier(network, optimizer), datamodule=data)
        except Measured as measured:
            told: dict[str, float] = measured.args[0]

        batches = iter(data.train_dataloader())
        next(batches)
        device = trainer.strategy.root_device
        n, start = 0, now(device)
        for n, _ in enumerate(batches, 1):
            if n % 10 == 0 and now(device) - start > seconds:  # no wait after each batch
                break
        told["loading"] = (now(device) - start) / max(n, 1) / batch_size
    return told


def _time_jobs(n_jobs: int) -> dict[str, float]:
    """Return the seconds and the memory at the end of a sweep of small jobs."""
    drawn(size=700, seed=0)  # and kept: drawing is no part of a job
    with tempfile.TemporaryDirectory() as folder:
        seeds = ",".join(map(str, range(n_jobs)))
        start = time.perf_counter()
        status = ferlab(
            ["train", "-m", *SMALL_JOB, f"seed={seeds}", f"hydra.sweep.dir={folder}/sweep"]
        )
        assert status == 0
        return {"seconds": time.perf_counter() - start, "memory": own_memory()}


def _apart(what: str, *values: float) -> dict[str, float]:
    """Measure in a process of its own."""
    told: dict[str, float] = in_own_process("benchmarks.scaling", what, *values)
    print(f"{what} {' '.join(map(str, values))}: {told}")
    return told


def _power(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the exponent k of the law cost = c · size^k that fits best."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def _slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return b of the law cost = a + b · size that fits best."""
    return float(np.polyfit(sizes, costs, 1)[0])


if __name__ == "__main__":
    what, *values = sys.argv[1:]
    if what == "images":
        n_images, batch_size, seconds = values
        print(json.dumps(_time_images(int(n_images), int(batch_size), float(seconds))))
    else:
        print(json.dumps(_time_jobs(int(values[0]))))
