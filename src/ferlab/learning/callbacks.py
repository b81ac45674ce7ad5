"""What surrounds the steps of a training: best weights, early stopping, divergence."""

import logging
import math
import operator
import os
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import Tensor

from ferlab.checks import FerlabError, check_choice, check_integer
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.metrics import MONITORS
from ferlab.learning.tensors import read_tensors, write_tensors

log = logging.getLogger(__name__)


class BestWeights(Callback):
    """A copy of the network's weights at the best epoch so far, in memory and in each checkpoint.

    Of callbacks that average weights this one must come first. Where nothing validates, the best
    weights are the last ones, which are left to `take`.

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
        self._validated = _copy(pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.enable_validation:
            return
        value = float(trainer.callback_metrics[self._monitor])
        better = operator.gt if MONITORS[self._monitor] == "max" else operator.lt
        if self._best is None or better(value, self._best):
            self._best, self._weights = value, self._validated

    def take(self, module: EmotionClassifier) -> None:
        """Take the weights that the module's network has now for the best ones."""
        self._weights = _copy(module)

    def restore(self, module: EmotionClassifier) -> None:
        """Put the best weights into the module's network."""
        module.network.load_state_dict(self._weights)

    def write(self, path: Path) -> None:
        """Write the best weights, readable with `torch.load(path, weights_only=True)`."""
        write_tensors(path, {name: tensor.cpu() for name, tensor in self._weights.items()})

    def read(self, path: Path, module: EmotionClassifier) -> bool:
        """Take the weights that `write` left; return whether they are whole and the module's."""
        weights = read_tensors(path)
        expected = module.network.state_dict()
        if not isinstance(weights, dict) or [
            name
            for name in {**expected, **weights}
            if name not in expected
            or not isinstance(weights.get(name), Tensor)
            or weights[name].shape != expected[name].shape
        ]:
            log.warning("%s is damaged", os.path.relpath(path))
            return False
        self._weights = weights
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best, self._weights = state_dict["best"], state_dict["weights"]


def _copy(module: EmotionClassifier) -> dict[str, Tensor]:
    """Return a copy of the weights that the module's network has now."""
    return {name: tensor.clone() for name, tensor in module.network.state_dict().items()}


def make_early_stopping(monitor: str, patience: int) -> EarlyStopping:
    """Return Lightning's early stopping: it ends a training `patience` epochs after the best one.

    Args:
        monitor: the metric that decides, one of MONITORS.
        patience: epochs without improvement, >= 1.
    """
    check_choice("monitor", monitor, MONITORS)
    check_integer("callbacks.early_stopping.patience", patience, at_least=1)
    return EarlyStopping(monitor, mode=MONITORS[monitor], patience=patience)


class Divergence(Callback):
    """Ends a training whose loss or weights are no longer finite numbers.

    No step waits: the losses stay on the device, are sent to the host some dozens at a time, and
    are looked at where the next ones are sent, if they have arrived by then.

    Args:
        last: the file of the last checkpoint, which is written of finite weights alone; None where
            none is written.
        every: steps whose losses are sent together, >= 1.
    """

    def __init__(self, last: Path | None = None, every: int = 50) -> None:
        self._last = last
        self._every = every
        self._losses: list[Tensor] = []  # of the batches since the last were sent
        self._sent: list[tuple[Any, int, Tensor]] = []  # event, first batch, losses on the host
        self._next_batch = 0

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: object,
        batch_idx: int,
    ) -> None:
        self._losses.append(outputs["loss"])
        self._next_batch = batch_idx + 1
        if trainer.is_last_batch:
            self._check_losses(trainer)
        elif len(self._losses) == self._every:
            self._send()
            while self._sent and self._sent[0][0].query():
                self._look(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.enable_validation:
            self.check(trainer)  # nobody else looks at what the last step has made of the weights
        elif not math.isfinite(trainer.callback_metrics["val/loss"]):
            raise self._diverged(trainer, "the validation loss is not a finite number after")

    def check(self, trainer: L.Trainer) -> None:
        """Make sure that losses and weights are finite; waits for the device.

        Raises:
            FerlabError: names the batch, and the last good checkpoint.
        """
        self._check_losses(trainer)
        weights = trainer.lightning_module.state_dict().values()
        if not torch.stack([tensor.isfinite().all() for tensor in weights]).all():
            place = f"a weight is not a finite number after batch {self._next_batch} of"
            raise self._diverged(trainer, place)

    def _check_losses(self, trainer: L.Trainer) -> None:
        if self._losses:
            self._send()
        while self._sent:
            self._sent[0][0].synchronize()
            self._look(trainer)

    def _send(self) -> None:
        losses = torch.stack(self._losses)
        arrived = torch.get_device_module(losses.device).Event()
        on_host = losses.to("cpu", non_blocking=True)  # PyTorch pins it
        arrived.record()
        self._sent.append((arrived, self._next_batch - len(losses), on_host))
        self._losses = []

    def _look(self, trainer: L.Trainer) -> None:
        """Look at the first losses that were sent, which have arrived."""
        _, first, losses = self._sent.pop(0)
        for batch, loss in enumerate(losses.tolist(), first + 1):
            if not math.isfinite(loss):
                raise self._diverged(trainer, f"the loss is {loss} in batch {batch} of")

    def _diverged(self, trainer: L.Trainer, what: str) -> FerlabError:
        kept = ""
        if self._last is not None:
            good = os.path.relpath(self._last) if self._last.exists() else "none was written yet"
            kept = f" (last good checkpoint: {good})"
        return FerlabError(
            f"{what} epoch {trainer.current_epoch + 1}{kept}; "
            "try a smaller optimizer.lr, or trainer.gradient_clip"
        )
