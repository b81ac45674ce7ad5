"""The whole stack in turns with what it is held against, step for step, in one process."""

from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from benchmarks.measuring import WARM_UP, Effort, Figure, Measured, figure, look_into, now
from benchmarks.sides import SIDES
from ferlab.learning.classifier import EmotionClassifier

SETUPS = (
    # overrides, and the sides that take turns with the stack
    (["model=F", "data.batch_size=64"], ["bare"]),
    (["model=F", "data.batch_size=128"], ["bare", "usual", "matrix"]),
    (["model=A", "data.batch_size=64"], ["bare"]),  # about 20 ms a step on two cores
)

WORDS = {
    "bare": "whole stack / bare loop",
    "usual": "whole stack / ImageFolder, DataLoader, fp32",
    "matrix": "share of the machine's matrix rate",
}


def measure(overrides: Sequence[str], effort: Effort) -> list[Figure]:
    """Return the stack's speed over that of each side, and images per second of both.

    Overrides that say otherwise than SETUPS count.
    """
    figures = []
    for setup, sides in SETUPS:
        name, n_images, rows = look_into(
            "benchmarks.stack.Turns",
            [*setup, *overrides],
            sides=f"[{','.join(sides)}]",
            rounds=effort.rounds,
            seconds=effort.seconds,
        )
        stack = [row[0] for row in rows]
        speeds = [n_images / seconds for seconds in stack]
        figures.append(figure(f"{name}: whole stack", "images/s", speeds))
        for side, *others in zip(sides, *(row[1:] for row in rows), strict=True):
            ratios = [other / own for other, own in zip(others, stack, strict=True)]
            figures.append(figure(f"{name}: {WORDS[side]}", "", ratios))
            if side != "matrix":
                speeds = [n_images / seconds for seconds in others]
                figures.append(figure(f"{name}: {side}", "images/s", speeds))
    return figures


class Turns(Callback):
    """Stops the clock of the stack after some steps and lets each side do as many.

    Args:
        sides: names of SIDES.
        rounds: that count.
        seconds: of the stack's steps in one round, about.
    """

    def __init__(self, sides: list[str], rounds: int, seconds: float) -> None:
        self._names = sides
        self._sides: list[Any] = []
        self._rounds = rounds
        self._seconds = seconds
        self._rows: list[list[float]] = []  # per round: the stack's seconds, each side's
        self._n_steps = 1  # of a round, until it is known how long one takes
        self._is_known = False
        self._done = 0
        self._since = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: EmotionClassifier) -> None:
        self._begin(pl_module)  # a round that the end of an epoch interrupts begins again

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: EmotionClassifier, *_: object
    ) -> None:
        self._done += 1
        if self._done < self._n_steps:
            return
        stack = now(pl_module.device) - self._since
        if not self._sides:
            self._sides = [SIDES[name](trainer, pl_module) for name in self._names]
        elif not self._is_known:
            fitting = int(self._seconds / stack)
            self._n_steps = max(1, min(fitting, trainer.num_training_batches))
            self._is_known = True
        else:
            self._rows.append([stack, *(side(self._n_steps) for side in self._sides)])
        if len(self._rows) == WARM_UP + self._rounds:
            batch_size = trainer.train_dataloader.batch_size
            name = f"{pl_module.network.spec.name}, batch {batch_size}"
            raise Measured((name, self._n_steps * batch_size, self._rows[WARM_UP:]))
        self._begin(pl_module)

    def _begin(self, module: EmotionClassifier) -> None:
        self._done, self._since = 0, now(module.device)
