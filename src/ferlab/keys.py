"""The dotted keys of a configuration, and which of them settle a run's result."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

IGNORED = (
    "data.root",
    "data.cache",
    "data.source.root",
    "data.source.cache",
    "checkpoint",
    "logger",
    "resume",
    "trainer.progress_bar",
    "tune.trials",
)
"""Keys that may differ between a run and its resume: they do not change the result."""


def settles_result(key: str) -> bool:
    """Return whether a run's result depends on the value of this dotted key."""
    return not any(key == name or key.startswith(f"{name}.") for name in IGNORED)


def digest(*configs: Mapping[str, Any]) -> str:
    """Return 8 hexadecimal digits that change with anything that changes the results."""
    leaves = [
        {key: value for key, value in flatten(config).items() if settles_result(key)}
        for config in configs
    ]
    text = json.dumps(leaves, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def flatten(config: Mapping[str, Any]) -> dict[str, object]:
    """Return the configuration's leaves by their dotted keys."""
    return dict(_flat(config)) if config else {}


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the leaves of nested mappings and lists with their dotted keys."""
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _flat(child, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from _flat(child, f"{prefix}.{index}")
    else:
        yield prefix, value
