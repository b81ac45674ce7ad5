"""Batch normalisation by what images as they are come to, not by what a training makes of them."""

from collections.abc import Iterable

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ferlab.checks import FerlabError, check_integer
from ferlab.data.batches import Batch, EvalBatches
from ferlab.data.datamodule import FaceDataModule


class PreciseBatchNorm(Callback):
    """Measures the means and variances of batch normalisation anew before each validation.

    The running ones are a training's: of images that are transformed, under dropout (Li et al.
    2019), by weights of some batches ago. A network that is judged meets none of these. So its
    statistics are measured as it is judged, over training images as they are (precise BatchNorm:
    Wu & Johnson 2021; of images as they are: Touvron et al. 2019). The training stays as it was,
    for it normalises by each batch; which epoch is the best may change.

    Args:
        images: of training that are looked at, evenly spread, >= 2; whole batches of them, at
            least one.

    Raises:
        FerlabError: when the training starts, of a network without batch normalisation, or where
            weights are averaged by a callback that comes later.
    """

    def __init__(self, images: int = 2048) -> None:
        self._n_images = check_integer("callbacks.precise_batch_norm.images", images, at_least=2)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not _batch_norms(pl_module):
            raise FerlabError(
                "callbacks.precise_batch_norm: the network has no batch normalisation; leave it "
                "out, or give a layer of model.layers a batch_norm"
            )
        later = trainer.callbacks[trainer.callbacks.index(self) :]  # type: ignore[attr-defined]
        if any(isinstance(callback, WeightAveraging) for callback in later):
            raise FerlabError(
                "callbacks.precise_batch_norm must come after what averages the weights; write "
                "callbacks=ema +callbacks.precise_batch_norm._target_="
                "ferlab.learning.normalisation.PreciseBatchNorm"
            )

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._measure(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.enable_validation:
            self._measure(trainer, pl_module)

    def _measure(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, FaceDataModule)
        with trainer.precision_plugin.forward_context():
            measure_batch_norm(module, spread_batches(data, self._n_images))


def spread_batches(data: FaceDataModule, n_images: int) -> EvalBatches:
    """Return batches of training images as they are, each batch evenly spread over the store.

    They are of the training's size: so is the memory that they take, at most.

    Args:
        data: whose training images.
        n_images: how many, at most; one batch of them at least.
    """
    rows = data.judged_rows("train")
    size = min(data.batch_size, len(rows))
    n_batches = max(1, min(n_images, len(rows)) // size)
    spread = np.linspace(0, len(rows) - 1, n_batches * size).round().astype(np.int64)
    # A store may be sorted by class: no batch is of neighbours.
    return data.batches_of(rows[spread.reshape(size, n_batches).T.ravel()], size)


@torch.no_grad()
def measure_batch_norm(module: nn.Module, batches: Iterable[Batch]) -> None:
    """Set the statistics of each batch normalisation to their means over the batches.

    The module computes them as it is judged, without dropout.

    Args:
        module: images (B, 1, 48, 48) to anything, as an EmotionClassifier.
        batches: of at least two images each.
    """
    norms = _batch_norms(module)
    momenta = [norm.momentum for norm in norms]
    was_training = module.training
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    for batch in batches:
        module(batch.images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.train(was_training)


def _batch_norms(module: nn.Module) -> list[_BatchNorm]:
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]
