"""How often a training step makes the host wait for a CUDA device."""

import contextlib
import warnings
from collections.abc import Sequence

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from benchmarks.measuring import Effort, Figure, Measured, figure, look_into
from ferlab.learning.classifier import EmotionClassifier

FIRST, LAST = 10, 110  # steps between which it is counted


def measure(overrides: Sequence[str], effort: Effort) -> list[Figure]:
    """Return the synchronisations per step; nothing where there is no CUDA device."""
    if not torch.cuda.is_available():
        print("synchronisations: not measured, for there is no CUDA device")
        return []
    ways = {
        "": [],
        ", averaged weights": ["callbacks=ema"],
        ", smoothed labels": ["loss.label_smoothing=0.1"],
    }
    counted = {
        how: look_into("benchmarks.synchronisations.Count", [*overrides, *way])
        for how, way in ways.items()
    }
    return [
        figure(f"synchronisations per training step{how}", "", [n / (LAST - FIRST)])
        for how, n in counted.items()
    ]


class Count(Callback):
    """Counts the warnings of PyTorch's debug mode; epochs have to be longer than LAST steps."""

    def __init__(self) -> None:
        self._recording = contextlib.ExitStack()
        self._warned: list[warnings.WarningMessage] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: EmotionClassifier, *_: object
    ) -> None:
        if trainer.global_step == FIRST:
            self._warned = self._recording.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
        elif trainer.global_step == LAST:
            torch.cuda.set_sync_debug_mode("default")
            self._recording.close()
            # The mode announces itself in a warning, too.
            waited = [w for w in self._warned if "called a synchronizing" in str(w.message)]
            raise Measured(len(waited))
