"""What comes between two epochs: metrics, history, best weights, checkpoints; not validation."""

import statistics
import time
from collections.abc import Sequence

import lightning as L
from lightning.pytorch.callbacks import Callback

from benchmarks.measuring import Effort, Figure, Measured, figure, look_into, now
from ferlab.learning.classifier import EmotionClassifier

N_BATCHES = 6  # of an epoch here; what is measured does not depend on them


def measure(overrides: Sequence[str], effort: Effort) -> list[Figure]:
    """Return the seconds of an epoch's end and of a checkpoint, and their share of an epoch.

    The epoch is the whole one, reckoned from the seconds of a step; of checkpoints there is one a
    minute. The forward passes of validation are no part of the end, what they are followed by is.
    """
    ends, checkpoints, epoch = look_into(
        "benchmarks.epoch_end.EpochEnd",
        ["checkpoint.every=1 batch", *overrides],
        epochs=effort.rounds,
    )
    checkpoint = statistics.median(checkpoints)
    return [
        figure("end of an epoch, validation left out", "s", ends),
        figure("a checkpoint", "s", checkpoints),
        figure(
            "share of an epoch, a checkpoint a minute",
            "",
            [end / epoch + checkpoint / 60 for end in ends],
        ),
    ]


class EpochEnd(Callback):
    """Runs short epochs and takes the times between their batches."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._ends: list[float] = []
        self._checkpoints: list[float] = []
        self._steps: list[float] = []
        self._batch_ended = self._batch_began = 0.0
        self._validation_began = self._validation = 0.0

    def setup(self, trainer: L.Trainer, pl_module: EmotionClassifier, stage: str) -> None:
        trainer.limit_train_batches = N_BATCHES
        if trainer.limit_val_batches:
            trainer.limit_val_batches = 2

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: EmotionClassifier, batch: object, batch_idx: int
    ) -> None:
        self._batch_began = now(pl_module.device)
        between = self._batch_began - self._batch_ended
        if trainer.current_epoch == 0:
            return
        (self._checkpoints if batch_idx else self._ends).append(between - self._validation)
        self._validation = 0.0
        if len(self._ends) == self._epochs:
            step = statistics.median(self._steps)
            raise Measured((self._ends, self._checkpoints, step * len(trainer.train_dataloader)))

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: EmotionClassifier, *_: object
    ) -> None:
        self._batch_ended = now(pl_module.device)
        self._steps.append(self._batch_ended - self._batch_began)

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: EmotionClassifier) -> None:
        self._validation_began = time.perf_counter()

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: EmotionClassifier, *_: object
    ) -> None:
        self._validation = now(pl_module.device) - self._validation_began
