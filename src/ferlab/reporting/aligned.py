"""Tables with aligned columns, as plain text or as Markdown."""

from collections.abc import Sequence

FORMATS = ("text", "markdown")


def format_table(
    header: Sequence[str],
    body: Sequence[Sequence[str]],
    totals: Sequence[Sequence[str]],
    right: Sequence[int],
    form: str,
) -> list[str]:
    """Return the lines of a table; the columns in `right` are aligned there.

    Args:
        header: names of the columns.
        body: the rows.
        totals: further rows; as text below a rule.
        right: indices of columns.
        form: one of FORMATS.
    """
    lines = [header, *body, *totals]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    cells = [
        [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]
    if form == "markdown":
        rule = [
            "-" * (width - 1) + (":" if column in right else "-")
            for column, width in enumerate(widths)
        ]
        return [f"| {' | '.join(line)} |" for line in (cells[0], rule, *cells[1:])]
    text = ["  ".join(line).rstrip() for line in cells]
    across = "-" * max(map(len, text))
    end = 1 + len(body)
    below = [across, *text[end:]] if totals else []
    return [text[0], across, *text[1:end], *below]
