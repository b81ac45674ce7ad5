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
