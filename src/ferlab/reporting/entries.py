"""One line of the comparison: what a run, an evaluation or a fitted classifier came to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev

from ferlab.checks import FerlabError, check_choice, check_keys, counted
from ferlab.reporting.intervals import wilson_interval

SPLITS = ("train", "val", "test", "public", "private", "clean")
"""Of an entry, in the order of its columns; the last three are parts of `test`."""

TRAINED = ("run", "sweep job")
"""Kinds of entries that are trained networks."""

KINDS = (*TRAINED, "evaluation", "classifier")


@dataclass(frozen=True)
class Score:
    """How many images of a split were judged, and how well.

    Attributes:
        accuracy: in [0, 1].
        images: None where that is not known.
        macro_f1: in [0, 1]; None where it was not measured.
        loss: cross-entropy, in nats, >= 0; None where it was not measured.
    """

    accuracy: float
    images: int | None = None
    macro_f1: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class Entry:
    """One line of the comparison.

    Attributes:
        kind: one of KINDS.
        model: the network's name; of a classifier `F + svm`, of an ensemble `F, C`.
        optimizer: `adam`; of an ensemble those of its members.
        augmentation: the name of the shipped group that it equals, else `own`.
        seed: None where several or none are known.
        data: title of the data.
        digest: of the data that it was judged on; empty where that is not known, or where the data
            are drawn by the seed.
        scores: by the name of a split out of SPLITS; a split without images has none.
        folder: where it lies, as a person can type it.
        path: the same, for the program.
        settings: leaves of the configuration by dotted key; of trained networks alone.
        mark: the beginning of the digest, where others of the same title have another.
        details: what tells it from most others of the same model, optimizer and augmentation.
        parameters: in Keras' count, with the statistics of batch normalisation.
        macs: multiply-accumulates forward, for one view of one image.
        epochs: trained.
        best_epoch: whose weights were kept.
        seconds: of all epochs together.
        commit: of ferlab when it was begun.
        computed: kind of device and precision of a training; empty where they are not known.
        teachers: digests of those that labelled the training images; empty where none did.
        judged: folders of the runs that an evaluation or a classifier is about.
        history: a row per epoch.
    """

    kind: str
    model: str
    optimizer: str
    augmentation: str
    seed: int | None
    data: str
    scores: Mapping[str, Score]
    folder: str
    path: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    digest: str = ""
    mark: str = ""
    details: str = ""
    parameters: int | None = None
    macs: int | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    commit: str = ""
    computed: str = ""
    teachers: str = ""
    judged: tuple[Path, ...] = ()
    history: Sequence[Mapping[str, float]] = ()

    @property
    def test_set(self) -> str:
        """Which test images it was judged on, in words: no two of them stand unmarked together."""
        return f"{self.data}, {self.judged_on}"

    @property
    def judged_on(self) -> str:
        """Which part of the test set, how many images, and of which data where that is needed."""
        scores = self.scores
        if "test" not in scores:
            return "no test images"
        all_of, public, private = (
            _images(scores, split) for split in ("test", "public", "private")
        )
        if all_of is None:
            return "test images of unknown number"
        part = {public: "PublicTest", private: "PrivateTest"}.get(all_of, "test")
        if public is not None and private is not None and public + private == all_of:
            part = "PublicTest and PrivateTest"
        return f"{part}, {counted(all_of, 'image')}" + (f", data {self.mark}" if self.mark else "")

    def interval(self, split: str) -> str:
        """Return half the width of an accuracy's 95 % interval in points: `± 1.75`."""
        score = self.scores[split]
        if split == "train" or not score.images:
            return ""
        low, high = wilson_interval(score.accuracy, score.images)
        return f"± {50 * (high - low):.2f}"

    def accuracy(self, split: str) -> str:
        """Return an accuracy in per cent with its interval, `64.07 ± 1.75`; empty without one."""
        if split not in self.scores:
            return ""
        points = f"{100 * self.scores[split].accuracy:.2f}"
        return f"{points} {self.interval(split)}".rstrip()

    def value(self, column: str) -> str | float | None:
        """Return what stands in a column out of COLUMNS: None where it is not known."""
        if column in SPLITS:
            return self.scores[column].accuracy if column in self.scores else None
        if column == "macro_f1":
            return self.scores["test"].macro_f1 if "test" in self.scores else None
        if column == "val_loss":
            return self.scores["val"].loss if "val" in self.scores else None
        found: str | float | None = getattr(self, column)
        return found


def _images(scores: Mapping[str, Score], split: str) -> int | None:
    return scores[split].images if split in scores else None


COLUMNS = (
    "kind",
    "model",
    "optimizer",
    "augmentation",
    "seed",
    "details",
    "parameters",
    "macs",
    "epochs",
    "best_epoch",
    "seconds",
    *SPLITS,
    "macro_f1",
    "val_loss",
    "data",
    "judged_on",
    "commit",
    "folder",
)
"""What entries can be sorted and chosen by."""

HIGHER_IS_BETTER = (*SPLITS, "macro_f1")


def choose(entries: Iterable[Entry], where: object) -> list[Entry]:
    """Return the entries that have one of the wanted values in each of the named columns.

    Args:
        entries: any.
        where: by column one value, or a list of them; None for all entries.

    Raises:
        FerlabError: `where` is no such mapping, or names an unknown column.
    """
    if where is None:
        return list(entries)
    if not isinstance(where, Mapping):
        raise FerlabError(
            f"where must map columns to values such as {{model: [F,C]}}; got {where!r}"
        )
    check_keys("where", where, COLUMNS)
    wanted = {
        column: [str(value) for value in (values if isinstance(values, list) else [values])]
        for column, values in where.items()
    }

    def has(entry: Entry, column: str) -> bool:
        value = str(entry.value(column))
        if column == "commit":  # a table shows its beginning
            return any(value.startswith(one) for one in wanted[column])
        return value in wanted[column]

    return [entry for entry in entries if all(has(entry, column) for column in wanted)]


def ordered(entries: Iterable[Entry], column: str) -> list[Entry]:
    """Return the entries by a column: highest accuracy first, least cost first, names from a to z.

    What has no value there comes last; equals stay in the order of their folders.

    Raises:
        FerlabError: an unknown column.
    """
    check_choice("sort", column, COLUMNS)
    by_folder = sorted(entries, key=lambda entry: entry.folder)
    known = [entry for entry in by_folder if entry.value(column) not in (None, "")]
    unknown = [entry for entry in by_folder if entry.value(column) in (None, "")]
    known.sort(
        key=lambda entry: entry.value(column),  # type: ignore[arg-type, return-value]
        reverse=column in HIGHER_IS_BETTER,
    )
    return known + unknown


def of_each(entries: Iterable[Entry], *columns: str) -> list[Entry]:
    """Return the entries, the first of each combination of values in these columns in front."""
    first: dict[object, Entry] = {}
    others = []
    for entry in entries:
        alike = tuple(entry.value(column) for column in columns)
        if first.setdefault(alike, entry) is not entry:
            others.append(entry)
    return [*first.values(), *others]


@dataclass(frozen=True)
class OverSeeds:
    """Runs that differ in their seed alone.

    Attributes:
        entries: at least two, of different seeds.
    """

    entries: Sequence[Entry]

    def spread(self, column: str) -> tuple[float, float] | None:
        """Return mean and sample standard deviation of a column; None where a run lacks it."""
        values = [entry.value(column) for entry in self.entries]
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        if len(numbers) < len(values):
            return None
        return mean(numbers), stdev(numbers)


def over_seeds(entries: Iterable[Entry]) -> list[OverSeeds]:
    """Return the groups of at least two trained networks that differ in their seed alone.

    Device, precision, number of processes and teachers are the same, too. The highest mean
    validation accuracy comes first, groups without one last, in the order of their first member; of
    runs with the same seed the one whose folder comes first counts, whatever the order.
    """
    groups: dict[object, dict[int | None, Entry]] = {}
    for entry in entries:
        if entry.kind in TRAINED:
            common = (entry.data, entry.judged_on, entry.digest, entry.computed, entry.teachers)
            group = groups.setdefault((*common, *sorted(map(str, entry.settings.items()))), {})
            same_seed = group.setdefault(entry.seed, entry)
            group[entry.seed] = min(same_seed, entry, key=lambda one: one.folder)
    several = [OverSeeds(list(group.values())) for group in groups.values() if len(group) > 1]
    return sorted(several, key=lambda group: -(group.spread("val") or (-1.0,))[0])
