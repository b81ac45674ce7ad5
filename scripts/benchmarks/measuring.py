"""What all measurements share: a clock that waits for the device, a training to look into."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ferlab.running.entry import run_stage
from ferlab.stages.train import train


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Attributes:
        rounds: that count, in which the sides take turns.
        seconds: of one side in a round, about.
    """

    rounds: int
    seconds: float


WARM_UP = 2
"""Rounds before those that count."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was measured.
        value: the median of the rounds.
        unit: of the value; empty for a ratio.
        least: the smallest of the rounds.
        most: the largest.
    """

    name: str
    value: float
    unit: str
    least: float
    most: float


def figure(name: str, unit: str, rounds: Sequence[float]) -> Figure:
    """Return the median and the spread of the rounds' values."""
    return Figure(name, statistics.median(rounds), unit, min(rounds), max(rounds))


class Measured(BaseException):
    """Carries what a callback has measured out of a training, and ends it."""


def look_into(callback: str, overrides: Sequence[str], **arguments: object) -> Any:
    """Run `ferlab train` with a callback until it raises Measured; return what that carries.

    Args:
        callback: the callback's class, `module.name`.
        overrides: as on the command line.
        arguments: of the callback, plain values.
    """
    values = "".join(f", {name}: {value}" for name, value in arguments.items())
    with tempfile.TemporaryDirectory() as folder:
        try:
            status = run_stage(
                "train",
                train,
                [
                    "trainer.compile=false",  # auto would, for so many epochs
                    *overrides,
                    f"+callbacks.benchmark={{_target_: {callback}{values}}}",
                    "callbacks.early_stopping=null",
                    "trainer.max_epochs=1000000",
                    "trainer.progress_bar=false",
                    f"hydra.run.dir={folder}/run",
                ],
            )
        except Measured as measured:
            return measured.args[0]
    raise SystemExit(status)


def in_own_process(module: str, *arguments: object) -> Any:
    """Run a module of the benchmarks in a process of its own; return what it prints last, JSON.

    Raises:
        SystemExit: it failed, and has said why.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def now(device: torch.device) -> float:
    """Return the time in seconds when the device has done all it was asked to."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()
    return time.perf_counter()


def own_memory() -> int:
    """Return the bytes of memory that are this process's own, not mapped files; 0 but on Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) * 1024
