"""Writes the page of scripts/reproduce_report.sh: `python scripts/report_page.py FOLDER`.

Args:
    FOLDER: holds `data`, what `ferlab explore` wrote, and `models`, the sweep's runs with the
        classifiers that were fitted on them.
"""

import sys
from pathlib import Path

from ferlab.checks import FerlabError
from ferlab.collecting import collect
from ferlab.files import read_json, read_yaml
from ferlab.instantiate import conf_folder
from ferlab.networks.specs import parse_model
from ferlab.networks.summary import summarise
from ferlab.reporting import page, reproduction
from ferlab.reporting.comparison_page import figure_sections, left_out_section, report_sections
from ferlab.reporting.entries import TRAINED, ordered
from ferlab.runs import RunFolder


def write_report_page(folder: Path) -> Path:
    """Write `index.html` into the folder and return its path.

    Raises:
        FerlabError: no network was trained.
    """
    entries, left_out = collect([str(folder / "models")])
    trained = ordered([entry for entry in entries if entry.kind in TRAINED], "val")
    if not trained:
        raise FerlabError(f"no network in {folder / 'models'} is trained; start the script again")
    explored, best = RunFolder(folder / "data"), RunFolder(trained[0].path)
    if (summary := explored.recorded_metrics()) is None:
        raise FerlabError(f"{explored.path} is not explored to the end; start the script again")
    by_class = read_json(best.report / "classification_report.json")
    model_f = summarise(parse_model(read_yaml(conf_folder() / "model/F.yaml")))
    index = folder / "index.html"
    page.write_page(
        index,
        f"The report rebuilt, on {trained[0].data}",
        reproduction.differences_section(),
        reproduction.data_section(explored.path, summary),
        reproduction.table_1_section(model_f),
        reproduction.models_section(trained),
        *figure_sections(trained, folder),
        reproduction.curves_section(trained),
        reproduction.table_2_section(trained[0], by_class),
        *report_sections(entries),
        left_out_section(left_out),
    )
    return index


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("ferlab: python scripts/report_page.py FOLDER")
    try:
        print(f"page: {write_report_page(Path(sys.argv[1]))}")
    except (FerlabError, OSError) as error:
        sys.exit(f"ferlab: {error}")
