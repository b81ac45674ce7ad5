"""The LightningDataModule: a store, its split, and batches of it on the compute device."""

import sys
from collections.abc import Callable
from functools import cached_property

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ferlab.augment.targeted import TargetedAugmentation
from ferlab.checks import FerlabError, check_choice, check_integer, check_number, counted
from ferlab.data.audit import TEST_SPLITS, Audit
from ferlab.data.batches import EvalBatches, TrainBatches, place
from ferlab.data.splits import assign_folds, stratified_split
from ferlab.data.store import SPLITS, ImageStore
from ferlab.emotions import EMOTIONS

TWINS = ("keep", "drop_from_train")
BLANK = ("keep", "drop")


class FaceDataModule(L.LightningDataModule):
    """Train, validation and test batches of one store.

    The validation images are taken out of the training images before anything is augmented, so
    no copy of a validation image is ever trained on. The test images are never shuffled.

    Args:
        source: returns the store; called once, when the data are first needed.
        augmentation: the plan over the training images; None adds and transforms nothing.
        batch_size: training images per step.
        eval_batch_size: images per step of validation and test; changes speed and memory alone.
        val_fraction: share of each class of the training images that validates, in [0, 1); with 0
            all of them train, and a Trainer needs `limit_val_batches=0`.
        split_seed: of the split into train and validation, apart from `seed`, so that networks of
            several seeds are compared, and averaged, on the same validation images.
        twins: `keep` all training images; `drop_from_train` leaves out those that are identical
            to a test image or to another training image: see `Audit.superfluous`.
        blank: `keep` or `drop` the images on which nothing is to be seen, from every split.
        limit: most images of each of training and test, in proportion to their classes; None
            takes all.
        folds: number of equal parts, >= 2, into which the train images fall, twins into one; None
            for none. The parts depend on `split_seed`.
        fold: the part that does not train, 0 to `folds` - 1: it can be labelled by a network that
            has not seen it (cross-fitting). It does not validate either.
        crop: side of what the network sees, pixels: of each transformed training image a random
            crop, of the others the centre; None gives whole images.
        seed: of the order of batches and the augmentation.

    Attributes:
        soft_labels: float32 (N, 7), the shares of the classes that the train images, in their
            order, are given in place of their labels; None, as it begins, leaves them their labels.
    """

    def __init__(
        self,
        source: Callable[[], ImageStore],
        augmentation: TargetedAugmentation | None = None,
        batch_size: int = 64,
        eval_batch_size: int = 256,
        val_fraction: float = 0.1,
        split_seed: int = 0,
        twins: str = "keep",
        blank: str = "keep",
        limit: int | None = None,
        folds: int | None = None,
        fold: int = 0,
        crop: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.augmentation = augmentation or TargetedAugmentation()
        self.batch_size = check_integer("data.batch_size", batch_size, at_least=2)
        self.eval_batch_size = check_integer("data.eval_batch_size", eval_batch_size, at_least=1)
        self.val_fraction = check_number("data.val_fraction", val_fraction, at_least=0, below=1)
        self.split_seed = check_integer("data.split_seed", split_seed, at_least=0)
        self.twins = check_choice("data.twins", twins, TWINS)
        self.blank = check_choice("data.blank", blank, BLANK)
        self.limit = limit if limit is None else check_integer("data.limit", limit, at_least=7)
        self.folds = folds if folds is None else check_integer("data.folds", folds, at_least=2)
        last = None if self.folds is None else self.folds - 1
        self.fold = check_integer("data.fold", fold, at_least=0, at_most=last)
        if self.fold and self.folds is None:
            raise FerlabError(f"data.fold={fold} is one of data.folds, which is null; set that too")
        self.crop = crop
        self.seed = check_integer("seed", seed, at_least=0, at_most=2**32 - 1)
        self.soft_labels: Tensor | None = None
        self._source = source
        self._placed: tuple[torch.device, Tensor] | None = None  # the images, and for which device

    @cached_property
    def store(self) -> ImageStore:
        """The whole data set."""
        return self._source()

    @cached_property
    def audit(self) -> Audit:
        """What is wrong with the store; nothing is computed before it is asked for."""
        return Audit(self.store)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the store's indices of `train`, `left out`, `val` or `test`, ascending.

        `left out` is the fold that neither trains nor validates.

        Raises:
            FerlabError: a class has too few images.
        """
        # A store may have test images alone.
        return self._test_rows if split == "test" else self._training_rows[split]

    def epoch_class_counts(self) -> NDArray[np.int64]:
        """Return the rows per class of one epoch of training, the added ones among them: (7,)."""
        counts = self.store.class_counts(self.rows("train"))
        for emotion, added in self.augmentation.extra.items():
            counts[EMOTIONS.index(emotion)] += added
        return counts

    def rows_by_split(self) -> dict[str, NDArray[np.int64]]:
        """Return the store's indices of every split that is used and has images, by its name."""
        tests = {
            split if split == "test" else f"test/{split}": np.intersect1d(
                self._test_rows, self.store.rows(split)
            )
            for split in TEST_SPLITS
        }
        names = {"train": "train", "left out": "left out", "val": "validation"}
        splits = {**{name: self.rows(split) for split, name in names.items()}, **tests}
        return {name: rows for name, rows in splits.items() if len(rows)}

    def test_parts(self) -> dict[str, NDArray[np.bool_]]:
        """Return which of the test rows belong to each part that is judged by itself.

        `public` and `private` are the official halves; `clean` leaves out the images that have
        an identical twin in the training split, whether it was trained on or not; a store without
        training images does not tell them.
        """
        splits = self.store.splits[self._test_rows]
        parts = {name: splits == SPLITS.index(name) for name in ("public", "private")}
        if len(self.store.rows("training")):
            parts["clean"] = ~self.audit.leaked[self._test_rows]
        return parts

    @cached_property
    def _test_rows(self) -> NDArray[np.int64]:
        return self._used(self.store.rows(*TEST_SPLITS))

    @cached_property
    def _training_rows(self) -> dict[str, NDArray[np.int64]]:
        """The training images by what they do: `train`, `left out`, `val`."""
        training = self.store.rows("training")
        if self.twins == "drop_from_train":
            training = training[~self.audit.superfluous[training]]
        training = self._used(training)
        train, val = stratified_split(
            self.store.labels[training],
            self.store.hashes[training],
            self.val_fraction,
            self.split_seed,
        )
        train, val = training[train], training[val]
        left_out = np.zeros(len(train), dtype=bool)
        if self.folds is not None:
            labels, hashes = self.store.labels[train], self.store.hashes[train]
            left_out = assign_folds(labels, hashes, self.folds, self.split_seed) == self.fold
        counts = self.store.class_counts(train[~left_out])
        if not counts.all():
            raise FerlabError(
                f"data.fold={self.fold} of data.folds={self.folds} holds all train images of class "
                f"{EMOTIONS[int(np.argmin(counts))]}; take other folds, or a larger data.limit"
            )
        return {"train": train[~left_out], "left out": train[left_out], "val": val}

    def _used(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows without blank images and, evenly spread, no more than the limit."""
        if self.blank == "drop":
            rows = rows[~self.audit.blank[rows]]
        if self.limit is not None and len(rows) > self.limit:
            rows = rows[np.linspace(0, len(rows) - 1, self.limit).round().astype(np.int64)]
        return rows

    def train_dataloader(self) -> TrainBatches:
        """Return the training batches; of several processes, each gets its share of every batch.

        Raises:
            FerlabError: the batches cannot be divided equally.
        """
        self.check_division(self._world_size)
        return TrainBatches(
            self._images(),
            torch.from_numpy(self.store.labels),
            self.rows("train"),
            self.augmentation,
            self.batch_size,
            self.seed,
            self._device,
            self.crop,
            self.soft_labels,
            n_epochs=(self.trainer.max_epochs or -1) if self.trainer else -1,
            rank=self._rank,
            world_size=self._world_size,
        )

    def check_division(self, world_size: int) -> None:
        """Make sure that every process gets an equal part of each training batch.

        And one validation image at least, where there are any.

        Raises:
            FerlabError: the batches cannot be divided so.
        """
        if self.batch_size % world_size or self.batch_size < 2 * world_size:
            raise FerlabError(
                f"data.batch_size={self.batch_size} cannot be divided among {world_size} "
                "processes; make it a multiple, of at least two images each"
            )
        n_val = len(self.rows("val"))
        if 0 < n_val < world_size:
            raise FerlabError(
                f"{counted(n_val, 'validation image')} cannot be divided among {world_size} "
                "processes; start fewer, or take a larger data.val_fraction"
            )

    def val_dataloader(self) -> EvalBatches:
        rows = self.rows("val")
        size = equal_batches(self.eval_batch_size, len(rows), self._world_size)
        return self.batches_of(rows[self._rank :: self._world_size], size)

    def batches_of(self, rows: NDArray[np.int64], size: int | None = None) -> EvalBatches:
        """Return the images of the store at `rows`, in that order, in evaluation batches.

        Args:
            rows: int64 (N,).
            size: images per batch; None takes `eval_batch_size`.
        """
        labels = torch.from_numpy(self.store.labels)
        size = self.eval_batch_size if size is None else size
        return EvalBatches(self._images(), labels, rows, size, self._device)

    def spread_batches(self, n_images: int) -> EvalBatches:
        """Return training images as they are, each batch evenly spread over the store.

        Batches are of the training's size, so they take no more memory than its own; of several
        processes each gets the same ones.

        Args:
            n_images: how many, at most, in whole batches; one batch at least.
        """
        rows = self.rows("train")
        size = min(self.batch_size // self._world_size, len(rows))
        n_batches = max(1, min(n_images, len(rows)) // size)
        spread = np.linspace(0, len(rows) - 1, n_batches * size).round().astype(np.int64)
        # A store may be sorted by class: no batch is of neighbours.
        return self.batches_of(rows[spread.reshape(size, n_batches).T.ravel()], size)

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0

    @property
    def _world_size(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    def _images(self) -> Tensor:
        """Return the store's images, on the compute device where it has room for them."""
        if self._placed is None or self._placed[0] != self._device:
            images = torch.from_numpy(self.store.images)
            self._placed = self._device, place(images, self._device, _free_memory(self._device))
        return self._placed[1]


def equal_batches(size: int, n_rows: int, world_size: int) -> int:
    """Return the next size at which all processes have as many batches, and none waits for another.

    One process has a row more than the other where the rows cannot be divided equally.
    """
    fewest, most = n_rows // world_size, -(-n_rows // world_size)
    while -(-fewest // size) != -(-most // size) and size < most:
        size += 1
    return size


def _free_memory(device: torch.device) -> int:
    """Return the bytes free on a CUDA device; of others, which share the host's, no limit."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else sys.maxsize
