"""What a person can get wrong, said in one line that names the value and what is allowed."""

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Real


class FerlabError(Exception):
    """A person's mistake, in one line: `what is wrong; what to do`. The command line prints it."""


class Interrupted(BaseException):
    """A signal ended the training after a checkpoint was written; nothing is lost.

    Not an Exception: a sweep that meets it stops instead of going on with its next job.

    Args:
        message: one line.
        again: the overrides that go on, where those of the command line do not.
    """

    def __init__(self, message: str, again: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.again = again


def check_number(
    name: str,
    value: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> float:
    """Return `value` as a float, or raise FerlabError unless it is finite and within the bounds."""
    bounds = [
        text
        for bound, text in (
            (above, f"> {above}"),
            (at_least, f">= {at_least}"),
            (below, f"< {below}"),
            (at_most, f"<= {at_most}"),
        )
        if bound is not None
    ]
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else None
    if (
        number is None
        or not math.isfinite(number)
        or (above is not None and number <= above)
        or (at_least is not None and number < at_least)
        or (below is not None and number >= below)
        or (at_most is not None and number > at_most)
    ):
        allowed = " ".join(["a number", " and ".join(bounds)]).strip()
        raise FerlabError(f"{name} must be {allowed}; got {value!r}")
    return number


def check_integer(name: str, value: object, *, at_least: int, at_most: int | None = None) -> int:
    """Return `value`, or raise FerlabError unless it is an integer within the bounds."""
    if (
        not isinstance(value, int)
        or isinstance(value, bool)
        or value < at_least
        or (at_most is not None and value > at_most)
    ):
        upper = "" if at_most is None else f" and <= {at_most}"
        raise FerlabError(f"{name} must be an integer >= {at_least}{upper}; got {value!r}")
    return value


def check_boolean(name: str, value: object) -> bool:
    """Return `value`, or raise FerlabError unless it is True or False."""
    if not isinstance(value, bool):
        raise FerlabError(f"{name} must be true or false; got {value!r}")
    return value


def check_choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value`, or raise FerlabError unless it is one of `allowed`."""
    allowed = list(allowed)
    if not isinstance(value, str) or value not in allowed:
        hint = did_you_mean(value, allowed)
        raise FerlabError(f"{name} must be one of {', '.join(allowed)}; got {value!r}{hint}")
    return value


def check_keys(name: str, values: Iterable[object], known: Iterable[str]) -> None:
    """Raise FerlabError unless each of the mapping's keys is one of `known`."""
    known = list(known)
    for key in values:
        if key not in known:
            raise FerlabError(
                f"{name} has no {key!r}{did_you_mean(key, known)}; it has {', '.join(known)}"
            )


def printable(text: str) -> str:
    """Return the text in one line, its line ends and a terminal's commands spelt out."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return `, did you mean '...'?` when a known name is close to `word`, else an empty string."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def counted(count: int, noun: str) -> str:
    """Return the number with its noun: `1 image`, `3,589 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
