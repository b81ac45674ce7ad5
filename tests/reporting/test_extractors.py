"""The report's Table 3, rebuilt."""

import re

from ferlab.reporting.extractors import ALONE, extractors_to_csv, format_extractors

MEASURED = {
    "F": {"svm": 0.6, "knn": 0.123456, ALONE: 0.65},
    "mine": {"svm": 0.5, "knn": 0.25, ALONE: 0.75},
}


def test_the_reports_numbers_stand_below_ours_where_it_has_them():
    assert format_extractors("Table 3", MEASURED) == (
        """\
Table 3

extractor                                                           svm     knn  network_alone
----------------------------------------------------------------------------------------------
F          ferlab                                                0.6000  0.1235         0.6500
F          the report, PublicTest and PrivateTest, 7,178 images  0.6110       -         0.6293
mine       ferlab                                                0.5000  0.2500         0.7500"""
    )


def test_of_other_data_than_fer2013_the_reports_numbers_are_left_out():
    assert "report" not in format_extractors("Table 3", MEASURED, cites=False)
    assert "report" not in extractors_to_csv(MEASURED, cites=False)


def test_as_markdown_it_is_a_table_below_a_heading():
    lines = format_extractors("Table 3", MEASURED, form="markdown").splitlines()
    assert lines[0] == "### Table 3"
    assert re.fullmatch(r"\| extractor \| +\|    svm \|    knn \| network_alone \|", lines[2])
    assert re.fullmatch(r"\| --------- \| -+ \| -----: \| -----: \| ------------: \|", lines[3])
    assert len(lines) == 7


def test_as_csv_it_keeps_every_digit():
    assert extractors_to_csv(MEASURED) == (
        "extractor,source,svm,knn,network_alone\n"
        "F,ferlab,0.6,0.123456,0.65\n"
        "F,report,0.611,,0.6293\n"
        "mine,ferlab,0.5,0.25,0.75\n"
    )
