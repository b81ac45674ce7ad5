"""Long work, run beside a clock."""

import signal
import threading

import pytest

from ferlab.classical.progress import peak_memory, with_clock


def test_the_works_result_is_returned():
    assert with_clock("adding", lambda: 1 + 1) == 2


def test_the_works_error_is_raised():
    with pytest.raises(ZeroDivisionError):
        with_clock("dividing", lambda: 1 / 0)


def test_an_interruption_does_not_wait_for_the_work():
    end = threading.Event()

    def work():
        signal.raise_signal(signal.SIGINT)
        end.wait()

    # A shell without job control starts what is in its background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            with_clock("waiting", work)
    finally:
        signal.signal(signal.SIGINT, before)
        end.set()


def test_the_peak_memory_is_that_of_this_process():
    number, unit = peak_memory().split()
    assert unit == "GB"
    assert 0.01 < float(number) < 1000
