"""Schedules of the learning rate: what each is called, and when it takes a step."""

from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
)

from ferlab.checks import check_integer, check_number


@dataclass(frozen=True)
class Plateau:
    """A smaller learning rate when the monitored metric no longer improves; steps by epoch.

    Attributes:
        factor: the learning rate is multiplied by this, in (0, 1).
        patience: epochs without improvement that are let pass, >= 0.
        min_lr: the learning rate goes no lower, >= 0.
        threshold: relative improvement that counts as one, >= 0.
    """

    factor: float
    patience: int
    min_lr: float = 0.0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        check_number("scheduler.factor", self.factor, above=0, below=1)
        check_integer("scheduler.patience", self.patience, at_least=0)
        check_number("scheduler.min_lr", self.min_lr, at_least=0)
        check_number("scheduler.threshold", self.threshold, at_least=0)

    def build(self, optimizer: Optimizer, total_steps: int, mode: str) -> ReduceLROnPlateau:
        """Return PyTorch's scheduler; `mode` is "max" where more is better, else "min"."""
        assert mode in ("max", "min")
        return ReduceLROnPlateau(
            optimizer,
            mode=mode,  # type: ignore[arg-type]
            factor=self.factor,
            patience=self.patience,
            min_lr=self.min_lr,
            threshold=self.threshold,
        )


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the optimizer's learning rate down, over the whole training, by batch.

    Loshchilov & Hutter 2017, "SGDR", without restarts.

    Attributes:
        min_lr: the learning rate at the end, >= 0.
    """

    min_lr: float = 0.0

    def __post_init__(self) -> None:
        check_number("scheduler.min_lr", self.min_lr, at_least=0)

    def build(self, optimizer: Optimizer, total_steps: int, mode: str) -> LRScheduler:
        """Return PyTorch's scheduler over `total_steps` batches."""
        return CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=self.min_lr)


@dataclass(frozen=True)
class OneCycle:
    """Up to the optimizer's learning rate, then down along half a cosine, by batch.

    Smith & Topin 2018, "Super-Convergence"; the momentum is left as it is.

    Attributes:
        warm_up: share of the training in which the learning rate rises, in (0, 1).
        start: the first learning rate, as a share of the highest, in (0, 1].
        end: the last learning rate, as a share of the highest, in (0, 1].
    """

    warm_up: float
    start: float
    end: float

    def __post_init__(self) -> None:
        check_number("scheduler.warm_up", self.warm_up, above=0, below=1)
        check_number("scheduler.start", self.start, above=0, at_most=1)
        check_number("scheduler.end", self.end, above=0, at_most=1)

    def build(self, optimizer: Optimizer, total_steps: int, mode: str) -> LRScheduler:
        """Return PyTorch's scheduler over `total_steps` batches."""
        # Where the warm-up is one step and no more PyTorch would divide by zero.
        is_one_step = self.warm_up * total_steps == 1
        return OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=total_steps,
            pct_start=self.warm_up * (1 - 1e-9 * is_one_step),
            div_factor=1 / self.start,
            final_div_factor=self.start / self.end,
            cycle_momentum=False,
        )


Schedule = Plateau | Cosine | OneCycle
