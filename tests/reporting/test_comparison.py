"""The comparison as text: Markdown, CSV, and the report's tables beside ours."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from ferlab.reporting.comparison import (
    duration,
    format_runs,
    runs_to_csv,
    to_markdown,
)
from ferlab.reporting.entries import Entry, Score
from ferlab.reporting.report_tables import table_3, table_4

PUBLIC = {"val": Score(0.6, 2872), "test": Score(0.65, 3589, 0.6), "public": Score(0.65, 3589)}


def entry(model="F", scores=PUBLIC, kind="run", folder="outputs/F", **values):
    return Entry(
        **{
            "kind": kind,
            "model": model,
            "optimizer": "adam",
            "augmentation": "report",
            "seed": 0,
            "data": "FER-2013",
            "scores": scores,
            "folder": folder,
            "path": Path(folder),
            **values,
        }
    )


def classifier(name, accuracy, run="outputs/F", model="F"):
    return entry(
        f"{model} + {name}",
        {"test": Score(accuracy, 3589), "public": Score(accuracy, 3589)},
        "classifier",
        f"{run}/classical/{name}",
        judged=(Path(run),),
    )


def test_csv_keeps_every_digit_and_the_ends_of_the_interval():
    (row,) = csv.DictReader(io.StringIO(runs_to_csv([entry(macs=290_500_000)])))
    assert (row["model"], row["val"], row["macs"]) == ("F", "0.6", "290500000")
    assert (row["judged_on"], row["test_images"]) == ("PublicTest, 3,589 images", "3589")
    assert float(row["test_low"]) == pytest.approx(0.63424, abs=1e-5)
    assert float(row["test_high"]) == pytest.approx(0.66543, abs=1e-5)
    assert (row["private"], row["private_low"], row["parameters"]) == ("", "", "")


def test_columns_without_any_value_are_not_shown():
    text = format_runs([entry()], ["model", "val", "private", "commit", "folder"])
    assert text.splitlines()[0].split("  ")[0] == "model"
    assert "private" not in text
    assert "commit" not in text
    assert "60.00 ± 1.79" in text


def test_markdown_means_nothing_by_what_it_shows():
    text = to_markdown("t", "o", [entry(details="a|b <script> x\ny *b* `q` $x$ [l](u)")], [])
    assert "a\\|b &lt;script> x y \\*b\\* \\`q\\` \\$x\\$ \\[l](u)" in text


def test_a_terminal_is_told_no_commands():
    text = format_runs([entry(data="a\x1b[31m\0b")], ["model", "data"])
    assert "a\\x1b[31m\\x00b" in text


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x"])
def test_a_spreadsheet_computes_no_name(name):
    (row,) = csv.DictReader(io.StringIO(runs_to_csv([entry(optimizer=name)])))
    assert row["optimizer"] == f"'{name}"


def test_table_3_has_the_reports_rows_set_off_with_their_own_images():
    table = table_3([entry(), classifier("random_forest", 0.64), classifier("svm", 0.63)])
    assert table.header == [
        "extractor", "source", "svm", "random forest", "the network alone", "test images", "run"
    ]  # fmt: skip
    assert [cell[:5] for cell in table.rows[0][2:5]] == ["63.00", "64.00", "65.00"]
    assert table.rows[0][5:] == ["FER-2013, PublicTest, 3,589 images", "outputs/F"]
    assert table.rows[1][1:5] == ["the report", "61.10", "63.44", "62.93"]
    assert table.rows[1][5] == "FER-2013, PublicTest and PrivateTest, 7,178 images"
    assert list(table.cited) == [1]


def test_table_3_keeps_to_one_run_per_network():
    table = table_3(
        [
            classifier("svm", 0.64, "outputs/best", "mine"),
            classifier("svm", 0.99, "outputs/other", "mine"),
        ]
    )
    assert [row[0] for row in table.rows] == ["mine"]
    assert table.rows[0][2].startswith("64.00")


def test_table_3_keeps_drawn_faces_apart_and_the_report_beside_its_own_data():
    drawn = replace(classifier("svm", 0.99, "outputs/drawn"), data="faces drawn")
    table = table_3([drawn, classifier("svm", 0.64)])
    sources = [(row[1], row[4].partition(",")[0]) for row in table.rows]
    assert sources == [
        ("ferlab", "faces drawn"),
        ("ferlab", "FER-2013"),
        ("the report", "FER-2013"),
    ]


def test_table_3_shows_no_network_that_was_judged_on_other_images():
    whole = entry(scores={**PUBLIC, "test": Score(0.7, 7178)})
    (ours, _) = table_3([whole, classifier("svm", 0.64)]).rows
    assert ours[3] == ""


def test_table_4_names_all_models_and_the_views_they_were_judged_by():
    entries = [entry(f"M{number}") for number in range(20)]
    entries[0] = replace(entries[0], settings={"augment.test_time": "ten_crop"})
    table = table_4(entries)
    assert len(table.rows) - len(table.cited) == 20
    protocols = {row[0]: row[4] for row in table.rows}
    assert protocols["Model M0, adam"] == "epoch chosen by validation, test time ten_crop"
    assert protocols["Model M1, adam"] == "epoch chosen by validation"


def test_without_classifiers_there_is_no_table_3():
    assert table_3([entry()]) is None


def test_table_4_sets_the_literature_off_and_names_the_images_of_each_row():
    table = table_4([entry(), entry("G", data="drawn"), entry("H", kind="evaluation")])
    ours = [row for index, row in enumerate(table.rows) if index not in table.cited]
    (mine,) = ours  # drawn faces have no place there, nor what was judged in another way
    assert mine[:3] == ["Model F, adam", "65.00 ± 1.56", "PublicTest, 3,589 images"]
    cited = {row[0]: row for index, row in enumerate(table.rows) if index in table.cited}
    assert len(cited) == 6
    vggnet = next(row for name, row in cited.items() if "VGGNet" in name)
    assert vggnet[1:3] == ["73.28", "PublicTest, 3,589 images"]
    assert "PrivateTest was the validation set" in vggnet[4]
    assert cited["Model F (the report)"][2] == "PublicTest and PrivateTest, 7,178 images"
    accuracies = [float(row[1].split(" ")[0]) for row in table.rows]
    assert accuracies == sorted(accuracies, reverse=True)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (12.34, "12.3 s"),
        (59.99, "60.0 s"),
        (61, "1 min 01 s"),
        (3599.6, "1 h 00 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_durations_are_read_as_a_person_says_them(seconds, said):
    assert duration(seconds) == said
