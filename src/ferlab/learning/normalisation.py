"""Batch normalisation with statistics measured on untransformed training images."""

from collections.abc import Iterable

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ferlab.checks import FerlabError, check_integer
from ferlab.data.batches import Batch
from ferlab.data.datamodule import FaceDataModule


class PreciseBatchNorm(Callback):
    """Measures the means and variances of batch normalisation anew before each validation.

    The running ones are a training's: of transformed images, under dropout (Li et al. 2019), by
    weights of some batches ago. A network that is judged meets none of these, so they are measured
    without dropout (precise BatchNorm: Wu & Johnson 2021) over training images that are not
    transformed (as Touvron et al. 2019 do for another resolution). Where the network sees a crop,
    that is the centre. The training stays as it was, for it normalises by each batch; which epoch
    is the best may change.

    Args:
        images: of training that are looked at, evenly spread, >= 2; see
            `FaceDataModule.spread_batches`.
    """

    def __init__(self, images: int = 2048) -> None:
        self._n_images = check_integer("callbacks.precise_batch_norm.images", images, at_least=2)

    def check(self, network: nn.Module) -> None:
        """Make sure that the network has something to measure.

        Raises:
            FerlabError: it has no batch normalisation.
        """
        if not _batch_norms(network):
            raise FerlabError(
                "the network has no batch normalisation to measure; add "
                "callbacks.precise_batch_norm=null, or give a layer of model.layers a batch_norm"
            )

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.check(pl_module)
        if not isinstance(trainer.datamodule, FaceDataModule):  # type: ignore[attr-defined]
            raise FerlabError("PreciseBatchNorm looks at the images of a FaceDataModule; fit one")
        later = trainer.callbacks[trainer.callbacks.index(self) :]  # type: ignore[attr-defined]
        if any(isinstance(callback, WeightAveraging) for callback in later):
            raise FerlabError("PreciseBatchNorm must come after the callback that averages weights")

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._measure(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.enable_validation:
            self._measure(trainer, pl_module)

    def _measure(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        data: FaceDataModule = trainer.datamodule  # type: ignore[attr-defined]
        with trainer.precision_plugin.forward_context():
            measure_batch_norm(module, data.spread_batches(self._n_images))


@torch.no_grad()
def measure_batch_norm(module: nn.Module, batches: Iterable[Batch]) -> None:
    """Set the statistics of each batch normalisation to their means over the batches.

    Everything else computes as in evaluation, without dropout.

    Args:
        module: takes images (B, 1, 48, 48), as an EmotionClassifier.
        batches: one at least, of two images each at least.
    """
    norms = _batch_norms(module)
    modes = [(part, part.training) for part in module.modules()]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        for number, batch in enumerate(batches, 1):
            for norm in norms:
                norm.momentum = 1 / number  # the mean of all batches; None would wait for CUDA
            module(batch.images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for part, mode in modes:
            part.training = mode


def _batch_norms(module: nn.Module) -> list[_BatchNorm]:
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]
