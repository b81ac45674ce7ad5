"""The comparison as one page: tables that a person sorts, and figures of each test set."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ferlab.checks import FerlabError, counted
from ferlab.reporting import comparison, figures, page
from ferlab.reporting.entries import HIGHER_IS_BETTER, TRAINED, Entry, OverSeeds, of_each, ordered
from ferlab.reporting.extractors import ALONE
from ferlab.reporting.literature import REPORT_IMAGES, TABLE_3
from ferlab.reporting.mcnemar import PairTest
from ferlab.reporting.overlays import (
    COLOURS,
    HIGHLIGHTED,
    draw_accuracies,
    draw_costs,
    draw_overlaid,
)
from ferlab.reporting.predictions import confusion_of
from ferlab.reporting.report_tables import table_3, table_4

MOST_TEST_SETS, MOST_MODELS, MOST_MATRICES = 3, 15, 4
"""What the figures show at most; the page says what they leave out."""


def runs_section(entries: Sequence[Entry], sort: str, order: str) -> str:
    """Return the table of all entries.

    Args:
        entries: in their order.
        sort: the column that they are sorted by.
        order: a sentence on it.
    """
    names = [name for name in comparison.TITLES if name != "details" or sort == name]
    columns = comparison.used(entries, names)
    sorted_by = columns.index(sort) if sort in columns else -1
    rows = [[_cell(entry, column) for column in columns] for entry in entries]
    texts = [index for index, column in enumerate(columns) if column in comparison.TEXTS]
    header = [comparison.TITLES[column] for column in columns]
    return page.section(
        "All results",
        page.paragraph(order, soft=True),
        page.wide(
            page.sortable_table(
                header,
                rows,
                texts,
                sorted_by=(sorted_by, sort in HIGHER_IS_BETTER),
                filtered="filter: words in any column",
            )
        ),
        page.paragraph(
            "± is half the 95 % interval (Wilson). test is all test images of the run, which the "
            "column test images names; public and private are FER-2013's official halves of it, "
            "clean leaves out those with an identical twin in the training set. Numbers of "
            "different test images do not compare. train is measured in the epoch that was kept, "
            "while weights and dropout were at work. Parameters are in Keras' count, MACs forward "
            "for one view of one image.",
            soft=True,
        ),
    )


def seeds_section(groups: Sequence[OverSeeds]) -> str:
    """Return the table over seeds; nothing where there are no such runs."""
    if not groups:
        return ""
    header, rows = comparison.seed_rows(groups)
    return page.section(
        "Over seeds",
        page.paragraph("Runs that differ in their seed alone: mean ± sample standard deviation."),
        page.wide(page.table(header, rows, texts=(*range(4), len(header) - 1))),
    )


def figure_sections(entries: Sequence[Entry], folder: Path) -> Iterator[str]:
    """Yield the figures of the trained networks, for each test set by itself.

    Args:
        entries: any.
        folder: where the PNG files go.
    """
    trained = ordered((entry for entry in entries if entry.kind in TRAINED), "val")
    groups: dict[str, list[Entry]] = {}
    for entry in trained:
        if "test" in entry.scores:
            groups.setdefault(entry.test_set, []).append(entry)
    largest = sorted(groups, key=lambda name: -len(groups[name]))
    for number, name in enumerate(largest[:MOST_TEST_SETS], start=1):
        runs = counted(len(groups[name]), "run")
        yield page.section(f"{runs} on {name}", *_figures(groups[name], folder, number))
    if left := largest[MOST_TEST_SETS:]:
        yield page.paragraph(
            f"Test sets without figures, {len(left)}: {'; '.join(left[:5])}"
            f"{' …' if len(left) > 5 else ''}. Choose with where={{judged_on: …}}.",
            soft=True,
        )


def _figures(group: Sequence[Entry], folder: Path, number: int) -> Iterator[str]:
    """Yield the figures of runs on the same test images, the best by validation first."""
    yield page.paragraph(
        "The validation accuracy alone decides which runs are shown and which have a colour; those "
        "without one come last."
    )
    yield "<h3>Accuracy by model, and against cost</h3>"
    yield page.side_by_side(
        _bars(group, folder, number), _costs(group, folder, number), halves=True
    )
    yield from _curves(group, folder, number)
    yield from _matrices(group, folder, number)


def _bars(group: Sequence[Entry], folder: Path, number: int) -> str:
    best: dict[tuple[str, str], Entry] = {}
    for entry in group:
        best.setdefault((entry.model, entry.optimizer), entry)
    models = list(dict.fromkeys(model for model, _ in best))
    chosen = [entry for entry in best.values() if entry.model in models[:MOST_MODELS]]
    reported = {model: row[ALONE] for model, row in TABLE_3.items()}
    if group[0].data != "FER-2013":
        reported = {}
    path = folder / f"accuracies_{number}.png"
    figures.save(draw_accuracies(chosen, "Test accuracy by model", reported, REPORT_IMAGES), path)
    caption = (
        "The report's Figure 2: of each model and optimizer the best run by validation, on "
        f"{group[0].test_set}."
    )
    if any(entry.model in reported for entry in chosen):
        same = group[0].judged_on == REPORT_IMAGES
        caption += f" The diamonds are the report's, on {'the same' if same else 'other'} images."
    if len(models) > MOST_MODELS:
        caption += f" The best {MOST_MODELS} of {len(models)} models."
    return page.figure(path, caption)


def _costs(group: Sequence[Entry], folder: Path, number: int) -> str:
    path = folder / f"costs_{number}.png"
    figures.save(draw_costs(group, "Test accuracy against cost"), path)
    return page.figure(
        path,
        "The cost is that of one view of one image, forward; the accuracy is as a run judges, "
        "which may average several views. Named is each model's best run by validation, with its "
        "95 % interval; grey are the others.",
    )


def _curves(group: Sequence[Entry], folder: Path, number: int) -> Iterator[str]:
    drawn = of_each(
        [entry for entry in group if entry.history and "val" in entry.scores], "model", "optimizer"
    )
    if not drawn:
        return
    panels = []
    for metric in ("accuracy", "loss"):
        path = folder / f"curves_{metric}_{number}.png"
        figures.save(draw_overlaid(drawn, metric, f"Validation {metric}"), path)
        note = "" if metric == "accuracy" else " Values far off all others lie outside."
        panels.append(
            page.figure(path, f"Validation {metric} by epoch; dashed on the training images.{note}")
        )
    others = len(drawn) - HIGHLIGHTED
    names = list(zip(COLOURS, map(_name, drawn), strict=False))
    if others > 0:
        names.append((figures.GREY, f"{counted(others, 'run')} more, their validation alone"))
    yield "<h3>Learning curves</h3>"
    yield page.side_by_side(*panels, halves=True)
    yield page.legend(names)


def _matrices(group: Sequence[Entry], folder: Path, number: int) -> Iterator[str]:
    parts, drawn = [], 0
    for rank, entry in enumerate(of_each(group, "model")[:MOST_MATRICES], start=1):
        path = folder / f"confusion_{number}_{rank}.png"
        try:
            matrix = confusion_of(entry.path / "predictions.npz")
        except FerlabError as error:
            parts.append(page.paragraph(f"{_name(entry)}: no matrix, {error}.", soft=True))
            continue
        title = f"{entry.model}, {entry.optimizer}: {100 * entry.scores['test'].accuracy:.2f} %"
        figures.save(figures.draw_confusion_matrix(matrix, title), path)
        parts.append(page.figure(path, _name(entry)))
        drawn += 1
    yield "<h3>Confusion matrices</h3>"
    yield page.paragraph(
        f"{drawn} of {counted(len(group), 'run')} on {group[0].test_set}, the best of each model "
        "first."
    )
    yield page.side_by_side(*parts, halves=True)


def report_sections(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the report's Tables 3 and 4, ours beside what is cited."""
    best = ordered(entries, "val")
    if (third := table_3(best)) is not None:
        yield page.section(
            "Table 3: classifiers on the networks' features",
            page.paragraph(
                "Test accuracy, %. Of each network the run with the best classifier by validation. "
                "Set off: the report's numbers. The test images stand beside each row."
            ),
            page.table(
                third.header, third.rows, texts=(0, 1, *_last_two(third.header)), cited=third.cited
            ),
        )
    fourth = table_4(best)
    if len(fourth.cited) < len(fourth.rows):
        yield page.section(
            "Table 4: beside the literature",
            page.paragraph(
                "Of each model the best run by validation. Set off: cited, as printed there. Rows "
                "on different test images do not compare: PrivateTest is usually 1.5 to 3.6 points "
                "easier than PublicTest."
            ),
            page.table(fourth.header, fourth.rows, texts=(0, 2, 3, 4), cited=fourth.cited),
        )


def pair_section(test: PairTest) -> str:
    """Return McNemar's test of two runs."""
    rows = [
        [
            split,
            f"{result.images:,}",
            f"{result.first_alone:,}",
            f"{result.second_alone:,}",
            f"{100 * result.difference:+.2f}",
            " to ".join(f"{100 * end:+.2f}" for end in result.interval),
            result.p_text,
        ]
        for split, result in test.splits.items()
    ]
    header = ["split", "images", "first alone right", "second alone right", "difference, points"]
    return page.section(
        "Two runs tested for a difference",
        page.paragraph(f"First: {test.first}. Second: {test.second}."),
        *(page.paragraph(result.sentence(split)) for split, result in test.splits.items()),
        page.table([*header, "95 % interval", "p"], rows),
        page.paragraph(
            "McNemar's test, exact, on the images that one of the two alone gets right; the "
            "interval is Agresti & Min's (2005). Parts of the test set are not independent of it.",
            soft=True,
        ),
    )


def left_out_section(left_out: Mapping[str, str]) -> str:
    """Return what was found and not compared, each with its reason; nothing where that is none."""
    if not left_out:
        return ""
    return page.section(
        f"Left out: {len(left_out)}",
        page.table(["folder", "why"], list(left_out.items()), texts=(0, 1)),
    )


def _cell(entry: Entry, column: str) -> page.Cell:
    text, note = comparison.shown(entry, column)
    if column == "model":
        strange = "" if entry.data == "FER-2013" else entry.data
        note = " · ".join(filter(None, (entry.details, strange)))
    value = entry.value(column)
    return page.Cell(text, note, None if value == "" else value)


def _name(entry: Entry) -> str:
    """Return a run's name for legends."""
    seed = "" if entry.seed is None else f", seed {entry.seed}"
    details = f", {entry.details}" if entry.details else ""
    val = (
        f": {100 * entry.scores['val'].accuracy:.2f} % on validation"
        if "val" in entry.scores
        else ""
    )
    return f"{entry.model}, {entry.optimizer}, {entry.augmentation}{seed}{details}{val}"


def _last_two(header: Sequence[str]) -> tuple[int, int]:
    return len(header) - 2, len(header) - 1
