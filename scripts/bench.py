"""Measures what the framework costs: `python scripts/bench.py [key=value ...]`.

Runs `ferlab train` itself, and between its steps a bare PyTorch loop with the same network,
optimizer, precision, batch size and augmentation call, in turns, in one process. Reports

* the whole stack's images per second over the bare loop's, as the median of paired ratios;
* the seconds from the imports to the first batch (run it twice: the first start fills the cache);
* the anonymous memory of the process before the bare loop joins it.

Writes `outputs/bench/<time>.json`. Nothing else should run on the machine.
"""

import contextlib
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import lightning as L
import torch
import torch.nn.functional as F
from omegaconf import DictConfig

from ferlab.files import write_json
from ferlab.learning.classifier import EmotionClassifier
from ferlab.learning.trainer import make_trainer
from ferlab.networks.build import build_network
from ferlab.runs import RunFolder, describe_environment
from ferlab.stages.compose import make_data
from ferlab.stages.entry import run_stage
from ferlab.stages.train import train

IMPORTED = time.perf_counter()
ROUNDS = 11
STEPS = 10  # of each side per round
WARM_UP = 2  # rounds that do not count


class Measured(BaseException):
    """Enough rounds have been run."""


class Alternate(L.Callback):
    """Stops the clock of the stack after every STEPS steps and lets the bare loop run as many."""

    def __init__(self, config: DictConfig) -> None:
        self.first_batch = 0.0
        self.memory = 0
        self.seconds: list[tuple[float, float]] = []  # stack, bare
        self._config = config
        self._since = 0.0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: EmotionClassifier, batch: Any, batch_idx: int
    ) -> None:
        if not self.first_batch:
            self.first_batch = self._since = time.perf_counter()
            self.device = pl_module.device

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: EmotionClassifier,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % STEPS:
            return
        _wait(pl_module.device)
        stack = time.perf_counter() - self._since
        if not self.seconds:
            self.memory = _anonymous_memory()
            self._bare = bare_loop(self._config, trainer, pl_module)
        start = time.perf_counter()
        for _ in range(STEPS):
            next(self._bare)
        _wait(pl_module.device)
        self.seconds.append((stack, time.perf_counter() - start))
        print(f"round {len(self.seconds):2}: stack {stack:.3f} s, bare {self.seconds[-1][1]:.3f} s")
        if len(self.seconds) == ROUNDS + WARM_UP:
            raise Measured
        self._since = time.perf_counter()


def bare_loop(config: DictConfig, trainer: L.Trainer, module: EmotionClassifier) -> Iterator[None]:
    """Train the same network in a plain loop, one step at a time."""
    device = module.device
    data = make_data(config, module.network.input_size)
    rows = torch.from_numpy(data.train_and_val_rows[0])
    labels = torch.from_numpy(data.store.labels)[rows]
    images = torch.from_numpy(data.store.images)[rows].to(device)
    network = build_network(module.network.spec, config.seed).to(
        device, memory_format=torch.channels_last
    )
    optimizer = type(module.optimizers().optimizer)(
        network.parameters(), **module.optimizers().optimizer.defaults
    )
    bf16 = trainer.precision == "bf16-mixed"
    network.train()
    for epoch in range(1_000_000):
        plan = data.augmentation.plan(labels, config.seed, epoch)
        for order in torch.randperm(len(plan.source)).split(config.data.batch_size)[:-1]:
            marked = plan.transformed[order]
            order = torch.cat([order[marked], order[~marked]])
            n_marked = int(marked.sum())
            x = images[plan.source[order].to(device)].float() / 255
            y = labels[plan.source[order]].to(device)
            if n_marked:
                draws = plan.draws[order[:n_marked]].to(device)
                x[:n_marked] = data.augmentation.transforms(x[:n_marked], draws)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def bench(config: DictConfig, folder: RunFolder) -> None:
    """Run the stage until enough rounds are measured; print and write what came out."""
    alternate = Alternate(config)

    def make_trainer_with_alternate(*args: Any, callbacks: list[L.Callback], **kwargs: Any) -> Any:
        return make_trainer(*args, callbacks=[*callbacks, alternate], **kwargs)

    with (
        mock.patch("ferlab.stages.train.make_trainer", make_trainer_with_alternate),
        contextlib.suppress(Measured),
    ):
        train(config, folder)
    counted = alternate.seconds[WARM_UP:]
    ratios = sorted(bare / stack for stack, bare in counted)
    images = STEPS * config.data.batch_size
    result = {
        "ratio": statistics.median(ratios),
        "ratio_spread": [ratios[0], ratios[-1]],
        "stack_images_per_second": images / statistics.median(stack for stack, _ in counted),
        "bare_images_per_second": images / statistics.median(bare for _, bare in counted),
        "seconds_to_first_batch": alternate.first_batch - IMPORTED,
        "anonymous_memory_bytes": alternate.memory,
        "rounds": len(counted),
        "steps": STEPS,
    }
    print()
    for name, value in result.items():
        print(f"{name:<26}{value}")
    environment = {**describe_environment(), "device": str(alternate.device)}
    write_json(Path(f"{folder.path}.json"), {**result, "environment": environment})
    shutil.rmtree(folder.path)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _anonymous_memory() -> int:
    """Return the bytes of memory that are this process's own, not mapped files (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) * 1024


if __name__ == "__main__":
    folder = f"hydra.run.dir=outputs/bench/{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    sys.exit(run_stage("train", bench, [folder, *sys.argv[1:]]))
