"""What long work shows of itself: the time that it has run, the memory that it took."""

import resource
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from tqdm import tqdm

Result = TypeVar("Result")


def with_clock(name: str, work: Callable[[], Result], progress_bar: bool = True) -> Result:
    """Return what `work` returns, and show meanwhile for how long it has run.

    Ctrl-C is met at once, although scikit-learn's loops in C do not listen: the work has a thread
    of its own, which ends with the process.

    Args:
        name: stands before the time.
        work: needs no argument; its errors are raised here.
        progress_bar: whether to show the time, where standard error is a terminal.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=run, name=name, daemon=True)
    worker.start()
    with tqdm(
        desc=name,
        bar_format="{desc}: {elapsed}",
        leave=False,
        disable=None if progress_bar else True,
    ) as clock:
        while worker.is_alive():
            worker.join(timeout=0.5)  # seconds
            clock.refresh()
    if errors:
        raise errors[0]
    return results[0]


def peak_memory() -> str:
    """Return the most memory that this process has held so far, such as `1.25 GB`."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9:.2f} GB"
