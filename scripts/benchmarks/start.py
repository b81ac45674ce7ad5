"""From the imports to the first batch, each time in a process of its own."""

import json
import sys
import time
from collections.abc import Sequence

STARTED = time.perf_counter()

from lightning.pytorch.callbacks import Callback  # noqa: E402

from benchmarks.measuring import (  # noqa: E402
    Effort,
    Figure,
    Measured,
    figure,
    in_own_process,
    look_into,
)

IMPORTED = time.perf_counter()


def measure(overrides: Sequence[str], effort: Effort) -> list[Figure]:
    """Return the seconds of the imports, and from there to the first batch; the cache is warm."""
    rounds = [
        in_own_process("benchmarks.start", *overrides) for _ in range(1 + effort.rounds)
    ]  # the first fills the cache
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
