"""The report's Tables 3 and 4: what was measured here beside what is cited."""

from collections.abc import Sequence
from dataclasses import dataclass

from ferlab.reporting.entries import TRAINED, Entry
from ferlab.reporting.extractors import ALONE
from ferlab.reporting.literature import REPORT_IMAGES, TABLE_3, TABLE_4

CLASSIFIERS = {"svm": "svm", "random_forest": "random forest", ALONE: "the network alone"}
"""What the report's Table 3 calls its columns."""


@dataclass(frozen=True)
class Table:
    """A table that sets cited rows off.

    Attributes:
        header: names of the columns.
        rows: cells.
        cited: indices of the rows that are somebody else's.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    cited: Sequence[int]


def table_3(entries: Sequence[Entry]) -> Table | None:
    """Return the report's Table 3 from the classifiers among the entries; None without any.

    Args:
        entries: all, the best by validation first: a model's best run on some test images stands
            for it there.
    """
    fitted = [entry for entry in entries if entry.kind == "classifier"]
    alone = {entry.path.resolve(): entry for entry in entries if entry.kind in TRAINED}
    rows: dict[tuple[str, str], list[Entry]] = {}  # by network and test images; of one run each
    for entry in fitted:
        network = entry.model.partition(" + ")[0]
        group = rows.setdefault((network, entry.test_set), [])
        if not group or group[0].judged == entry.judged:
            group.append(entry)
    names = list(dict.fromkeys(entry.path.name for entry in fitted))
    if not names:
        return None
    names.sort(key=lambda name: (name not in CLASSIFIERS, name != "svm"))
    body, cited = [], []
    for (network, _), group in rows.items():
        measured = {entry.path.name: entry for entry in group}
        run = alone.get(group[0].judged[0].resolve())
        if run is not None and run.test_set == group[0].test_set:
            measured[ALONE] = run
        cells = [_measured(measured.get(name)) for name in (*names, ALONE)]
        if ALONE in measured and (view := _view(measured[ALONE])) != "none":
            cells[-1] += f", {view}"  # the classifiers see one view
        body.append([network, "ferlab", *cells, group[0].test_set, run_of(group[0])])
        if network in TABLE_3 and group[0].data == "FER-2013":
            cited.append(len(body))
            numbers = [TABLE_3[network].get(name) for name in (*names, ALONE)]
            cells = ["" if number is None else _points(number) for number in numbers]
            body.append([network, "the report", *cells, f"FER-2013, {REPORT_IMAGES}", ""])
    titles = [CLASSIFIERS.get(name, name) for name in (*names, ALONE)]
    return Table(["extractor", "source", *titles, "test images", "run"], body, cited)


def run_of(classifier: Entry) -> str:
    """Return the folder of the run that a classifier was fitted on, as a person can type it."""
    return classifier.folder.removesuffix(f"/classical/{classifier.path.name}")


def table_4(entries: Sequence[Entry]) -> Table:
    """Return the report's Table 4: what was measured here, among what others have published.

    Args:
        entries: all, the best by validation first: the best of each model stands for it; those
            that were not judged on FER-2013 are left out.
    """
    best: dict[str, Entry] = {}
    for entry in entries:
        if entry.data == "FER-2013" and "test" in entry.scores and entry.kind != "evaluation":
            best.setdefault(entry.model, entry)
    rows = [
        (
            entry.scores["test"].accuracy,
            [
                _approach(entry),
                entry.accuracy("test"),
                entry.judged_on,
                "ferlab",
                _protocol(entry),
            ],
            False,
        )
        for entry in best.values()
    ]
    rows += [
        (
            row.accuracy,
            [row.approach, _points(row.accuracy), row.test_images, "cited", row.protocol],
            True,
        )
        for row in TABLE_4
    ]
    rows.sort(key=lambda row: -row[0])
    return Table(
        ["approach", "accuracy %", "test images", "source", "protocol"],
        [cells for _, cells, _ in rows],
        [index for index, (_, _, is_cited) in enumerate(rows) if is_cited],
    )


def _approach(entry: Entry) -> str:
    network, _, classifier = entry.model.partition(" + ")
    on_top = f" + {CLASSIFIERS.get(classifier, classifier)}" if classifier else ""
    return f"Model {network}{on_top}, {entry.optimizer}"


def _protocol(entry: Entry) -> str:
    chosen = "epoch chosen by validation" if "val" in entry.scores else "not validated"
    view = _view(entry)
    return chosen if view == "none" else f"{chosen}, test time {view}"


def _view(entry: Entry) -> object:
    """Return what the entry's predictions are averaged over."""
    return entry.settings.get("augment.test_time", "none")


def _points(accuracy: float) -> str:
    return f"{100 * accuracy:.2f}"


def _measured(entry: Entry | None) -> str:
    return "" if entry is None else entry.accuracy("test")
