"""What a search hears of a trial's training, and what a signal tells it."""

import math
import os
import signal
import threading
from types import FrameType
from typing import Any

import lightning as L
import optuna
from lightning.pytorch.callbacks import Callback

from ferlab.checks import FerlabError, Interrupted
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


class StopOnSignal(Callback):
    """SIGINT and SIGTERM end a training between two batches; a second signal ends the process.

    A context: within it a signal is kept until `check` is called, for an exception that is raised
    anywhere may be lost in a destructor.
    """

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
            }
            self._listen()
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise Interrupted where a signal has come."""
        if self._signal:
            raise Interrupted(f"stopped by {self._signal.name}; the trials that ended are kept")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self._signal:
            self._listen()  # again: Lightning has put its own in place of it

    def on_train_batch_end(self, *arguments: object) -> None:
        self.check()

    def _listen(self) -> None:
        for number in self._before:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.write(2, f"\n{self._signal.name}: once more stops at once\n".encode())
