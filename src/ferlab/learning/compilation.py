"""Compiling the network where that saves more of a training's time than it takes."""

import copy
import logging
import time
import warnings
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from ferlab.checks import FerlabError
from ferlab.data.batches import Batch, TrainBatches
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.memory import is_out_of_memory

COMPILE_SECONDS = 25.0
"""What compiling costs on a CUDA device: 20 to 23 s on an H200, 2 to 8 s what lies in a cache."""

SAVED_SHARE = 0.2
"""Of a step's time, what it is taken to save there: a guess between 5 and 32 % (docs/speed.md)."""

COMPILED: dict[str, Any] = {"dynamic": False, "options": {"fallback_random": True}}
"""How a network is compiled: for one shape, with the random numbers that it draws otherwise."""

N_TIMED = 10  # steps whose time the decision rests on

log = logging.getLogger(__name__)


class Compilation(Callback):
    """Compiles the network in place before the first step; the weights keep their names.

    Training alone runs compiled: validation and test come in other sizes of batch, each of which
    would be compiled anew. A step on the first batch, which changes nothing, compiles forward and
    backward, so the time is not counted to the first epoch.

    A compiled network rounds otherwise, so a resumed training stays with what was decided at its
    beginning. Dropout's masks are those of the network that is not compiled; on CUDA from the
    PyTorch on that keeps the layout of what is dropped (pytorch#177077).

    Args:
        choice: True compiles. "auto" does on a CUDA device where `pays_off` says so, and goes on
            as before where the network cannot be compiled; never on the CPU, where it was measured
            not to pay and a resumed training is promised to be the undisturbed one to the digit.
    """

    def __init__(self, choice: bool | str) -> None:
        self._choice = choice
        self._compiles: bool | None = None if choice == "auto" else bool(choice)

    def state_dict(self) -> dict[str, Any]:
        return {"compiles": self._compiles}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._compiles = state_dict["compiles"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, EmotionClassifier)
        if self._compiles is None and pl_module.device.type != "cuda":
            self._compiles = False
        if self._compiles is False:
            return
        batches = trainer.train_dataloader
        assert isinstance(batches, TrainBatches)
        batch = next(iter(copy.copy(batches)))  # a copy: the position of the batches stays
        if self._compiles is None:
            assert trainer.max_epochs is not None
            n_steps = trainer.max_epochs * len(batches)
            pays = pays_off(_step_seconds(trainer, pl_module, batch), n_steps)
            self._compiles = trainer.strategy.broadcast(pays)  # all processes do the same
        if not self._compiles:
            return
        torch.compiler.set_stance("default")
        torch.compiler.reset()  # a process compiles few networks of one kind otherwise
        pl_module.network.compile(**COMPILED)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                # What is computed in fp32 is meant to be.
                warnings.filterwarnings("ignore", "TensorFloat32 tensor cores", UserWarning)
                _steps(trainer, pl_module, batch, 1)
        except Exception as error:  # a missing compiler fails anywhere
            if is_out_of_memory(error):
                raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            if self._choice != "auto":
                raise FerlabError(
                    f"the network cannot be compiled here ({reason}); use trainer.compile=false"
                ) from error
            torch.compiler.set_stance("force_eager")
            self._compiles = False
            log.warning("not compiled: %s", reason)
        else:
            log.info("compiled in %.1f s", time.perf_counter() - start)


def pays_off(step_seconds: float, n_steps: int) -> bool:
    """Return whether SAVED_SHARE of all steps is more than COMPILE_SECONDS.

    Args:
        step_seconds: of forward and backward, not compiled.
        n_steps: of the whole training, at most.
    """
    return SAVED_SHARE * step_seconds * n_steps > COMPILE_SECONDS


def _step_seconds(trainer: L.Trainer, module: EmotionClassifier, batch: Batch) -> float:
    """Return the seconds of forward and backward, not compiled."""
    _steps(trainer, module, batch, N_TIMED)  # the first choose their algorithms
    start = time.perf_counter()
    _steps(trainer, module, batch, N_TIMED)
    return (time.perf_counter() - start) / N_TIMED


def _steps(trainer: L.Trainer, module: EmotionClassifier, batch: Batch, n: int) -> None:
    """Compute gradients `n` times and forget them; wait for the device; leave no trace."""
    before = {name: buffer.clone() for name, buffer in module.network.named_buffers()}
    try:
        for _ in range(n):
            with trainer.precision_plugin.train_step_context():
                loss = module.loss(module(batch.images), batch.labels)
            # Not backward(): gradients of the weights would stay, and DDP would exchange them.
            torch.autograd.grad(loss, list(module.network.parameters()))
    finally:
        with torch.no_grad():
            for name, buffer in module.network.named_buffers():
                buffer.copy_(before[name])
    if module.device.type == "cuda":
        torch.cuda.synchronize()
