"""The report's Table 3, rebuilt."""

import re

from ferlab.reporting.extractors import ALONE, extractors_to_csv, format_extractors
from ferlab.reporting.literature import REPORT_IMAGES

MEASURED = {
    "F": {"svm": 0.6, "knn": 0.123456, ALONE: 0.65},
    "mine": {"svm": 0.5, "knn": 0.25, ALONE: 0.75},
}
N_IMAGES = {"F": 3589, "mine": 100}


def test_the_reports_numbers_stand_below_ours_where_it_has_them():
    title, _, header, _, *rows = format_extractors("Table 3", MEASURED, N_IMAGES).splitlines()
    assert title == "Table 3"
    assert header.split() == ["extractor", "svm", "knn", "network_alone"]
    assert [re.split(r"  +", row) for row in rows] == [
        ["F", "ferlab", "60.00 % ± 1.60", "12.35 % ± 1.08", "65.00 % ± 1.56"],
        ["F", f"the report, {REPORT_IMAGES}", "61.10 %", "-", "62.93 %"],
        ["mine", "ferlab", "50.00 % ± 9.62", "25.00 % ± 8.38", "75.00 % ± 8.38"],
    ]


def test_of_other_data_than_fer2013_the_reports_numbers_are_left_out():
    assert "report" not in format_extractors("Table 3", MEASURED, N_IMAGES, cites=False)
    assert "report" not in extractors_to_csv(MEASURED, cites=False)


def test_as_markdown_it_is_a_table_below_a_heading():
    lines = format_extractors("Table 3", MEASURED, N_IMAGES, form="markdown").splitlines()
    assert lines[0] == "### Table 3"
    assert re.fullmatch(r"\| extractor \| +\| +svm \| +knn \|  network_alone \|", lines[2])
    assert re.fullmatch(r"\| --------- \| -+ \| -+: \| -+: \| -+: \|", lines[3])
    assert len(lines) == 7


def test_as_csv_it_keeps_every_digit():
    assert extractors_to_csv(MEASURED) == (
        "extractor,source,svm,knn,network_alone\n"
        "F,ferlab,0.6,0.123456,0.65\n"
        "F,report,0.611,,0.6293\n"
        "mine,ferlab,0.5,0.25,0.75\n"
    )
