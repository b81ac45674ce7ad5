"""SIGINT and SIGTERM, noted until it is safe to stop; a second one ends the process."""

import os
import signal
import threading
from types import FrameType
from typing import Any

from ferlab.checks import Interrupted


class Signals:
    """Notes the first SIGINT or SIGTERM for whoever works, who asks between two batches.

    An exception that a handler raises could be met anywhere, and be lost in a destructor.
    A context, within which it listens.

    Args:
        meanwhile: what a person is told is done first, such as `saving first`.

    Attributes:
        received: the signal's name; empty while there was none.
    """

    def __init__(self, meanwhile: str = "") -> None:
        self.received = ""
        self._meanwhile = f"{meanwhile}; " if meanwhile else ""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Signals":
        self.listen()
        return self

    def __exit__(self, *error: object) -> None:
        self.restore()

    def listen(self) -> None:
        """Put its handlers in place of others, also of those that came after its own."""
        if self.received or threading.current_thread() is not threading.main_thread():
            return  # signals reach the main thread alone
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, self._on_signal)
            self._before.setdefault(number, before)

    def restore(self) -> None:
        """Put back the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def check(self, consolation: str = "") -> None:
        """Raise Interrupted where a signal has come; `consolation` ends what it says."""
        if self.received:
            raise Interrupted(f"stopped by {self.received}{consolation}")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Not through the log, which may be in the middle of a line.
        os.write(2, f"\n{self.received}: {self._meanwhile}once more stops at once\n".encode())
