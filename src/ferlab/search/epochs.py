"""What a search hears of a trial's training, epoch by epoch."""

import math

import lightning as L
import optuna
from lightning.pytorch.callbacks import Callback

from ferlab.checks import FerlabError
from ferlab.learning.metrics import MONITORS


class EpochReport(Callback):
    """Reports `monitor` of each epoch, and ends a training whose pruner gives it up.

    Args:
        trial: hears it; epochs count from 1.
        monitor: one of MONITORS.
    """

    def __init__(self, trial: optuna.Trial, monitor: str) -> None:
        self._trial = trial
        self._monitor = monitor
        self._values: list[float] = []

    @property
    def best(self) -> float:
        """The best epoch's value."""
        return max(self._values) if MONITORS[self._monitor] == "max" else min(self._values)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = float(trainer.callback_metrics[self._monitor])
        epoch = trainer.current_epoch + 1
        if math.isnan(value):
            raise FerlabError(f"{self._monitor} is not a number in epoch {epoch}")
        self._values.append(value)
        self._trial.report(value, epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned
