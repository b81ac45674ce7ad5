"""Times `experiment=speedrun`: `python scripts/speedrun.py [seeds=10] [key=value ...]`.

How many seconds of training reach the report's 0.6293 on all test images, and how often. A second
of training is one of an epoch, with its validation and its end; what comes before the first epoch
(imports, reading the images, compiling) and the judging at the end are told beside it. Prints a
table; writes it with the machine and the versions to `outputs/speedrun/<time>.json`.
"""

import csv
import json
import statistics
import sys
import time
from pathlib import Path

STARTED = time.perf_counter()

from lightning.pytorch.callbacks import Callback  # noqa: E402

from ferlab.cli import main as ferlab  # noqa: E402
from ferlab.files import write_json  # noqa: E402

TARGET = 0.6293
"""The report's accuracy of Model F on the 7,178 test images."""

began = [0.0]  # when the first epoch did


class FirstEpoch(Callback):
    """Notes when training begins."""

    def on_train_epoch_start(self, trainer: object, pl_module: object) -> None:
        began[0] = began[0] or time.perf_counter()


def main(arguments: list[str]) -> int:
    """Train with each seed; return the exit status."""
    text = next((text[6:] for text in arguments if text.startswith("seeds=")), "10")
    if not text.isdecimal() or int(text) < 1:
        print(f"speedrun: seeds must be an integer >= 1; got {text!r}", file=sys.stderr)
        return 1
    n_seeds = int(text)
    overrides = [text for text in arguments if not text.startswith("seeds=")]
    folder = Path("outputs/speedrun", time.strftime("%Y-%m-%d_%H-%M-%S"))
    rows = []
    for seed in range(n_seeds):
        started, began[0] = (time.perf_counter() if seed else STARTED), 0.0
        run = folder / str(seed)
        status = ferlab(
            [
                "train",
                "experiment=speedrun",
                *overrides,
                "+callbacks.first_epoch._target_=speedrun.FirstEpoch",
                f"seed={seed}",
                f"hydra.run.dir={run}",
            ]
        )
        if status:
            return status
        with (run / "history.csv").open(newline="") as history:
            training = sum(float(row["seconds"]) for row in csv.DictReader(history))
        metrics = json.loads((run / "metrics.json").read_text())
        if "test/accuracy" not in metrics:
            print(
                "speedrun: there are no test images; name others with data.root=", file=sys.stderr
            )
            return 1
        rows.append(
            {
                "seed": seed,
                "before": began[0] - started,
                "training": training,
                "judging": time.perf_counter() - began[0] - training,
                **{
                    key: metrics[key] for key in ("val/accuracy", "test/accuracy") if key in metrics
                },
            }
        )
    reached = sum(row["test/accuracy"] >= TARGET for row in rows)
    seconds = statistics.median(row["training"] for row in rows)
    print("\n| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(f"{value:.4g}" for value in row.values()) + " |")
    print(f"\n{seconds:.1f} s of training (median); {reached} of {n_seeds} reach {TARGET}")
    environment = json.loads((folder / "0/environment.json").read_text())
    result = {"seconds": seconds, "reached": reached, "runs": rows, "machine": environment}
    write_json(folder.with_suffix(".json"), result)
    print(folder.with_suffix(".json"))
    return 0


if __name__ == "__main__":
    sys.modules["speedrun"] = sys.modules["__main__"]  # as the callback's name finds it
    sys.exit(main(sys.argv[1:]))
