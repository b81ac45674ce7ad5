"""Measures speed: `python scripts/bench.py [--quick] [part ...] [key=value ...]`.

    python scripts/bench.py                          # all parts but scaling
    python scripts/bench.py stack loader             # some
    python scripts/bench.py stack trainer.precision=32-true
    python scripts/bench.py --quick data=drawn       # all, too short to be believed

What is compared takes turns in one process; a ratio is the median of the rounds' ratios, between
the least and the most of them. Prints a table; writes it with the machine and the versions to
`outputs/bench/<time>.json`. Nothing else should run on the machine.
"""

import dataclasses
import platform
import sys
import time
from pathlib import Path

import torch
from joblib import cpu_count

from benchmarks import (
    epoch_end,
    inference,
    loader,
    scaling,
    stack,
    start,
    synchronisations,
)
from benchmarks.measuring import Effort, Figure
from ferlab.environment import describe_environment
from ferlab.files import write_json

PARTS = {
    "stack": stack.measure,
    "loader": loader.measure,
    "epoch_end": epoch_end.measure,
    "start": start.measure,
    "synchronisations": synchronisations.measure,
    "inference": inference.measure,
    "scaling": scaling.measure,
}

QUICK = Effort(rounds=2, seconds=0.05)
FULL = Effort(rounds=9, seconds=3.0)


def main(arguments: list[str]) -> int:
    """Measure the parts that the arguments name; return the exit status."""
    quick = "--quick" in arguments
    overrides = [argument for argument in arguments if "=" in argument]
    parts = [argument for argument in arguments if argument not in ("--quick", *overrides)]
    if unknown := [part for part in parts if part not in PARTS]:
        print(f"bench: there is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}")
        return 1
    figures = []
    for part in parts or [part for part in PARTS if part != "scaling"]:
        figures += PARTS[part](overrides, QUICK if quick else FULL)
    machine = {**describe_environment(), **_machine()}
    print("\n" + _table(figures))
    print("\n" + ", ".join(f"{name} {value}" for name, value in _machine().items()))
    result = {"figures": [dataclasses.asdict(figure) for figure in figures], "machine": machine}
    path = Path("outputs/bench", f"{time.strftime('%Y-%m-%d_%H-%M-%S')}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    print(path)
    return 0


def _machine() -> dict[str, object]:
    cpu = Path("/proc/cpuinfo")
    names = [
        line.split(":")[1].strip()
        for line in (cpu.read_text().splitlines() if cpu.exists() else [])
        if line.startswith("model name")
    ]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def _table(figures: list[Figure]) -> str:
    """Return the figures as a table in Markdown."""
    rows = [
        f"| {figure.name} | {_number(figure.value)} | "
        f"{_number(figure.least)} to {_number(figure.most)} | {figure.unit} |"
        for figure in figures
    ]
    return "\n".join(["| | median | spread | |", "|---|---|---|---|", *rows])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
