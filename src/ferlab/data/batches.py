"""Batches straight from memory, gathered on the device that computes; no worker processes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ferlab.augment.crops import crop_at, drawn_corners
from ferlab.augment.mixup import mix, plan_mixup
from ferlab.augment.targeted import TargetedAugmentation
from ferlab.augment.transforms import Parameters
from ferlab.randomness import mix_seed


class Batch(NamedTuple):
    """Images and labels on the compute device.

    Attributes:
        images: float32 (B, 1, 48, 48) in [0, 1]; (B, 1, S, S) where training crops them.
        labels: int64 (B,); float32 (B, 7), the shares of the classes, where labels are soft or
            images are mixed.
    """

    images: Tensor
    labels: Tensor


def place(images: Tensor, device: torch.device, free: int) -> Tensor:
    """Return images on `device` where they take at most half of its free memory, else as they are.

    Args:
        images: uint8 (M, 1, 48, 48) on the CPU; may be memory-mapped.
        device: the one that computes.
        free: its free memory, bytes; the other half is the network's.
    """
    return images.to(device) if images.nbytes <= free // 2 else images


def gather(images: Tensor, rows: Tensor, device: torch.device) -> Tensor:
    """Return the images at `rows` on `device`, gathered where they lie.

    Args:
        images: uint8 (M, 1, 48, 48).
        rows: int64 (B,), on the device of `images`.
        device: the one that computes.
    """
    gathered = images.index_select(0, rows)
    if gathered.device != device and device.type == "cuda":
        gathered = gathered.pin_memory()  # from pageable memory the host would wait for the copy
    return gathered.to(device, non_blocking=True)


def to_float(images: Tensor) -> Tensor:
    """Return uint8 grey levels 0-255 as float32 in [0, 1]."""
    return images.float() / 255


def to_uint8(images: Tensor) -> Tensor:
    """Return float32 in [0, 1] as the nearest grey levels 0-255."""
    return (images * 255).round().byte()


class TrainBatches:
    """The training rows in shuffled batches, epoch after epoch, with augmentation applied.

    What a batch holds is a function of (seed, epoch, batch index). All randomness is drawn on
    the CPU, so it is the same on every device. The position is a state that can be saved and
    loaded, which Lightning does when it writes and reads a checkpoint. Batches have one size:
    the rows that do not fill a batch are left out of an epoch, other ones in each.

    Args:
        images: uint8 (M, 1, 48, 48), the whole store, on `device` or, where it has no room for
            them, on the CPU, where they may be memory-mapped.
        labels: int64 (M,), the whole store's.
        rows: int64 (N,), the store's indices of the training images.
        augmentation: the plan of each epoch.
        batch_size: images per batch; no more than there are rows.
        seed: the run's seed.
        device: where batches are augmented.
        crop: side S, pixels, of a random crop of each transformed image, and of the centre of the
            others; None gives whole images.
        soft_labels: float32 (N, 7), the shares of the classes that the training images are given
            in place of their labels; None leaves them their labels.
        n_epochs: of the training, of which the last may be refined; -1 where there is no end.
        rank: of this process, whose equal part of each batch is yielded.
        world_size: number of processes; divides the batch size.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        rows: NDArray[np.int64],
        augmentation: TargetedAugmentation,
        batch_size: int,
        seed: int,
        device: torch.device,
        crop: int | None = None,
        soft_labels: Tensor | None = None,
        n_epochs: int = -1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._images = images
        self._crop = crop
        self._mine = slice(rank, None, world_size)
        self._rows = torch.from_numpy(rows)
        self._row_labels = labels.cpu()[self._rows]
        self._targets = self._row_labels if soft_labels is None else soft_labels
        self._augmentation = augmentation
        self._n_epochs = n_epochs
        self._seed = seed
        self._device = device
        self.n_rows = len(rows) + augmentation.n_extra
        largest = self.n_rows - self.n_rows % world_size
        self.batch_size = min(batch_size, largest)
        self._epoch = 0
        self._next_batch = 0

    def __len__(self) -> int:
        return self.n_rows // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch
        augmentation = self._augmentation.of_epoch(epoch, self._n_epochs)
        plan = augmentation.plan(self._row_labels, self._seed, epoch)
        generator = torch.Generator().manual_seed(mix_seed(self._seed, epoch, 1))
        order = torch.randperm(self.n_rows, generator=generator)
        order = order[: len(self) * self.batch_size].view(len(self), self.batch_size)

        # The transformed rows of each batch go first: a slice costs no wait for the device,
        # a mask would.
        first = plan.transformed[order].int().argsort(dim=1, descending=True, stable=True)
        order = order.gather(1, first)
        transformed, draws = plan.transformed[order], plan.draws[order]
        n_transformed = transformed.sum(dim=1).tolist()
        source = self._rows[plan.source][order].to(self._images.device, non_blocking=True)
        labels = self._targets[plan.source][order].to(self._device, non_blocking=True)
        transforms = augmentation.transforms
        if transforms is not None:
            of_all = transforms.parameters(draws, *self._images.shape[2:])
            of_all = Parameters(*(one.to(self._device, non_blocking=True) for one in of_all))
        if self._crop is not None:
            room = self._images.shape[-1] - self._crop
            corners = drawn_corners(draws, room)
            corners = torch.where(transformed[..., None], corners, room // 2)
            corners = corners.to(self._device, non_blocking=True)
        if alpha := augmentation.mixup:
            mixup = plan_mixup(alpha, (len(self), self.batch_size), self._seed, epoch)
            partner = mixup.partner.to(self._device, non_blocking=True)
            lam = mixup.lam.to(self._device, non_blocking=True)

        while self._epoch == epoch:
            index = self._next_batch
            self._next_batch += 1
            if self._next_batch == len(self):  # before the last batch: nobody asks for another
                self._epoch, self._next_batch = epoch + 1, 0
            images = to_float(gather(self._images, source[index], self._device))
            if count := n_transformed[index]:
                assert transforms is not None  # the plan marks no row otherwise
                parameters = Parameters(*(one[index, :count] for one in of_all))
                images[:count] = transforms.apply(images[:count], parameters)
            if self._crop is not None:
                images = crop_at(images, self._crop, corners[index])
            batch = Batch(images, labels[index])
            if alpha:
                batch = Batch(*mix(*batch, partner[index], lam[index]))
            yield Batch(batch.images[self._mine], batch.labels[self._mine])

    def state_dict(self) -> dict[str, Any]:
        """Return the position: the epoch and the batch that comes next."""
        return {"epoch": self._epoch, "next_batch": self._next_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved position."""
        self._epoch, self._next_batch = state["epoch"], state["next_batch"]


class EvalBatches:
    """The given rows in their order, once, without augmentation.

    Args:
        images: uint8 (M, 1, 48, 48), the whole store, where it lies in `TrainBatches`.
        labels: int64 (M,), the whole store's.
        rows: int64 (N,), the store's indices to go through.
        batch_size: images per batch; the last batch may be smaller.
        device: where batches are wanted.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        rows: NDArray[np.int64],
        batch_size: int,
        device: torch.device,
    ) -> None:
        self._images = images
        self._device = device
        self._rows = torch.from_numpy(rows).to(images.device)
        self._labels = labels.cpu()[torch.from_numpy(rows)].to(device)
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self._rows), self._batch_size):
            part = slice(start, start + self._batch_size)
            images = gather(self._images, self._rows[part], self._device)
            yield Batch(to_float(images), self._labels[part])
