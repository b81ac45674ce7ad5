"""What the whole stack is held against: so many training steps, done in other ways."""

import inspect
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.measuring import now
from benchmarks.usual import PREFETCHED, usual_batches, write_as_usual, write_images
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.compilation import COMPILED
from ferlab.learning.memory import keep_freed_memory
from ferlab.learning.sharpness import SAM
from ferlab.networks.build import build_network
from ferlab.networks.summary import summarise


class Bare:
    """A plain PyTorch loop with the stack's network, loss, optimizer, precision and augmentation.

    Raises:
        SystemExit: the stack does what the loop does not know.
    """

    def __init__(self, trainer: L.Trainer, module: EmotionClassifier) -> None:
        if trainer.precision == "16-mixed":
            raise SystemExit("stack: the bare loop knows no fp16; take another trainer.precision")
        if trainer.datamodule.augmentation.mixup or trainer.datamodule.soft_labels is not None:
            raise SystemExit("stack: the bare loop knows no mixup and no teachers; leave them out")
        if isinstance(module.optimizers().optimizer, SAM):
            raise SystemExit(
                "stack: the bare loop takes one gradient a step; leave out optimizer=sam"
            )
        self._steps = _bare_steps(trainer, module)
        self._device = module.device

    def __call__(self, n_steps: int) -> float:
        """Return the seconds of so many training steps."""
        start = now(self._device)
        for _ in range(n_steps):
            next(self._steps)
        return now(self._device) - start


def _bare_steps(trainer: L.Trainer, module: EmotionClassifier) -> Iterator[None]:
    """Train, one step at a time."""
    device, data = module.device, trainer.datamodule
    rows = torch.from_numpy(data.rows("train"))
    labels = torch.from_numpy(data.store.labels)[rows]
    images = torch.from_numpy(data.store.images)[rows].to(device)
    network = build_network(module.network.spec, module.seed).to(
        device, memory_format=torch.channels_last
    )
    if getattr(module.network, "_compiled_call_impl", None) is not None:
        network.compile(**COMPILED)
    optimizer = _another(module.optimizers().optimizer, network)
    bf16 = trainer.precision == "bf16-mixed"
    network.train()
    for epoch in range(1_000_000):
        plan = data.augmentation.plan(labels, module.seed, epoch)
        batch_size = min(data.batch_size, len(plan.source))
        for order in torch.randperm(len(plan.source)).split(batch_size):
            if len(order) < batch_size:
                break
            marked = plan.transformed[order]
            order = torch.cat([order[marked], order[~marked]])
            n_marked = int(marked.sum())
            x = images[_sent(plan.source[order], device)].float() / 255
            y = _sent(labels[plan.source[order]], device)
            if n_marked:
                draws = _sent(plan.draws[order[:n_marked]], device)
                x[:n_marked] = data.augmentation.transforms(x[:n_marked], draws)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = module.loss(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def _sent(values: Tensor, device: torch.device) -> Tensor:
    """Return the values on the device, without waiting for one that is not the host."""
    pinned = values.pin_memory() if device.type == "cuda" else values
    return pinned.to(device, non_blocking=True)


def _another(optimizer: Optimizer, network: nn.Module, **changed: object) -> Optimizer:
    """Return an optimizer of the same kind and settings for another network."""
    known = inspect.signature(type(optimizer)).parameters
    settings = {name: value for name, value in optimizer.defaults.items() if name in known}
    return type(optimizer)(network.parameters(), **{**settings, **changed})


class Usual:
    """The same network in plain PyTorch and fp32, fed by ImageFolder and a DataLoader."""

    def __init__(self, trainer: L.Trainer, module: EmotionClassifier) -> None:
        self._device = module.device
        self._folder = tempfile.TemporaryDirectory()
        write_images(trainer.datamodule, Path(self._folder.name))
        self._batches = usual_batches(Path(self._folder.name), trainer.datamodule)
        self._network = build_network(module.network.spec, module.seed).to(self._device)
        write_as_usual(self._network)
        self._optimizer = _another(module.optimizers().optimizer, self._network, fused=None)

    def __call__(self, n_steps: int) -> float:
        """Return the seconds of so many training steps.

        What the workers had made ahead while others were measured is used up before. Memory is
        as the C library has it by itself.
        """
        keep_freed_memory(False)
        for _ in range(PREFETCHED):
            self._step()
        start = now(self._device)
        for _ in range(n_steps):
            self._step()
        seconds = now(self._device) - start
        keep_freed_memory()
        time.sleep(1)  # the workers fill their queue, and then leave the cores to the others
        return seconds

    def _step(self) -> None:
        images, labels = next(self._batches)
        loss = F.cross_entropy(self._network(images.to(self._device)), labels.to(self._device))
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()


class Matrix:
    """The arithmetic of the steps at the machine's best rate for products of square matrices.

    A training step is three times the arithmetic of its forward pass: the gradient of each
    product is two more.
    """

    SIDES = (512, 1024, 2048, 4096)
    CUDA_SIDES = (2048, 4096, 8192)
    SECONDS = 0.5  # of products in one turn

    def __init__(self, trainer: L.Trainer, module: EmotionClassifier) -> None:
        self._device = module.device
        self._dtype = torch.bfloat16 if trainer.precision == "bf16-mixed" else torch.float32
        macs = sum(row.macs for row in summarise(module.network.spec))
        self._per_step = 3 * 2 * macs * trainer.train_dataloader.batch_size
        is_cuda = self._device.type == "cuda"
        self._unwatched = 2**40 if is_cuda else 2**33  # multiplications between looks at the clock
        self._side = max(self.CUDA_SIDES if is_cuda else self.SIDES, key=self._rate)

    def __call__(self, n_steps: int) -> float:
        """Return the seconds that the arithmetic of so many training steps would take."""
        return n_steps * self._per_step / self._rate(self._side)

    def _rate(self, side: int) -> float:
        """Return the operations per second of products of matrices of this side."""
        a, b = (torch.rand(side, side, device=self._device).to(self._dtype) for _ in range(2))
        out = a @ b
        n, start = 0, now(self._device)
        while (passed := now(self._device) - start) < self.SECONDS:
            for _ in range(max(1, self._unwatched // side**3)):
                torch.mm(a, b, out=out)
                n += 1
        return n * 2 * side**3 / passed


SIDES = {"bare": Bare, "usual": Usual, "matrix": Matrix}
