"""What every mistake of a person has to end in."""

from collections.abc import Callable

import pytest

from ferlab.checks import FerlabError


def mistake_of(call: Callable[..., object], *arguments: object) -> str:
    """Return the one line that the call fails with."""
    with pytest.raises(FerlabError) as caught:
        call(*arguments)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    return line
