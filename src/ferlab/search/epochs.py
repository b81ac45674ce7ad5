"""What a search hears of a trial's training, and what a signal tells it."""

import math

import lightning as L
import optuna
from lightning.pytorch.callbacks import Callback

from ferlab.checks import FerlabError
from ferlab.learning.metrics import MONITORS
from ferlab.learning.signals import Signals


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


class StopOnSignal(Callback):
    """SIGINT and SIGTERM end a training between two batches; a second signal ends the process.

    A context: within it a signal is kept until `check` is called.
    """

    def __init__(self) -> None:
        self._signals = Signals()

    def __enter__(self) -> "StopOnSignal":
        self._signals.listen()
        return self

    def __exit__(self, *error: object) -> None:
        self._signals.restore()

    def check(self) -> None:
        """Raise Interrupted where a signal has come."""
        self._signals.check("; the trials that ended are kept")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._signals.listen()  # again: Lightning has put its own in place of it

    def on_train_batch_end(self, *arguments: object) -> None:
        self.check()
