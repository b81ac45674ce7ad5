"""One HTML page that needs nothing beside it: figures inside, readable on a phone and at night."""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ferlab.files import write_text

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1a1a; --soft: #5f6368;
  --line: #e0e0e0; --mark: #f4f6f8; --link: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e8e8e8; --soft: #a3a8ae;
  --line: #34383d; --mark: #1f2226; --link: #6cb6e8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line);
  padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { max-width: 46rem; overflow-wrap: anywhere; }
.soft, figcaption, small { color: var(--soft); font-size: .9rem; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; display: block; background: #fff;
  border-radius: 6px; }
.row, .halves { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); }
.halves { grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); }
.row figure, .halves figure { margin: 0; }
.wide { width: min(100vw - 2rem, 96rem); margin-left: 50%; transform: translateX(-50%); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0;
  width: max-content; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; vertical-align: top; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; }
td.text, th.text { text-align: left; }
td.text { white-space: normal; max-width: 14rem; overflow-wrap: anywhere; }
td small { display: block; line-height: 1.3; font-size: .8rem; }
td.text small { max-width: 20rem; }
tr.cited td { background: var(--mark); font-style: italic; }
.legend { list-style: none; margin: .5rem 0; padding: 0; font-size: .9rem; columns: 26rem; }
.legend li { break-inside: avoid; overflow-wrap: anywhere; padding-left: 1.75rem; }
.legend span { float: left; width: 1.25rem; height: .25rem; margin: .65rem 0 0 -1.75rem; }
"""

# A header is a button, for the keyboard; what has no value stays below in either direction.
_SORTABLE_STYLE = """
.scroll:has(.sortable) { max-height: 85vh; overflow: auto; border: 1px solid var(--line);
  border-radius: 6px; }
.sortable { font-size: .9rem; margin: 0; border-collapse: separate; border-spacing: 0; }
.sortable thead th { position: sticky; top: 0; background: var(--paper); z-index: 2; }
.sortable th, .sortable td { padding: .3rem .5rem; }
.sortable th:first-child, .sortable td:first-child { position: sticky; left: 0;
  background: var(--paper); padding-left: .6rem; padding-right: .75rem; z-index: 1; }
.sortable thead th:first-child { z-index: 3; }
.sortable td.text { max-width: none; white-space: nowrap; }
.sortable td.text small { white-space: normal; }
.sortable tbody tr:hover td { background: var(--mark); }
.sortable th button { all: unset; cursor: pointer; font-weight: 600; }
.sortable th button:hover { color: var(--link); }
.sortable th button:focus-visible, .filter input:focus-visible { outline: 2px solid var(--link);
  outline-offset: 2px; border-radius: 2px; }
.sortable th button::after { content: "\\2195"; opacity: .35; margin-left: .25em; }
.sortable th[aria-sort=ascending] button::after { content: "\\2191"; opacity: 1; }
.sortable th[aria-sort=descending] button::after { content: "\\2193"; opacity: 1; }
.filter { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; margin: .5rem 0; }
.filter input { font: inherit; width: min(24rem, 100%); padding: .35rem .6rem; color: inherit;
  background: var(--paper); border: 1px solid var(--soft); border-radius: 6px; }
@media (max-width: 40rem) { td.text { max-width: 11rem; }
  .sortable td:first-child { max-width: 9.5rem; white-space: normal; overflow-wrap: anywhere; }
  .sortable td:first-child small { max-width: 9rem; } }
@media print { .scroll:has(.sortable) { max-height: none; overflow: visible; border: 0; }
  .sortable { font-size: .4rem; }
  .sortable thead th, .sortable th:first-child, .sortable td:first-child { position: static; }
  .sortable th, .sortable td { padding: .1rem .2rem; }
  .sortable td.text { white-space: normal; }
  .sortable th button::after, .filter { display: none; } }
"""
_SORTABLE_SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => row.cells[column].dataset.value ?? "";
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const number = head.dataset.kind === "number";
    const before = head.getAttribute("aria-sort");
    const up = before ? before === "descending" : !number;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const order = (a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const less = number ? x - y : x.localeCompare(y, undefined, {numeric: true});
      return up ? less : -less;
    };
    body.append(...[...body.rows].sort(order));
  }));
  const filter = table.closest("section").querySelector(".filter");
  if (!filter) continue;
  const [input, count] = [filter.querySelector("input"), filter.querySelector("output")];
  const show = () => {
    const words = input.value.toLowerCase().split(/\\s+/);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${body.rows.length}`;
  };
  input.addEventListener("input", show);
  show();
}
"""


@dataclass(frozen=True)
class Cell:
    """One cell of a sortable table.

    Attributes:
        text: what is shown.
        note: shown smaller, below.
        value: what the table is sorted by; None stays below, whatever the direction.
    """

    text: str
    note: str = ""
    value: float | str | None = None


def paragraph(text: str, soft: bool = False) -> str:
    """Return a paragraph; `soft` for what is said by the way."""
    return f"<p{' class=soft' if soft else ''}>{escape(text)}</p>"


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    texts: Iterable[int] = (0,),
    cited: Iterable[int] = (),
) -> str:
    """Return a table.

    Args:
        header: names of the columns.
        rows: cells.
        texts: indices of the columns that stand to the left; the others stand to the right.
        cited: indices of the rows that are set off as somebody else's.
    """
    left, set_off = set(texts), set(cited)

    def cells(row: Sequence[object], tag: str, what: str = "") -> str:
        return "".join(
            f"<{tag}{what} class=text>{_breakable(str(cell))}</{tag}>"
            if column in left
            else f"<{tag}{what}>{escape(str(cell))}</{tag}>"
            for column, cell in enumerate(row)
        )

    body = "".join(
        f"<tr{' class=cited' if index in set_off else ''}>{cells(row, 'td')}</tr>"
        for index, row in enumerate(rows)
    )
    head = cells(header, "th", " scope=col")
    return _scrolled(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def _breakable(text: str) -> str:
    """Return the text escaped; after each dot and the sign of `a.dotted.key=` a line may end."""
    return re.sub(r"[\w.]+=", lambda key: f"{key[0].replace('.', '.<wbr>')}<wbr>", escape(text))


def _scrolled(table: str) -> str:
    """Return a table that scrolls by itself where it is too wide, by the keyboard too."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="table">{table}</div>'


def sortable_table(
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    texts: Iterable[int],
    sorted_by: tuple[int, bool],
    filtered: str = "",
) -> str:
    """Return a table that is sorted by a click, or a key, on a header; one per section.

    Args:
        header: names of the columns.
        rows: in the order in which they are shown at first.
        texts: indices of the columns of text, to the left; the others are numbers.
        sorted_by: the index of the column that the rows are sorted by, and whether downwards.
        filtered: the name of a field above the table that hides rows without the words typed
            into it; empty for none.
    """
    left = set(texts)
    kinds = ["text" if column in left else "number" for column in range(len(header))]
    order = f' aria-sort="{"descending" if sorted_by[1] else "ascending"}"'
    head = "".join(
        f'<th scope="col" class="{kind}" data-kind="{kind}"'
        f"{order if column == sorted_by[0] else ''}>"
        f'<button type="button">{escape(name)}</button></th>'
        for column, (name, kind) in enumerate(zip(header, kinds, strict=True))
    )
    body = "".join(f"<tr>{''.join(map(_sortable_cell, row, kinds))}</tr>\n" for row in rows)
    field = (
        f'<div class="filter"><input type="search" placeholder="{escape(filtered)}" '
        f'aria-label="{escape(filtered)}"><output class="soft" aria-live="polite"></output></div>'
        if filtered
        else ""
    )
    return field + _scrolled(
        f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def _sortable_cell(cell: Cell, kind: str) -> str:
    value = "" if cell.value is None else f' data-value="{escape(str(cell.value))}"'
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    return f'<td class="{kind}"{value}>{escape(cell.text)}{note}</td>'


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


def legend(names: Iterable[tuple[str, str]]) -> str:
    """Return names beside their colours; a colour is CSS."""
    items = "".join(
        f'<li><span style="background:{escape(colour)}"></span>{escape(name)}</li>'
        for colour, name in names
    )
    return f'<ul class="legend">{items}</ul>'


def side_by_side(*parts: str, halves: bool = False) -> str:
    """Return the parts beside one another, below one another where the screen is narrow.

    Args:
        parts: small ones, or, with `halves`, such that two fill a row.
        halves: whether they are.
    """
    return f'<div class="{"halves" if halves else "row"}">{"".join(parts)}</div>'


def wide(*parts: str) -> str:
    """Return the parts as wide as the screen, wider than text is."""
    return f'<div class="wide">{"".join(parts)}</div>'


def section(title: str, *parts: str) -> str:
    """Return the parts below a heading."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def write_page(path: Path, title: str, *parts: str) -> None:
    """Write the page, whole or not at all."""
    content = "\n".join(parts)
    sortable = 'class="sortable"' in content
    style = _STYLE + (_SORTABLE_STYLE if sortable else "")
    script = f"<script>{_SORTABLE_SCRIPT}</script>\n" if sortable else ""
    write_text(
        path,
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{content}\n{script}</body></html>\n",
    )
