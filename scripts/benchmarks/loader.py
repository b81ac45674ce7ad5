"""Loader and augmentation alone, without a network, in turns with ImageFolder and a DataLoader."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from benchmarks.measuring import WARM_UP, Effort, Figure, Measured, figure, look_into, now
from benchmarks.usual import PREFETCHED, usual_batches, write_images
from ferlab.learning.classifier import EmotionClassifier


def measure(overrides: Sequence[str], effort: Effort) -> list[Figure]:
    """Return the images per second of both, and their ratio."""
    rates = look_into(
        "benchmarks.loader.Loader", overrides, rounds=effort.rounds, seconds=effort.seconds
    )
    ours, usual = zip(*rates, strict=True)
    ratios = [mine / others for mine, others in rates]
    return [
        figure("loader and augmentation", "images/s", ours),
        figure("ImageFolder and DataLoader", "images/s", usual),
        figure("loader / ImageFolder and DataLoader", "", ratios),
    ]


class Loader(Callback):
    """Takes batches of either side in turns, before the first step of a training."""

    def __init__(self, rounds: int, seconds: float) -> None:
        self._rounds = rounds
        self._seconds = seconds

    def on_train_start(self, trainer: L.Trainer, pl_module: EmotionClassifier) -> None:
        ours = _forever(trainer.train_dataloader)
        with tempfile.TemporaryDirectory() as folder:
            write_images(trainer.datamodule, Path(folder))
            usual = usual_batches(Path(folder), trainer.datamodule)
            rates = [
                (self._rate(ours, trainer, pl_module), self._rate(usual, trainer, pl_module))
                for _ in range(WARM_UP + self._rounds)
            ]
        raise Measured(rates[WARM_UP:])

    def _rate(self, batches: Iterator[Any], trainer: L.Trainer, module: EmotionClassifier) -> float:
        """Return images per second, once those are used up that lay ready."""
        for _ in range(PREFETCHED):
            next(batches)
        n, start = 0, now(module.device)
        while (passed := now(module.device) - start) < self._seconds:
            for _ in range(10):  # no wait for the device after each batch
                next(batches)
            n += 10
        return n * trainer.train_dataloader.batch_size / passed


def _forever(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from batches
