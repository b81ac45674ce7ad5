"""From the imports to the first batch, each time in a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

STARTED = time.perf_counter()

from lightning.pytorch.callbacks import Callback  # noqa: E402

from benchmarks.measuring import Effort, Figure, Measured, figure, look_into  # noqa: E402

IMPORTED = time.perf_counter()


def measure(overrides: Sequence[str], effort: Effort) -> list[Figure]:
    """Return the seconds of the imports, and from there to the first batch; the cache is warm."""
    command = [sys.executable, "-m", "benchmarks.start", *overrides]
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    rounds = []
    for _ in range(1 + effort.rounds):  # the first fills the cache
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
    imports, batches = zip(*rounds[1:], strict=True)
    return [
        figure("imports", "s", imports),
        figure("imports done to first batch", "s", batches),
    ]


class FirstBatch(Callback):
    """Stops the clock at the first batch."""

    def on_train_batch_start(self, *_: object) -> None:
        raise Measured(time.perf_counter())


if __name__ == "__main__":
    began = look_into("benchmarks.start.FirstBatch", sys.argv[1:])
    print(json.dumps([IMPORTED - STARTED, began - IMPORTED]))
