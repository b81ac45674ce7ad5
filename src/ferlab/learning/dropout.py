"""Dropout that begins at nothing and grows towards what the layers say."""

import math

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import nn

from ferlab.checks import FerlabError, check_number


class CurriculumDropout(Callback):
    """Lets each dropout grow from zero towards its probability (Morerio et al. 2017).

    In epoch t of T, counted from 0, a layer with `dropout: p` drops p · (1 − exp(−pace · t / T)).
    A network that drops much in many places need not find its first features in the noise. It is
    not compiled: a probability is part of what is compiled, and would be anew in each epoch.

    Args:
        pace: how soon, > 0; with the paper's 10, 63 % of each probability after a tenth of the
            epochs and 99 % after a half; with 0.7, half of each at the end.
    """

    def __init__(self, pace: float) -> None:
        self._pace = check_number("callbacks.curriculum_dropout.pace", pace, above=0)
        self._final: dict[nn.Dropout, float] = {}

    def check(self, network: nn.Module) -> None:
        """Make sure that the network has something that can grow.

        Raises:
            FerlabError: it has no dropout.
        """
        if not _dropouts(network):
            raise FerlabError(
                "the network has no dropout that could grow; add "
                "callbacks.curriculum_dropout=null, or give a layer of model.layers a dropout"
            )

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.check(pl_module)
        self._final = _dropouts(pl_module)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._grow(trainer)  # an epoch that is gone on with does not start

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._grow(trainer)

    def _grow(self, trainer: L.Trainer) -> None:
        assert trainer.max_epochs is not None
        passed = trainer.current_epoch / trainer.max_epochs
        for dropout, final in self._final.items():
            dropout.p = final * -math.expm1(-self._pace * passed)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for dropout, final in self._final.items():
            dropout.p = final


def _dropouts(module: nn.Module) -> dict[nn.Dropout, float]:
    """Return each dropout of the module that drops anything, with its probability."""
    dropouts = [part for part in module.modules() if isinstance(part, nn.Dropout)]
    return {dropout: dropout.p for dropout in dropouts if dropout.p > 0}
