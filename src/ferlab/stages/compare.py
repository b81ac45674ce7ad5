"""`ferlab compare`: every run, evaluation and fitted classifier in one table and on one page."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from ferlab.checks import FerlabError, check_choice
from ferlab.collecting import LeftOut, collect
from ferlab.files import write_json, write_text
from ferlab.finding import find_run
from ferlab.instantiate import plain
from ferlab.reporting import comparison, comparison_page, page
from ferlab.reporting.entries import COLUMNS, HIGHER_IS_BETTER, choose, ordered, over_seeds
from ferlab.reporting.mcnemar import PairTest, compare_judged
from ferlab.reporting.predictions import read_predictions
from ferlab.running.entry import run_stage
from ferlab.running.named import searched_folders
from ferlab.runs import RunFolder

log = logging.getLogger(__name__)

ON_CONSOLE = (
    "model",
    "optimizer",
    "augmentation",
    "seed",
    "val",
    "test",
    "judged_on",
    "clean",
    "macs",
    "data",
    "folder",
)
SHOWN_ON_CONSOLE = 20


def main(overrides: Sequence[str]) -> int:
    """Run the stage with these overrides; return the exit status."""
    return run_stage("compare", compare, overrides, sweeps=False)


def compare(config: DictConfig, folder: RunFolder) -> None:
    """Write `index.html`, `runs.csv` and `runs.md`, anew each time: the runs may have changed."""
    values = plain(config)
    folder.check_configuration(values)
    where, sort = values["where"], check_choice("sort", values["sort"], COLUMNS)
    searched = searched_folders(values["runs"])
    tested = None if values["pair"] is None else _test(values["pair"], searched)
    found, left_out = collect(searched)
    entries = ordered(choose(found, where), sort)
    if not entries:
        raise FerlabError(_nothing(searched, len(found), left_out))

    folder.open(values, {}, device="cpu")
    title = f"{len(entries)} result{'' if len(entries) == 1 else 's'} compared"
    order = _order(sort, where, len(entries), len(found))
    groups = over_seeds(entries)
    index = folder.path / "index.html"
    page.write_page(
        index,
        title,
        page.paragraph(f"{time.strftime('%Y-%m-%d %H:%M')}, from {', '.join(searched)}", soft=True),
        comparison_page.runs_section(entries, sort, order),
        comparison_page.pair_section(tested) if tested else "",
        comparison_page.seeds_section(groups),
        *comparison_page.figure_sections(entries, folder.path),
        *comparison_page.report_sections(entries),
        comparison_page.left_out_section(left_out),
    )
    write_text(folder.path / "runs.csv", comparison.runs_to_csv(entries))
    write_text(folder.path / "runs.md", comparison.to_markdown(title, order, entries, groups))
    write_json(
        folder.metrics,
        {
            "results": len(entries),
            "left_out": len(left_out),
            **(tested.metrics() if tested else {}),
        },
    )
    alike = [
        name for name in ("data", "judged_on") if len({entry.value(name) for entry in entries}) == 1
    ]
    columns = [name for name in ON_CONSOLE if name not in alike]
    if alike:
        log.info("%s\n", ", ".join(str(entries[0].value(name)) for name in alike))
    log.info("%s\n", comparison.format_runs(entries[:SHOWN_ON_CONSOLE], columns))
    if len(entries) > SHOWN_ON_CONSOLE:
        log.info("more on the page: %d", len(entries) - SHOWN_ON_CONSOLE)
    log.info("%s", order)
    _say_left_out(left_out)
    if tested:
        log.info("\n%s", tested.in_words())
    log.info("page: %s", os.path.relpath(index))


def _test(pair: object, searched: Sequence[str]) -> PairTest:
    """Return McNemar's test of the two runs that `pair` names.

    Raises:
        FerlabError: these are not two different runs that have judged the same images.
    """
    if not isinstance(pair, list) or len(pair) != 2:
        raise FerlabError(f"pair must name two runs such as [F,C]; got {pair!r}")
    first, second = (
        RunFolder(Path(name)) if Path(name).is_dir() else find_run(name, searched)
        for name in map(str, pair)
    )
    names = os.path.relpath(first.path), os.path.relpath(second.path)
    if os.path.realpath(first.path) == os.path.realpath(second.path):
        raise FerlabError(f"pair names {names[0]} twice; name two runs")
    one, other = (run.recorded_environment().get("data") for run in (first, second))
    if one and other and one != other:
        raise FerlabError(f"{names[0]} and {names[1]} were judged on different data; name others")
    compared = compare_judged(
        read_predictions(first.predictions),
        read_predictions(second.predictions),
        same_data=bool(one) and one == other,
    )
    return PairTest(*names, compared)


def _order(sort: str, where: Mapping[str, object] | None, shown: int, found: int) -> str:
    """Return how the results were chosen and put in order, in a sentence or two."""
    if sort == "val":
        order = "The best by validation accuracy first; the test images order nothing."
    else:
        least = "from a to z" if sort in comparison.TEXTS else "the lowest first"
        best = "the highest first" if sort in HIGHER_IS_BETTER else least
        order = f"By {sort}, {best}, as sort={sort} asks."
    if not where:
        return order
    wanted = ", ".join(f"{column}: {value}" for column, value in where.items())
    return f"{order} {shown} of {found} results, those with {wanted}."


def _nothing(searched: Sequence[str], found: int, left_out: LeftOut) -> str:
    """Return why there is nothing to compare, and what to do."""
    places = ", ".join(searched)
    if found:
        return f"none of the {found} results in {places} is as where= asks; ask for less"
    if left_out:
        folder, reason = next(iter(left_out.items()))
        return (
            f"nothing in {places} can be compared: {folder} {reason}"
            f"{f', and {len(left_out) - 1} more' if len(left_out) > 1 else ''}; finish a run first"
        )
    return f"there are no runs in {places}; train one, or name other folders with runs=[...]"


def _say_left_out(left_out: LeftOut) -> None:
    for name, reason in list(left_out.items())[:SHOWN_ON_CONSOLE]:
        log.info("left out: %s: %s", name, reason)
    if len(left_out) > SHOWN_ON_CONSOLE:
        log.info("left out: %d more, named on the page", len(left_out) - SHOWN_ON_CONSOLE)
