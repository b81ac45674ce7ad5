"""Distillation: training labels that are in part what trained networks make of the images.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", at temperature 1; what a network
learns from networks of its own size, Furlanello et al. 2018, "Born-Again Neural Networks"; labels
of networks that have not seen the image (cross-fitting), Dao et al. 2021, "Knowledge Distillation
as Semiparametric Inference". Here the teachers see each whole image once, in their own views,
before the training begins.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ferlab.emotions import EMOTIONS


def soften(labels: Tensor, probabilities: Tensor, share: float) -> Tensor:
    """Return soft labels, the shares of the classes: float32 (N, 7); each row sums to 1.

    Args:
        labels: int64 (N,).
        probabilities: float32 (N, 7), the teachers' mean.
        share: what of each label is theirs, in [0, 1].
    """
    hard = F.one_hot(labels, len(EMOTIONS)).to(probabilities.dtype)
    return hard.lerp(probabilities, share)


def mean_of_unseen(probabilities: Tensor, seen: Tensor) -> Tensor:
    """Return the mean over the teachers that have not seen an image, where there are any: (N, 7).

    A network knows the labels of its own training images, wrong ones too, in part by heart. What
    all teachers have seen gets the mean of all.

    Args:
        probabilities: float32 (T, N, 7), of T teachers.
        seen: bool (T, N), whether the teacher was trained on the image.
    """
    asked = (~seen | seen.all(dim=0)).to(probabilities.dtype)
    return torch.einsum("tn,tnc->nc", asked / asked.sum(dim=0), probabilities)
