"""The LightningModule: what one step of training and of evaluation computes."""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ferlab.checks import FerlabError, check_choice, check_number
from ferlab.data.batches import Batch
from ferlab.learning.metrics import MONITORS, EpochMetrics
from ferlab.networks.build import LayeredNetwork
from ferlab.randomness import mix_seed

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeScheduler = Callable[..., ReduceLROnPlateau]


@contextmanager
def _worded(group: str) -> Iterator[None]:
    """Turn what PyTorch says of a wrong argument into one line that names the group."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise FerlabError(f"{group}: {error}") from error


_RANGES: dict[str, dict[str, dict[str, float]]] = {
    "optimizer": {"lr": {"above": 0}},
    "scheduler": {
        "factor": {"above": 0, "below": 1},
        "patience": {"at_least": 0},
        "min_lr": {"at_least": 0},
    },
}


def _check_ranges(group: str, make: object) -> None:
    """Check what PyTorch would not notice, or only after the first epoch."""
    values = make.keywords if isinstance(make, functools.partial) else {}
    for name, bounds in _RANGES[group].items():
        if name in values:
            check_number(f"{group}.{name}", values[name], **bounds)


class EmotionClassifier(L.LightningModule):
    """A network that learns the seven classes by cross-entropy.

    Args:
        network: images (B, 1, 48, 48) to logits (B, 7).
        optimizer: makes the optimizer of the network's parameters.
        scheduler: makes a scheduler that watches `monitor` from epoch to epoch, of the optimizer
            and `mode` ("max" or "min"); None keeps the learning rate.
        monitor: one of MONITORS.
        seed: of dropout, whose masks are a function of (seed, epoch, batch index).
    """

    def __init__(
        self,
        network: LayeredNetwork,
        optimizer: MakeOptimizer,
        scheduler: MakeScheduler | None = None,
        monitor: str = "val/accuracy",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.train_metrics = EpochMetrics()
        self.val_metrics = EpochMetrics()
        self.monitor = monitor
        self.seed = seed
        check_choice("monitor", monitor, MONITORS)
        # Built at once: a wrong value is met before any image is read.
        _check_ranges("optimizer", optimizer)
        _check_ranges("scheduler", scheduler)
        with _worded("optimizer"):
            self._optimizer = optimizer(self.network.parameters())
        with _worded("scheduler"):
            self._scheduler = (
                scheduler(self._optimizer, mode=MONITORS[monitor]) if scheduler else None
            )

    def configure_optimizers(self) -> Optimizer:
        # The scheduler stays out of Lightning's hands: on a resume in mid-epoch those would
        # leave out one step of a scheduler that watches a metric.
        return self._optimizer

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, 7) of images (B, 1, 48, 48) in [0, 1]."""
        logits: Tensor = self.network(images)
        return logits

    def on_train_epoch_start(self) -> None:
        self.train_metrics.reset()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed(mix_seed(self.seed, self.current_epoch, batch_idx, 2))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = self(batch.images)
        loss = F.cross_entropy(logits, batch.labels)
        labels = batch.labels if batch.labels.ndim == 1 else batch.labels.argmax(dim=1)
        self.train_metrics.update(logits.detach(), labels, loss)
        return loss

    def on_train_epoch_end(self) -> None:
        if self._scheduler is not None:
            self._scheduler.step(float(self.trainer.callback_metrics[self.monitor]))

    def on_validation_epoch_start(self) -> None:
        self.val_metrics.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self(batch.images)
        self.val_metrics.update(logits, batch.labels, F.cross_entropy(logits, batch.labels))

    def on_validation_epoch_end(self) -> None:
        values = self.val_metrics.compute()
        self.log_dict({f"val/{name}": value for name, value in values.items()}, logger=False)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Return the probabilities float32 (B, 7) of a batch."""
        probabilities: Tensor = self(batch.images).softmax(dim=1)
        return probabilities.cpu()

    @property
    def n_parameters(self) -> int:
        """Trainable parameters of the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def learning_rate(self) -> float:
        """The optimizer's present learning rate, of its first parameter group."""
        return float(self._optimizer.param_groups[0]["lr"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._scheduler is not None:
            checkpoint["scheduler"] = self._scheduler.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._scheduler is not None:
            self._scheduler.load_state_dict(checkpoint["scheduler"])
