"""Times `experiment=speedrun`: `python scripts/speedrun.py [seeds=10] [folder=F] [key=value ...]`.

How many seconds of training reach the report's 0.6293 on all test images, and how often. A second
of training is one of an epoch, with its validation; what lies around the epochs (imports, reading
the images, compiling, judging) is told beside it. Prints a table; writes it with the machine and
the versions to `<folder>.json`. The folder is a new one in `outputs/speedrun` unless it is named:
then what is finished there is kept, and what was cut off goes on.
"""

import statistics
import sys
import time
from pathlib import Path

STARTED = time.perf_counter()

from ferlab.cli import main as ferlab  # noqa: E402
from ferlab.files import read_json, write_json  # noqa: E402
from ferlab.history import read_history, total_seconds  # noqa: E402

TARGET = 0.6293
"""The report's accuracy of Model F on the 7,178 test images."""

Row = dict[str, float | None]


def main(arguments: list[str]) -> int:
    """Train with each seed; return the exit status."""
    named = dict(text.split("=", 1) for text in arguments if text.startswith(("seeds=", "folder=")))
    n_seeds = named.get("seeds", "10")
    if not n_seeds.isdecimal() or int(n_seeds) < 1:
        return _fail(f"seeds must be an integer >= 1; got {n_seeds!r}")
    overrides = [text for text in arguments if not text.startswith(("seeds=", "folder="))]
    folder = Path(named.get("folder") or f"outputs/speedrun/{time.strftime('%Y-%m-%d_%H-%M-%S')}")
    rows: list[Row] = []
    for seed in range(int(n_seeds)):
        run = folder / str(seed)
        before = run.exists()
        started = time.perf_counter() if seed else STARTED
        recipe = ["experiment=speedrun", *overrides, f"seed={seed}", f"hydra.run.dir={run}"]
        if status := ferlab(["train", *recipe]):
            print(f"speedrun: the same command with folder={folder} goes on", file=sys.stderr)
            return status
        row = _row(seed, run)
        if row is None:
            return _fail("there are no test images; name others with data.root=")
        if not before:  # at one go
            row["around"] = time.perf_counter() - started - row["training"]
        rows.append(row)
    _conclude(rows, folder)
    return 0


def _row(seed: int, run: Path) -> Row | None:
    """Return what a finished run came to; None where there were no test images."""
    metrics = read_json(run / "metrics.json")
    if "test/accuracy" not in metrics:
        return None
    training = total_seconds(read_history(run / "history.csv"))
    judged = {key: metrics.get(key) for key in ("val/accuracy", "test/accuracy")}
    return {"seed": seed, "training": training, "around": None, **judged}


def _conclude(rows: list[Row], folder: Path) -> None:
    """Print the table, and write it."""
    reached = sum(row["test/accuracy"] >= TARGET for row in rows)
    seconds = statistics.median(row["training"] for row in rows)
    print("\n| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        cells = ("" if value is None else f"{value:.4g}" for value in row.values())
        print("| " + " | ".join(cells) + " |")
    print(f"\n{seconds:.1f} s of training (median); {reached} of {len(rows)} reach {TARGET}")
    environment = read_json(folder / "0/environment.json")
    result = {"seconds": seconds, "reached": reached, "runs": rows, "machine": environment}
    file = folder.with_name(f"{folder.name}.json")
    write_json(file, result)
    print(file)


def _fail(message: str) -> int:
    print(f"speedrun: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
