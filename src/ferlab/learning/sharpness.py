"""Sharpness-aware minimisation: SGD by the gradient of the worst weights nearby."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ferlab.checks import check_number


class SAM(torch.optim.SGD):
    """SGD whose gradient is that of the weights at the top of the slope (Foret et al. 2021).

    Each step computes two gradients of its batch: g at the weights w, and one at
    w + radius · g / ‖g‖, ‖g‖ over all weights together. SGD takes its step from w by the second,
    towards weights all of whose neighbours have a low loss. A step takes twice as long. Dropout has
    the same masks in both, batch normalisation's running statistics see both.

    Args:
        params: the weights.
        lr: learning rate, > 0.
        radius: of the neighbourhood, the paper's ρ, > 0.
        **sgd: what torch.optim.SGD takes.

    Raises:
        FerlabError: the radius is no positive number.
        ValueError: another value is out of range.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, radius: float, **sgd: Any
    ) -> None:
        self._radius = check_number("optimizer.radius", radius, above=0)
        super().__init__(params, lr=lr, **sgd)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        """Take a step; `closure` computes the loss and its gradients, and is called twice.

        Returns:
            The loss at the weights from which the step was taken.
        """
        loss = torch.enable_grad()(closure)()
        weights = [
            parameter
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        gradients: list[Tensor] = [weight.grad for weight in weights]
        before = [weight.clone() for weight in weights]
        norm = nn.utils.get_total_norm(gradients).clamp_min(1e-12)  # at rest there is no slope
        torch._foreach_add_(weights, torch._foreach_mul(gradients, self._radius / norm))
        torch.enable_grad()(closure)()
        torch._foreach_copy_(weights, before)
        super().step()
        return loss
