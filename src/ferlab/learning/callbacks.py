"""What surrounds the steps of a training: history, best weights, early stopping, checkpoints."""

import csv
import io
import logging
import operator
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import Tensor

from ferlab.checks import Interrupted, check_choice, check_integer, check_number
from ferlab.files import replacing, write_text
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.metrics import MONITORS

log = logging.getLogger(__name__)

HISTORY_COLUMNS = (
    "epoch",
    "train/loss",
    "train/accuracy",
    "val/loss",
    "val/accuracy",
    "learning_rate",
    "seconds",
    "images_per_second",
)


class History(Callback):
    """One row per epoch: kept in `history.csv`, said in a line, handed to the loggers.

    The rows are part of each checkpoint. A resumed run rewrites the file and the loggers' curves
    from them, so no epoch appears twice.

    Attributes:
        rows: HISTORY_COLUMNS by name. `epoch` counts from 1; `seconds` is the whole epoch with its
            validation; `images_per_second` is that of the training steps alone.
    """

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, float]] = []
        self._path = path
        self._before = 0.0  # seconds of this epoch before the last resume
        self._started = 0.0
        self._train_seconds = 0.0

    def read(self, trainer: L.Trainer) -> None:
        """Take the rows of a training that has ended from its file, and show them the loggers."""
        with self._path.open(encoding="utf-8", newline="") as file:
            self.rows = [
                {"epoch": int(row.pop("epoch")), **{key: float(row[key]) for key in row}}
                for row in csv.DictReader(file)
            ]
        self._replay(trainer)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started = time.perf_counter()
        self._write()
        self._replay(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._before, self._started = 0.0, time.perf_counter()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()  # or the last steps of the epoch would not be counted
        self._train_seconds = self._elapsed()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, EmotionClassifier)
        train = pl_module.train_metrics.compute()
        n_images = int(pl_module.train_metrics.confusion.sum())
        row = {
            "epoch": trainer.current_epoch + 1,
            "train/loss": float(train["loss"]),
            "train/accuracy": float(train["accuracy"]),
            "val/loss": float(trainer.callback_metrics["val/loss"]),
            "val/accuracy": float(trainer.callback_metrics["val/accuracy"]),
            "learning_rate": pl_module.learning_rate,
            "seconds": self._elapsed(),
            "images_per_second": n_images / self._train_seconds,
        }
        self.rows.append(row)
        self._write()
        self._to_loggers(trainer, row)
        log.info(
            "epoch %3d  train loss %.4f accuracy %.4f  val loss %.4f accuracy %.4f  "
            "lr %.2g  %.1f s  %.0f images/s",
            *(row[column] for column in HISTORY_COLUMNS),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "elapsed": self._elapsed()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self._before = state_dict["rows"], state_dict["elapsed"]

    def _elapsed(self) -> float:
        return self._before + time.perf_counter() - self._started

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self._path, text.getvalue())

    def _replay(self, trainer: L.Trainer) -> None:
        for row in self.rows:
            self._to_loggers(trainer, row)

    @staticmethod
    def _to_loggers(trainer: L.Trainer, row: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, int(row["epoch"]))


class BestWeights(Callback):
    """A copy of the network's weights at the best epoch so far, in memory and in each checkpoint.

    Of callbacks that average weights this one must come first.

    Args:
        monitor: the metric that decides, one of MONITORS; the first of equal epochs counts.
    """

    def __init__(self, monitor: str) -> None:
        self._monitor = check_choice("monitor", monitor, MONITORS)
        self._best: float | None = None
        self._weights: dict[str, Tensor] = {}
        self._validated: dict[str, Tensor] = {}

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Averaged weights are in the network now, and no longer when the metrics are known.
        assert isinstance(pl_module, EmotionClassifier)
        self._validated = {
            name: tensor.clone() for name, tensor in pl_module.network.state_dict().items()
        }

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = float(trainer.callback_metrics[self._monitor])
        better = operator.gt if MONITORS[self._monitor] == "max" else operator.lt
        if self._best is None or better(value, self._best):
            self._best, self._weights = value, self._validated

    def restore(self, module: EmotionClassifier) -> None:
        """Put the best weights into the module's network."""
        module.network.load_state_dict(self._weights)

    def write(self, path: Path) -> None:
        """Write the best weights, readable with `torch.load(path, weights_only=True)`."""
        with replacing(path) as partial:
            torch.save(self._weights, partial)

    def read(self, path: Path) -> None:
        """Take the weights that `write` left."""
        self._weights = torch.load(path, weights_only=True, map_location="cpu")

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best, self._weights = state_dict["best"], state_dict["weights"]


def make_early_stopping(monitor: str, patience: int) -> EarlyStopping:
    """Return Lightning's early stopping: it ends a training `patience` epochs after the best one.

    Args:
        monitor: the metric that decides, one of MONITORS.
        patience: epochs without improvement, >= 1.
    """
    check_choice("monitor", monitor, MONITORS)
    check_integer("callbacks.early_stopping.patience", patience, at_least=1)
    return EarlyStopping(monitor, mode=MONITORS[monitor], patience=patience)


class Checkpoints(Callback):
    """Writes the file from which a training goes on at the very batch where it stopped.

    It is written between two batches of an epoch, never after its last one: Lightning would skip
    that epoch's validation on the resume. SIGINT and SIGTERM finish the batch (the epoch, if it is
    its last one), write the file and raise Interrupted; a second signal ends the process at once.

    When training has ended the best weights are written first: where their file lies, there is
    nothing left to train.

    Args:
        last: the file of the training's whole state.
        best: the file of the best weights.
        weights: holds these.
        every: seconds between two checkpoints, > 0.
    """

    def __init__(self, last: Path, best: Path, weights: BestWeights, every: float = 60.0) -> None:
        self._last, self._best, self._weights = last, best, weights
        self._every = check_number("checkpoint.every", every, above=0)
        self._written = 0.0
        self._signal: signal.Signals | None = None
        self._handlers_before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._written = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers_before[number] = signal.signal(number, self._on_signal)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        if trainer.is_last_batch:
            return
        if self._signal or time.monotonic() - self._written >= self._every:
            self._write(trainer)
        if self._signal:
            raise Interrupted(
                f"stopped by {self._signal.name} after batch {batch_idx + 1} of "
                f"{trainer.num_training_batches} in epoch {trainer.current_epoch + 1}, "
                "nothing is lost"
            )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._weights.write(self._best)
        self._write(trainer)
        self._restore_handlers()
        if self._signal:
            raise Interrupted(f"stopped by {self._signal.name} at the end of the training")

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._restore_handlers()

    def _write(self, trainer: L.Trainer) -> None:
        with replacing(self._last) as partial:
            trainer.save_checkpoint(partial)
        self._written = time.monotonic()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Not through the log, which may be in the middle of a line.
        os.write(2, f"\n{self._signal.name}: saving first; once more stops at once\n".encode())

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        self._handlers_before = {}
