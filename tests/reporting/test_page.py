"""A page that needs nothing beside it."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from ferlab.reporting import page
from ferlab.reporting.figures import save_image

NASTY = "<script>alert(\"x\")</script> & 'more'"


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_what_is_shown_is_escaped(tmp_path: Path) -> None:
    save_image(np.zeros((4, 4), dtype=np.uint8), tmp_path / "a.png")
    page.write_page(
        tmp_path / "index.html",
        NASTY,
        page.section(
            NASTY,
            page.paragraph(NASTY),
            page.table([NASTY], [[NASTY]]),
            page.figure(tmp_path / "a.png", NASTY),
        ),
    )
    read = Reader((tmp_path / "index.html").read_text())
    assert "script" not in [tag for tag, _ in read.tags]
    assert read.text.count(NASTY) == 7  # title, h1, h2, p, th, td, figcaption
    assert [attributes["alt"] for tag, attributes in read.tags if tag == "img"] == [NASTY]


def test_nothing_lies_outside_the_page(tmp_path: Path) -> None:
    save_image(np.arange(16, dtype=np.uint8).reshape(4, 4), tmp_path / "a.png")
    page.write_page(tmp_path / "index.html", "t", page.figure(tmp_path / "a.png", "c"))
    read = Reader((tmp_path / "index.html").read_text())
    sources = [attributes.get("src") or attributes.get("href") for _, attributes in read.tags]
    assert all(source.startswith("data:image/png;base64,") for source in sources if source)
    assert ("meta", {"charset": "utf-8"}) in read.tags


def sortable(rows: list[list[page.Cell]], **values: object) -> Reader:
    arguments = {"texts": [0], "sorted_by": (1, True), **values}
    return Reader(page.sortable_table(["name", "number"], rows, **arguments))  # type: ignore[arg-type]


def test_a_sortable_table_is_escaped_in_text_note_value_and_field() -> None:
    read = sortable([[page.Cell(NASTY, NASTY, NASTY), page.Cell("1")]], filtered=NASTY)
    assert "script" not in [tag for tag, _ in read.tags]
    assert read.text.count(NASTY) == 2
    values = [attributes.get("data-value") for tag, attributes in read.tags if tag == "td"]
    assert values == [NASTY, None]
    (field,) = [attributes for tag, attributes in read.tags if tag == "input"]
    assert field["placeholder"] == field["aria-label"] == NASTY


def test_headers_can_be_pressed_and_say_how_the_table_is_sorted() -> None:
    read = sortable([])
    heads = [attributes for tag, attributes in read.tags if tag == "th"]
    assert [head.get("aria-sort") for head in heads] == [None, "descending"]
    assert [head["data-kind"] for head in heads] == ["text", "number"]
    assert [tag for tag, _ in read.tags].count("button") == 2


def test_only_a_page_with_a_sortable_table_has_a_script(tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    page.write_page(path, "t", page.table(["a"], [["b"]]))
    assert "<script" not in path.read_text()
    page.write_page(path, "t", page.sortable_table(["a"], [], [0], (0, False)))
    assert path.read_text().count("<script") == 1


def test_a_dotted_key_may_end_a_line_in_a_column_of_words_and_is_the_same_text() -> None:
    said = "augment.transforms.erasing=0, see metrics.json"
    html = page.table(["details", "number"], [[said, "lr=0.1"]])
    assert "augment.<wbr>transforms.<wbr>erasing=<wbr>0, see metrics.json" in html
    assert ">lr=0.1<" in html
    assert said in Reader(html).text
