"""Files that appear whole or not at all, and are read without trust."""

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ferlab.checks import FerlabError

DAMAGED = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What numpy and zipfile raise of an `.npy` or `.npz` that is damaged or of another kind."""

_LARGEST = 1 << 20  # bytes; what ferlab writes has a few thousand
_DEEPEST = 100  # levels; what ferlab writes has six
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # not every PyYAML has libyaml


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes `path`'s place when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield unfinished
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())  # or a power cut could leave the name without its content
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Remove what processes that were killed while `replacing` have left in a folder."""
    for unfinished in folder.rglob(".*.partial"):
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write plain Python values as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the mapping that a JSON file holds.

    Raises:
        FerlabError: it holds anything else; names the file.
        OSError: it cannot be read.
    """
    return _read_mapping(path, partial(json.loads, parse_constant=_refuse_constant))


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds: plain values, no object is made of it.

    Raises:
        FerlabError: it holds anything else, or an alias, of which a short file can make more
            than memory holds; names the file.
        OSError: it cannot be read.
    """
    return _read_mapping(path, _parse_yaml)


def _parse_yaml(text: str) -> object:
    """Return the values of a YAML text; ValueError where it holds an alias or is nested deeply.

    libyaml, seven times as fast as PyYAML's own parser, goes down into nested values on the stack
    of the process: so the events, which need none, are looked at first.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it holds an alias")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
    return yaml.load(text, Loader=_SafeLoader)


def _read_mapping(path: Path, parse: Callable[[str], object]) -> dict[str, Any]:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise FerlabError(f"{path} is damaged (it is no file); remove it")
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise ValueError("it is too large")
        values = parse(text)
        repr(values)  # fails of a number with more digits than Python shows
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError) as error:
        # PyYAML lets the last two through, of a tag whose value is none: `!!bool x`
        reason = f"{error}".splitlines()[0][:100] if f"{error}" else type(error).__name__
        raise FerlabError(f"{path} is damaged ({reason}); copy it again, or delete it") from error
    if not isinstance(values, dict):
        raise FerlabError(f"{path} is damaged (it must hold a mapping); copy it again")
    return values


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
