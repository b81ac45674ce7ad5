"""Whether two classifiers differ on the same images: McNemar's test (1947, Psychometrika 12)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ferlab.checks import FerlabError, counted
from ferlab.reporting.intervals import paired_interval
from ferlab.reporting.predictions import Columns, Judged

_LEVEL = 0.05  # of significance


@dataclass(frozen=True)
class Paired:
    """Two classifiers on the same images.

    Attributes:
        images: how many.
        first_alone: images that the first gets right and the second wrong.
        second_alone: the reverse.
    """

    images: int
    first_alone: int
    second_alone: int

    @property
    def discordant(self) -> int:
        """Images that one of the two alone gets right; the others tell nothing."""
        return self.first_alone + self.second_alone

    @property
    def p_value(self) -> float:
        """How likely chance alone splits the discordant images at least this unevenly.

        Exact: two-sided binomial test of one half, whatever their number.
        """
        from scipy.stats import binomtest  # half a second, for those who ask alone

        if not self.discordant:
            return 1.0
        return float(binomtest(self.first_alone, self.discordant).pvalue)

    @property
    def difference(self) -> float:
        """Accuracy of the first less that of the second."""
        return (self.first_alone - self.second_alone) / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference."""
        return paired_interval(self.images, self.first_alone, self.second_alone)

    @property
    def p_text(self) -> str:
        """The p-value as it is written."""
        return "< 0.0001" if self.p_value < 1e-4 else f"{self.p_value:.4f}"

    def sentence(self, split: str) -> str:
        """Return what the test says, in one sentence."""
        low, high = (f"{100 * end:+.2f}" for end in self.interval)
        p = f"p {self.p_text}" if self.p_text.startswith("<") else f"p = {self.p_text}"
        found = (
            f"of {counted(self.discordant, 'image')} that one alone gets right the first has "
            f"{self.first_alone:,}, which is {100 * self.difference:+.2f} points of accuracy "
            f"(95 % interval {low} to {high}, {p})"
        )
        if self.p_value >= _LEVEL:
            return f"{split}: {found}; that is no more than chance gives."
        better = "first" if self.difference > 0 else "second"
        return f"{split}: {found}; the {better} is better by more than chance gives."


@dataclass(frozen=True)
class PairTest:
    """Two runs, tested on every split whose images both have judged.

    Attributes:
        first: its folder, as a person can type it.
        second: likewise.
        splits: by the name of the split or `test/part`.
    """

    first: str
    second: str
    splits: Mapping[str, Paired]

    def in_words(self) -> str:
        """Return a line on the two, and a sentence per split."""
        lines = [f"first: {self.first}, second: {self.second}"]
        return "\n".join(lines + [result.sentence(name) for name, result in self.splits.items()])

    def metrics(self) -> dict[str, float]:
        """Return the numbers by `pair/split/name`."""
        return {
            f"pair/{split}/{name}": value
            for split, result in self.splits.items()
            for name, value in (
                ("images", result.images),
                ("discordant", result.discordant),
                ("difference", result.difference),
                ("low", result.interval[0]),
                ("high", result.interval[1]),
                ("p", result.p_value),
            )
        }


def compare_judged(first: Judged, second: Judged, same_data: bool = False) -> dict[str, Paired]:
    """Return the comparison on each split and part whose images both have judged.

    Images are matched by their names, whatever their order.

    Args:
        first: of `read_predictions`.
        second: likewise.
        same_data: whether both were judged on the same data. Test images without a name in common
            are then matched by their order: another form of the data, a folder or a CSV file, has
            other names.

    Raises:
        FerlabError: the two have judged no split of the same images.
    """
    compared = {}
    for split in first.keys() & second.keys():
        one, other = first[split], second[split]
        in_order = (
            same_data
            and split.startswith("test")
            and np.array_equal(one[1], other[1])
            and not np.isin(one[0], other[0]).any()
        )
        if not in_order:
            one, other = _by_name(one), _by_name(other)
            if not all(np.array_equal(one[column], other[column]) for column in (0, 1)):
                continue
        right, also_right = (predicted == labels for _, labels, predicted in (one, other))
        compared[split] = Paired(
            images=len(right),
            first_alone=int(np.count_nonzero(right & ~also_right)),
            second_alone=int(np.count_nonzero(~right & also_right)),
        )
    if not compared:
        raise FerlabError("the two were judged on different images; name two of the same data")
    return {split: compared[split] for split in first if split in compared}


def _by_name(columns: Columns) -> Columns:
    names, labels, predicted = columns
    order = np.argsort(names, kind="stable")
    return names[order], labels[order], predicted[order]
