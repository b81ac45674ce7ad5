"""The exponential moving average of the weights, kept where the network computes."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ferlab.checks import check_number


class AveragedWeights(WeightAveraging):
    """Exponential moving average (EMA): validated, kept and stopped by; the weights train on.

    No step waits for the device. Lightning's own `EMAWeightAveraging` would: it keeps the average
    on the CPU, where the network still is when a training is set up, and PyTorch's `AveragedModel`
    asks in each step whether it is the first one.

    Args:
        decay: of the average per step, in [0, 1). Statistics of normalisation are averaged too.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        decay = check_number("callbacks.ema.decay", decay, at_least=0, below=1)
        self._average = get_ema_multi_avg_fn(decay)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    @torch.no_grad()
    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        assert self._average_model is not None
        if trainer.global_step == self._latest_update_step:
            return
        averaged, counted = _tensors(self._average_model.module)
        current, counts = _tensors(pl_module)
        if self._latest_update_step == 0:
            torch._foreach_copy_(averaged, current)
        else:
            self._average(averaged, current, None)
        for mine, theirs in zip(counted, counts, strict=True):
            mine.copy_(theirs)
        self._latest_update_step = trainer.global_step


def _tensors(module: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters and buffers that are averaged, and those that count something."""
    tensors: list[Any] = [*module.parameters(), *module.buffers()]
    return (
        [tensor for tensor in tensors if tensor.is_floating_point()],
        [tensor for tensor in tensors if not tensor.is_floating_point()],
    )
