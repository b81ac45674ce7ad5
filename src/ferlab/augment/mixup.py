"""Mixup: each image of a batch blended with another one, and so their labels.

Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"; here every image draws its own
lambda.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ferlab.emotions import EMOTIONS
from ferlab.randomness import mix_seed


@dataclass(frozen=True)
class MixupPlan:
    """How the batches of one epoch are mixed.

    Attributes:
        partner: int64 (batches, B), the place in its batch of the image that each is mixed with.
        lam: float32 (batches, B), in [0, 1], the paper's lambda: what each keeps of itself.
    """

    partner: Tensor
    lam: Tensor


def plan_mixup(alpha: float, shape: tuple[int, int], seed: int, epoch: int) -> MixupPlan:
    """Return the plan of one epoch, a function of the arguments and nothing else.

    Args:
        alpha: > 0; lambdas are drawn from Beta(alpha, alpha): near 0 or 1 for small values.
        shape: number of batches, images per batch.
        seed: the run's.
        epoch: from 0.
    """
    random = np.random.default_rng(mix_seed(seed, epoch, 3))
    lam = random.beta(alpha, alpha, shape).astype(np.float32)
    partner = random.permuted(np.tile(np.arange(shape[1]), (shape[0], 1)), axis=1)
    return MixupPlan(torch.from_numpy(partner), torch.from_numpy(lam))


def mix(images: Tensor, labels: Tensor, partner: Tensor, lam: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mixed images float32 (B, 1, H, W) and the classes' shares float32 (B, 7).

    Args:
        images: float32 (B, 1, H, W).
        labels: int64 (B,), or shares of the classes float32 (B, 7).
        partner: int64 (B,), of a MixupPlan.
        lam: float32 (B,), of a MixupPlan.
    """
    targets = F.one_hot(labels, len(EMOTIONS)).to(images.dtype) if labels.ndim == 1 else labels
    mixed = torch.lerp(images[partner], images, lam[:, None, None, None])
    return mixed, torch.lerp(targets[partner], targets, lam[:, None])
