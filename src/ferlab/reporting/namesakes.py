"""What tells apart lines of the comparison that would read the same."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ferlab.reporting.entries import TRAINED, Entry

_MOST_DETAILS = 4


def with_details(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries, those of trained networks with what tells them from their namesakes.

    What most of these share is not told, and what few share comes first: of an ablation, what was
    left out.
    """
    namesakes = defaultdict(list)
    for entry in entries:
        if entry.kind in TRAINED:
            namesakes[entry.data, entry.model, entry.optimizer, entry.augmentation].append(entry)
    details = {}
    for group in namesakes.values():
        telling = [key for key in sorted({*_all_keys(group)}) if _tells(key, group)]
        shared = {key: Counter(str(entry.settings.get(key)) for entry in group) for key in telling}
        for entry in group:
            count = {key: shared[key][str(entry.settings.get(key))] for key in telling}
            rarest = [key for key in telling if 2 * count[key] <= len(group)]
            rarest.sort(key=lambda key: count[key])
            told = list(dict.fromkeys(_told(entry, rarest, telling, group)))
            more = [f"{len(told) - _MOST_DETAILS} more"] if len(told) > _MOST_DETAILS else []
            details[entry.folder] = ", ".join(told[:_MOST_DETAILS] + more)
    return [replace(entry, details=details.get(entry.folder, entry.details)) for entry in entries]


def with_marks(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries, those whose test images have others' name and number with a mark."""
    digests: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        digests[entry.test_set] |= {entry.digest} - {""}
    return [
        replace(entry, mark=entry.digest[:6]) if len(digests[entry.test_set]) > 1 else entry
        for entry in entries
    ]


def _all_keys(group: Iterable[Entry]) -> Iterator[str]:
    for entry in group:
        yield from entry.settings


def _tells(key: str, group: Sequence[Entry]) -> bool:
    """Return whether a setting differs within the group.

    What an early version did not record yet is not taken for a difference.
    """
    section = key.partition(".")[0]
    values = {
        str(entry.settings.get(key))
        for entry in group
        if any(other.partition(".")[0] == section for other in entry.settings)
    }
    return len(values) > 1


def _told(
    entry: Entry, keys: Sequence[str], telling: Sequence[str], group: Sequence[Entry]
) -> Iterator[str]:
    """Yield the settings of these keys, out of those that tell the group apart.

    Of an object whose class differs, the class, and what tells it from others of that class.
    """
    classes = {
        key.removesuffix("._target_"): entry.settings.get(key)
        for key in telling
        if key.endswith("._target_")
    }
    for key in keys:
        section = next((name for name in classes if f"{key}.".startswith(f"{name}.")), None)
        alike = group
        if section is not None:
            target = f"{section}._target_"
            if target in keys:
                yield f"{section}={str(classes[section] or 'none').rpartition('.')[-1]}"
            alike = [one for one in group if one.settings.get(target) == entry.settings.get(target)]
        if key in entry.settings and _tells(key, alike):
            yield f"{key}={entry.settings[key]}"
