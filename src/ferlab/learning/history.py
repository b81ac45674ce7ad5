"""The history of a training: one row per epoch."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from ferlab.history import HISTORY_COLUMNS, read_history, write_history
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.metrics import MONITORS

log = logging.getLogger(__name__)


class History(Callback):
    """One row per epoch: kept in `history.csv`, said in a line, handed to the loggers.

    The rows are part of each checkpoint. A resumed run rewrites the file and the loggers' curves
    from them, so no epoch appears twice.

    Attributes:
        rows: HISTORY_COLUMNS by name, without those of validation where nothing validates. `epoch`
            counts from 1; `seconds` is the whole epoch with its validation; `images_per_second` is
            that of the training steps alone.
    """

    def __init__(self, path: Path) -> None:
        self.rows: list[dict[str, float]] = []
        self._path = path
        self._before = 0.0  # seconds of this epoch before the last resume
        self._started = 0.0
        self._train_seconds = 0.0

    def read(self, trainer: L.Trainer) -> bool:
        """Take the rows of a training that has ended from its file, and show them the loggers.

        Returns:
            Whether the file is whole; it is not touched otherwise.
        """
        rows = read_history(self._path)
        if not rows:
            log.warning("%s is damaged", os.path.relpath(self._path))
            return False
        self.rows = rows
        self._replay(trainer)
        return True

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._write(trainer)
        self._replay(trainer)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._before, self._started = 0.0, time.perf_counter()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._note_end_of_steps(pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, EmotionClassifier)
        validates = trainer.enable_validation
        if not validates:
            self._note_end_of_steps(pl_module)
        train = pl_module.train_metrics.compute()
        n_images = int(train["confusion"].sum())
        row = {
            "epoch": trainer.current_epoch + 1,
            "train/loss": float(train["loss"]),
            "train/accuracy": float(train["accuracy"]),
            **{key: float(trainer.callback_metrics[key]) for key in MONITORS if validates},
            "learning_rate": pl_module.learning_rate,
            "seconds": self._elapsed(),
            "images_per_second": n_images / self._train_seconds,
        }
        self.rows.append(row)
        self._write(trainer)
        self._to_loggers(trainer, row)
        log.info(
            "epoch %3d  train loss %.4f accuracy %.4f  "
            f"{'val loss %.4f accuracy %.4f  ' if validates else ''}"
            "lr %.2g  %.1f s  %.0f images/s",
            *(row[column] for column in HISTORY_COLUMNS if column in row),
        )

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "elapsed": self._elapsed()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self._before = state_dict["rows"], state_dict["elapsed"]

    def _note_end_of_steps(self, pl_module: L.LightningModule) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()  # or the last steps of the epoch would not be counted
        self._train_seconds = self._elapsed()

    def _elapsed(self) -> float:
        return self._before + time.perf_counter() - self._started

    def _write(self, trainer: L.Trainer) -> None:
        if trainer.is_global_zero:
            write_history(self._path, self.rows)

    def _replay(self, trainer: L.Trainer) -> None:
        for row in self.rows:
            self._to_loggers(trainer, row)

    @staticmethod
    def _to_loggers(trainer: L.Trainer, row: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, int(row["epoch"]))
