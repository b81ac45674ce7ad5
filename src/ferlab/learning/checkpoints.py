"""Checkpoints: from what lies on the disk a training goes on as if it had never stopped."""

import logging
import math
import os
import re
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ferlab.checks import FerlabError, Interrupted
from ferlab.data.datamodule import FaceDataModule
from ferlab.files import replacing
from ferlab.learning.callbacks import BestWeights, Divergence
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.memory import is_out_of_memory
from ferlab.learning.signals import Signals
from ferlab.learning.tensors import is_whole

log = logging.getLogger(__name__)


class Checkpoints(Callback):
    """Writes the file from which a training goes on at the very batch where it stopped.

    It is written between two batches of an epoch, never after its last one: Lightning would skip
    that epoch's validation on the resume. SIGINT and SIGTERM finish the batch (the epoch, if it is
    its last one), write the file and raise Interrupted; a second signal ends the process at once.

    When training has ended the best weights are written last: where their file lies, there is
    nothing left to train.

    Args:
        last: the file of the training's whole state; the one before it is kept beside it.
        best: the file of the best weights.
        weights: holds these.
        divergence: makes sure that nothing but finite weights is written.
        every: `1 min`, `200 batches`: how much training may lie between two checkpoints.
    """

    def __init__(
        self,
        last: Path,
        best: Path,
        weights: BestWeights,
        divergence: Divergence,
        every: str = "1 min",
    ) -> None:
        self._last, self._best = last, best
        self._previous = last.with_name("previous.ckpt")
        self._weights, self._divergence = weights, divergence
        self._seconds, self._batches = _parse_every(every)
        self._written = 0.0
        self._batches_since = 0
        self._restoring = self._ended = self._ended_before = False
        self._signals = Signals("saving first")

    def fit(self, trainer: L.Trainer, module: EmotionClassifier, data: FaceDataModule) -> None:
        """Train, from the newest checkpoint that is whole where there is any.

        Raises:
            FerlabError: there are checkpoints, and none of them can be gone on from; or Lightning
                refuses a callback.
            Interrupted: a signal came.
        """
        newest = self._newest()
        try:
            trainer.fit(module, datamodule=data, ckpt_path=newest, weights_only=True)
        except (FerlabError, OSError):
            raise
        except SIGTERMException:  # it came while Lightning alone was listening
            raise Interrupted("stopped by SIGTERM as it began") from None
        except MisconfigurationException as error:  # as by a callback of a person's own
            raise FerlabError(str(error)) from error
        except Exception as error:  # what is no checkpoint of this training fails anywhere
            of_device = is_out_of_memory(error) or isinstance(error, torch.AcceleratorError)
            if newest is None or not self._restoring or of_device:
                raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
            raise FerlabError(
                f"{os.path.relpath(newest)} is no checkpoint of this training ({reason}); "
                "delete it to go on without it"
            ) from error

    def _newest(self) -> Path | None:
        """Return the newest checkpoint that is whole; None where there is none at all."""
        present = [path for path in (self._last, self._previous) if path.exists()]
        for path in present:
            if is_whole(path):
                return path
            before = ", the one before is taken" if path != present[-1] else ""
            log.warning("%s is damaged%s", os.path.relpath(path), before)
        if present:
            raise FerlabError(
                f"no checkpoint in {os.path.relpath(self._last.parent)} is whole; "
                "delete them to start again"
            )
        return None

    def state_dict(self) -> dict[str, Any]:
        return {"ended": self._ended}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._ended_before = state_dict["ended"]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._restoring = True  # the processes have met, and all other callbacks are set up

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._ended_before:  # early: Lightning forgets that, and would go on
            trainer.should_stop = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._restoring = False  # all that a checkpoint holds has been read
        self._written = time.monotonic()
        self._signals.listen()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        if trainer.num_training_batches == 1 and (signalled := self._signalled(trainer)):
            raise Interrupted(
                f"stopped by {signalled} after epoch {trainer.current_epoch}; epochs of one batch "
                "are not saved, so it begins anew"
            )

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        self._batches_since += 1
        if trainer.is_last_batch:
            return
        due = (
            bool(self._signals.received)
            or self._batches_since >= self._batches
            or time.monotonic() - self._written >= self._seconds
        )
        # Of several processes all write or none: writing waits for all of them.
        if trainer.strategy.reduce_boolean_decision(due, all=False):
            self._write(trainer)
            if signalled := self._signalled(trainer):
                raise Interrupted(
                    f"stopped by {signalled} after batch {batch_idx + 1} of "
                    f"{trainer.num_training_batches} in epoch {trainer.current_epoch + 1}, "
                    "nothing is lost"
                )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._ended = True
        if not trainer.enable_validation:
            assert isinstance(pl_module, EmotionClassifier)
            self._divergence.check(trainer)  # of what averages and measures has made of them
            self._weights.take(pl_module)
        self._write(trainer)
        self._write_best(trainer)  # last: where it lies, the training has ended
        self._signals.restore()
        if signalled := self._signalled(trainer):
            raise Interrupted(f"stopped by {signalled} at the end of the training")

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self._ended:  # with the last checkpoint of a training nothing else is called
            self._write_best(trainer)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._signals.restore()

    def _write(self, trainer: L.Trainer) -> None:
        self._divergence.check(trainer)
        module = trainer.lightning_module
        assert isinstance(module, EmotionClassifier)
        with module.train_metrics.sync_context():  # of all processes
            if trainer.is_global_zero:
                with replacing(self._last) as partial:
                    trainer.save_checkpoint(partial)
                    if self._last.exists():
                        os.replace(self._last, self._previous)
            else:
                trainer.save_checkpoint(self._last)  # takes part, and writes nothing
        self._written, self._batches_since = time.monotonic(), 0

    def _write_best(self, trainer: L.Trainer) -> None:
        if trainer.is_global_zero:
            self._previous.unlink(missing_ok=True)
            self._weights.write(self._best)

    def _signalled(self, trainer: L.Trainer) -> str:
        """Return the name of the signal that has reached any of the processes; else empty."""
        received = self._signals.received
        if not trainer.strategy.reduce_boolean_decision(bool(received), all=False):
            return ""
        return received or "SIGTERM"


def _parse_every(text: object) -> tuple[float, float]:
    """Return the seconds and the batches of `1 min` or `200 batches`; the other is infinite."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(min|minutes?|batch|batches)", str(text))
    amount = float(found[1]) if found else 0.0
    if found and amount > 0 and (found[2].startswith("min") or amount.is_integer()):
        return (60 * amount, math.inf) if found[2].startswith("min") else (math.inf, amount)
    raise FerlabError(
        f"checkpoint.every must be a time or a number of batches, such as '1 min' or "
        f"'200 batches'; got {text!r}"
    )
