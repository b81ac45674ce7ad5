"""One HTML page that needs nothing beside it: figures inside, readable on a phone, no script."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from ferlab.files import write_text

_STYLE = """
:root { color-scheme: light; --ink: #1a1a1a; --soft: #5f6368; --line: #e0e0e0; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 4rem; background: #fff;
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line);
  padding-top: 1rem; }
p { max-width: 46rem; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; display: block; }
.row { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); }
.row figure { margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; }
"""


def paragraph(text: str, soft: bool = False) -> str:
    """Return a paragraph; `soft` for what is said by the way."""
    return f"<p{' class=soft' if soft else ''}>{escape(text)}</p>"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table, its first column to the left, all others to the right."""
    head = "".join(f"<th>{escape(str(cell))}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def figure(png: Path, caption: str) -> str:
    """Return a PNG file as part of the page; the caption is its text for those who cannot see it.

    Raises:
        OSError: the file cannot be read.
    """
    data = base64.b64encode(png.read_bytes()).decode()
    text = escape(caption)
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def side_by_side(*parts: str) -> str:
    """Return the parts beside one another, below one another where the screen is narrow."""
    return f'<div class="row">{"".join(parts)}</div>'


def section(title: str, *parts: str) -> str:
    """Return the parts below a heading."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def write_page(path: Path, title: str, *parts: str) -> None:
    """Write the page, whole or not at all."""
    write_text(
        path,
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n",
    )
