"""Networks as tables: the layers of one, or of several side by side."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from ferlab.networks.shapes import Layer, as_text
from ferlab.reporting.aligned import format_table


def format_network(title: str, layers: Sequence[Layer], form: str = "text") -> str:
    """Return the table of a network: a line per layer, the totals, and what they consist of.

    Args:
        title: above the table.
        layers: the last is the output layer.
        form: one of FORMATS.
    """
    header = ["", "layer", "output", "parameters", "MACs"]
    body = [
        [
            str(index) if index < len(layers) - 1 else "",
            ", ".join(layer.parts),
            as_text(layer.shape),
            f"{layer.parameters:,}",
            f"{layer.macs:,}",
        ]
        for index, layer in enumerate(layers)
    ]
    all_of = _total(layers)
    totals = [["", "all", "", f"{all_of['parameters']:,}", f"{all_of['MACs']:,}"]]
    consists = (
        f"{all_of['trainable']:,} parameters are trainable, {all_of['statistics']:,} are statistics"
        f" of batch normalisation.\n{all_of['MACs'] / 1e6:,.1f} million multiply-accumulates"
        " forward per image."
    )
    table = format_table(header, body, totals, right=(0, 3, 4), form=form)
    return "\n".join([_title(title, form), "", *table, "", consists])


def format_side_by_side(
    title: str, networks: Mapping[str, Sequence[Layer]], form: str = "text"
) -> str:
    """Return a table with a column per network: its layers from the top, then its totals.

    Args:
        title: above the table.
        networks: name -> layers; the last layer of each is its output layer.
        form: one of FORMATS.
    """
    body = []
    for index, row in enumerate(zip_longest(*(layers[:-1] for layers in networks.values()))):
        cells = [layer.parts if layer else () for layer in row]
        if form == "markdown":
            body.append([str(index), *("<br>".join(parts) for parts in cells)])
        else:
            stacked = zip_longest(*cells, fillvalue="")
            body += [["" if depth else str(index), *line] for depth, line in enumerate(stacked)]
    columns = [_total(layers) for layers in networks.values()]
    totals = [[name, *(f"{column[name]:,}" for column in columns)] for name in columns[0]]
    table = format_table(["", *networks], body, totals, right=(), form=form)
    return "\n".join([_title(title, form), "", *table])


def _total(layers: Sequence[Layer]) -> dict[str, int]:
    return {
        "features": layers[-2].shape[0],
        "trainable": sum(layer.trainable for layer in layers),
        "statistics": sum(layer.statistics for layer in layers),
        "parameters": sum(layer.parameters for layer in layers),
        "MACs": sum(layer.macs for layer in layers),
    }


def _title(title: str, form: str) -> str:
    return f"### {title}" if form == "markdown" else title
