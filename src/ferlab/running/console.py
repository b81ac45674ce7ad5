"""How messages reach a person: on standard output, one line each, beside a progress bar."""

import contextlib
import logging
import sys
import textwrap
import threading
import warnings

from tqdm import tqdm

from ferlab.learning.processes import is_first


def show_log_on_console(prefix: str = "") -> None:
    """Show ferlab's messages in this process, where it is the first, and quieten the libraries'.

    Args:
        prefix: begins each line.
    """
    console = _Console(prefix)
    console.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("ferlab")
    logger.handlers = [console if is_first() else logging.NullHandler()]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # Lightning announces devices that are not used and restored checkpoints; ours say the rest.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    threading.excepthook = _failed_in_thread
    warnings.filterwarnings("ignore", module="lightning", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*even kernel lengths.*")  # fernet's are 4×4
    warnings.filterwarnings("ignore", message="Experiment logs directory")  # of logger=csv


class _Console(logging.Handler):
    """Writes messages to standard output, above a progress bar where one is shown.

    Args:
        prefix: begins each line.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def emit(self, record: logging.LogRecord) -> None:
        # A reader that has gone away, or cannot show a character, must not end a training.
        with contextlib.suppress(OSError, ValueError):
            tqdm.write(textwrap.indent(self.format(record), self._prefix), file=sys.stdout)
            sys.stdout.flush()


def _failed_in_thread(failure: threading.ExceptHookArgs) -> None:
    """Show the traceback, but of a full disk: TensorBoard's writer says that to its caller too."""
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)
