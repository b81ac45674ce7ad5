"""What can be shipped: a training that a commit and a command make again."""

import os
import re
import shlex
from collections.abc import Mapping
from typing import Any

from ferlab.checks import FerlabError
from ferlab.environment import committed_digests
from ferlab.keys import settles_result
from ferlab.running.recorded import recorded_value
from ferlab.runs import RunFolder


def check_name(name: str) -> None:
    """Make sure that the name of shipped weights or labels can be typed back.

    Raises:
        FerlabError: it is not of letters, digits, `.`, `_`, `-`.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
        raise FerlabError(f"NAME must be a plain name, such as mine; got {name!r}")


def check_shippable(run: RunFolder) -> None:
    """Make sure that a finished training could be made again.

    Raises:
        FerlabError: it is not finished, or it stands on what no commit holds.
    """
    origin = run.recorded_environment()
    if run.recorded_metrics() is None:
        raise FerlabError(f"{run.path} is not a finished training; name another")
    commits = [one.get("commit") for one in (origin, *origin.get("resumed", ()))]
    if any((commit or "-dirty").endswith("-dirty") for commit in commits):  # none: git was absent
        raise FerlabError(f"{run.path} was trained by code that no commit holds; train it again")
    if len(set(commits)) > 1:
        raise FerlabError(
            f"{run.path} was begun at commit {commits[0]} and gone on with at {commits[-1]}; "
            "train it again at one of them"
        )
    if local := origin.get("local"):
        raise FerlabError(
            f"{run.path} was trained with {', '.join(local)}, which no commit holds; "
            "name their values on the command line and train it again"
        )
    digests = set(str(origin.get("teachers", "")).split(", "))
    for teacher in recorded_value(run.recorded_config(), "distillation", "teachers") or ():
        if not digests & committed_digests(commits[0], os.path.normpath(teacher)):
            raise FerlabError(
                f"{run.path} learned from {teacher}, which commit {commits[0]} does not hold so; "
                "ship that first, commit it, then train again with weights/… as its teacher"
            )


def training_command(origin: Mapping[str, Any]) -> str:
    """Return the command of a run's `environment.json`, without what does not settle its result."""
    overrides = [
        text
        for text in map(str, origin.get("overrides", origin["command"]))  # older runs lack them
        if ("=" in text or text.startswith("~"))
        and settles_result(text.lstrip("+~").partition("=")[0])
        and not text.startswith("hydra.")
    ]
    return shlex.join(["python", "train.py", *overrides])
