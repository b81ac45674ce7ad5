"""The progress bar of a training."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from torch import Tensor

from ferlab.learning.classifier import EmotionClassifier


class ProgressBar(TQDMProgressBar):
    """Lightning's bar with the epoch's loss and accuracy so far, read without stalling a GPU."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=10)  # steps
        self._sent: tuple[Any, Tensor] | None = None  # event, loss and accuracy on the host

    def init_train_tqdm(self) -> Tqdm:
        bar = super().init_train_tqdm()
        bar.leave = False  # the line of each epoch stays
        return bar

    def init_predict_tqdm(self) -> Tqdm:
        bar = super().init_predict_tqdm()
        bar.leave = False
        return bar

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self._sent = None
        super().on_train_epoch_start(trainer)
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}")

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        # In the epoch in which a training is resumed Lightning does not begin the bar.
        if self.train_progress_bar.total is None:
            self.on_train_epoch_start(trainer)
            self.train_progress_bar.initial = self.train_progress_bar.n = batch_idx

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        assert isinstance(pl_module, EmotionClassifier)
        values = pl_module.train_metrics.of_this_process()  # the others show no bar
        # From a GPU the copy of one refresh is shown at the next, if it has arrived by then.
        copied = torch.stack([values["loss"], values["accuracy"]]).to("cpu", non_blocking=True)
        arrived = torch.get_device_module(pl_module.device).Event()
        arrived.record()
        before, self._sent = self._sent, (arrived, copied)
        shown = self._sent if pl_module.device.type == "cpu" else before
        if shown is None or not shown[0].query():
            return {}
        return {"loss": f"{shown[1][0]:.4f}", "accuracy": f"{shown[1][1]:.4f}"}
