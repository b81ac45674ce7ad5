"""Class-targeted augmentation: which rows an epoch trains on, and which of them are transformed."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ferlab.augment.transforms import RandomTransforms
from ferlab.checks import (
    FerlabError,
    check_boolean,
    check_choice,
    check_integer,
    check_keys,
    check_number,
)
from ferlab.emotions import EMOTIONS
from ferlab.randomness import mix_seed


@dataclass(frozen=True)
class EpochPlan:
    """The rows of one epoch: every original once, then the extra draws.

    Attributes:
        source: int64 (R,), position of each row's image among the training images.
        transformed: bool (R,), whether the row passes through the transforms.
        draws: float32 (R, N_DRAWS), the uniform random numbers of its transforms.
    """

    source: Tensor
    transformed: Tensor
    draws: Tensor


class TargetedAugmentation:
    """A plan over the training images: extra draws of chosen classes, and what is transformed.

    Args:
        transforms: what a transformed row passes through; None transforms nothing.
        extra: images to add per class, over and above the originals. They always pass through
            the transforms. Each original of the class is drawn equally often, give or take one.
        apply_to: `extra` transforms the added rows alone, `all` the originals too.
        frozen: True repeats the same draws and parameters in each epoch, as if the added images
            had been made once and stored (the report's way); False draws anew.
        mixup: alpha of the Beta distribution that blends each image with another of its batch,
            see `plan_mixup`, in [0, 100]; 0 blends none.
        refine: share of the epochs, in [0, 1], rounded to whole ones, the last ones, in which
            there is no mixup and no transform but the flip; see `refined`.

    Raises:
        FerlabError: an unknown class, a negative count, extra images without transforms.
    """

    def __init__(
        self,
        transforms: RandomTransforms | None = None,
        extra: Mapping[str, int] | None = None,
        apply_to: str = "extra",
        frozen: bool = False,
        mixup: float = 0.0,
        refine: float = 0.0,
    ) -> None:
        self.transforms = transforms
        if not isinstance(extra, Mapping | None):
            raise FerlabError(f"augment.extra must map classes to numbers; got {extra!r}")
        self.extra = dict(extra or {})
        self.apply_to = check_choice("augment.apply_to", apply_to, ("extra", "all"))
        self.frozen = check_boolean("augment.frozen", frozen)
        self.mixup = check_number("augment.mixup", mixup, at_least=0, at_most=100)
        self.refine = check_number("augment.refine", refine, at_least=0, at_most=1)
        check_keys("augment.extra", self.extra, EMOTIONS)
        for emotion, count in self.extra.items():
            check_integer(f"augment.extra.{emotion}", count, at_least=0, at_most=10**6)
        if transforms is None and (any(self.extra.values()) or apply_to == "all"):
            raise FerlabError(
                "augment.extra and augment.apply_to=all need augment.transforms; "
                "name some or use augment=none"
            )

    @property
    def n_extra(self) -> int:
        """Rows added to each epoch."""
        return sum(self.extra.values())

    def of_epoch(self, epoch: int, n_epochs: int) -> "TargetedAugmentation":
        """Return the plan of an epoch, from 0, of `n_epochs`; -1 is no end to refine for."""
        ends = 0 < n_epochs - epoch <= round(self.refine * n_epochs)
        return self.refined() if ends else self

    def refined(self) -> "TargetedAugmentation":
        """Return the same plan with flips alone, as likely as before, and no mixup.

        He et al. 2019, "Data Augmentation Revisited": a training that ends without strong
        transforms ends on images like those that the network will meet. Where it sees crops, these
        remain random.
        """
        flips = self.transforms and RandomTransforms(flip=self.transforms.flip)
        return TargetedAugmentation(flips, self.extra, self.apply_to, self.frozen)

    def plan(self, labels: Tensor, seed: int, epoch: int) -> EpochPlan:
        """Return the rows of one epoch: a function of (labels, seed, epoch) and nothing else.

        Args:
            labels: int64 (N,), the training images' classes, on the CPU.
            seed: the run's seed.
            epoch: from 0; all epochs are alike where the plan is frozen.
        """
        generator = torch.Generator().manual_seed(mix_seed(seed, 0 if self.frozen else epoch + 1))
        added = [
            self._draw(torch.nonzero(labels == EMOTIONS.index(emotion))[:, 0], count, generator)
            for emotion, count in sorted(self.extra.items())
        ]
        source = torch.cat([torch.arange(len(labels)), *added])
        transformed = torch.full((len(source),), self.apply_to == "all")
        transformed[len(labels) :] = True
        draws = torch.rand(len(source), RandomTransforms.N_DRAWS, generator=generator)
        return EpochPlan(source, transformed, draws)

    @staticmethod
    def _draw(members: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` positions out of `members`, each equally often, give or take one."""
        if not count:
            return members[:0]
        if not len(members):
            raise FerlabError("augment.extra names a class that has no training image")
        rounds = range(-(-count // len(members)))
        rows = [members[torch.randperm(len(members), generator=generator)] for _ in rounds]
        return torch.cat(rows)[:count]
