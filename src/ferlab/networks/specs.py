"""Layer specs: a network as a list of rows, checked and measured before anything is built."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ferlab.checks import FerlabError, did_you_mean

Shape = tuple[int, ...]
"""Of one sample: (channels, height, width) before `flatten`, (features,) after it."""

INPUT_SHAPE: Shape = (1, 48, 48)

ACTIVATIONS = ("relu", "elu", "gelu", "silu", "tanh", "none")
INITIALISATIONS = ("keras", "torch")


@dataclass(frozen=True)
class Convolution:
    """A 2-D convolution with 'same' padding; then, each where asked for, in this order:

    batch normalisation, activation, max-pooling, dropout.

    Attributes:
        filters: output channels.
        kernel: side of the square kernel, pixels.
        batch_norm: whether to normalise before the activation.
        activation: one of ACTIVATIONS.
        pool: side and stride of the max-pooling; 1 pools nothing.
        dropout: probability that a value is zeroed in training.
    """

    filters: int
    kernel: int = 3
    batch_norm: bool = False
    activation: str = "relu"
    pool: int = 1
    dropout: float = 0.0


@dataclass(frozen=True)
class Dense:
    """A fully connected layer; then, each where asked for: normalisation, activation, dropout.

    Attributes: as of Convolution; `units` is the number of outputs.
    """

    units: int
    batch_norm: bool = False
    activation: str = "relu"
    dropout: float = 0.0


@dataclass(frozen=True)
class Flatten:
    """A map of (channels, height, width) as one vector."""


Row = Convolution | Dense | Flatten


@dataclass(frozen=True)
class NetworkSpec:
    """A checked network: its rows, and the shape of one sample after each of them.

    The output layer, dense with one logit per class, is implied.
    """

    name: str
    rows: tuple[Row, ...]
    shapes: tuple[Shape, ...]
    initialisation: str

    @property
    def n_features(self) -> int:
        """Width of the penultimate features, the input of the output layer."""
        return self.shapes[-1][0]


def parse_network(
    layers: Sequence[object], name: str = "network", initialisation: str = "keras"
) -> NetworkSpec:
    """Return the checked spec of a list of rows, as they stand in `conf/model/*.yaml`.

    A row is the word `flatten` or a mapping that begins with `conv: FILTERS` or `dense: UNITS`.

    Raises:
        FerlabError: names the row, counted from 0 as in `model.layers.0.kernel=3`, and the reason.
    """
    if initialisation not in INITIALISATIONS:
        raise FerlabError(
            f"model {name}: initialisation must be one of {', '.join(INITIALISATIONS)}; "
            f"got {initialisation!r}"
        )
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise FerlabError(f"model {name}: layers must be a list of rows; got {layers!r}")
    rows: list[Row] = []
    shapes: list[Shape] = []
    shape = INPUT_SHAPE
    for index, layer in enumerate(layers):
        try:
            row = _parse_row(layer)
            shape = _shape_after(row, shape)
        except FerlabError as error:
            raise FerlabError(f"model {name}, layer {index}: {error}") from None
        rows.append(row)
        shapes.append(shape)
    if len(shape) != 1:
        raise FerlabError(
            f"model {name}: the last layer leaves a map of {_text(shape)}, but the output layer "
            "needs a vector; add the row `flatten`"
        )
    return NetworkSpec(name, tuple(rows), tuple(shapes), initialisation)


def to_layers(spec: NetworkSpec) -> list[object]:
    """Return the rows as plain YAML values that `parse_network` reads back to the same spec."""
    return [_to_layer(row) for row in spec.rows]


def _to_layer(row: Row) -> object:
    if isinstance(row, Flatten):
        return "flatten"
    values = dict(vars(row))
    kind = "conv" if isinstance(row, Convolution) else "dense"
    return {kind: values.pop("filters" if kind == "conv" else "units"), **values}


def _parse_row(layer: object) -> Row:
    if layer == "flatten":
        return Flatten()
    if not isinstance(layer, Mapping) or len({"conv", "dense"} & layer.keys()) != 1:
        raise FerlabError(
            f"a row is `flatten` or a mapping with one of the keys conv, dense; got {layer!r}"
        )
    values = dict(layer)
    kind = "conv" if "conv" in values else "dense"
    row_type, known = _KINDS[kind]
    width = _positive_integer(kind, values.pop(kind))
    for key, value in values.items():
        if key not in known:
            raise FerlabError(
                f"unknown key {key!r}{did_you_mean(key, known)}; {kind} takes {', '.join(known)}"
            )
        _CHECKS[key](key, value)
    return row_type(width, **values)


def _positive_integer(key: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise FerlabError(f"{key} must be a positive integer; got {value!r}")
    return value


def _boolean(key: str, value: object) -> None:
    if not isinstance(value, bool):
        raise FerlabError(f"{key} must be true or false; got {value!r}")


def _probability(key: str, value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise FerlabError(f"{key} must be a number in [0, 1); got {value!r}")


def _activation(key: str, value: object) -> None:
    if value not in ACTIVATIONS:
        raise FerlabError(
            f"{key} must be one of {', '.join(ACTIVATIONS)}; got {value!r}"
            f"{did_you_mean(value, ACTIVATIONS)}"
        )


_KINDS: dict[str, tuple[type[Convolution] | type[Dense], tuple[str, ...]]] = {
    "conv": (Convolution, ("kernel", "batch_norm", "activation", "pool", "dropout")),
    "dense": (Dense, ("batch_norm", "activation", "dropout")),
}

_CHECKS: dict[str, Callable[[str, object], object]] = {
    "kernel": _positive_integer,
    "batch_norm": _boolean,
    "activation": _activation,
    "pool": _positive_integer,
    "dropout": _probability,
}


def _shape_after(row: Row, shape: Shape) -> Shape:
    if isinstance(row, Flatten):
        if len(shape) == 1:
            raise FerlabError("flatten of what is a vector already; remove the row")
        channels, height, width = shape
        return (channels * height * width,)
    if isinstance(row, Dense):
        if len(shape) == 3:
            raise FerlabError(
                f"dense needs a vector, but receives a map of {_text(shape)}; put `flatten` before"
            )
        return (row.units,)
    if len(shape) == 1:
        raise FerlabError("conv needs a map, but receives a vector; put it before `flatten`")
    _, height, width = shape
    if row.pool > min(height, width):
        raise FerlabError(f"a {row.pool}×{row.pool} pooling of a {height}×{width} map")
    return (row.filters, height // row.pool, width // row.pool)


def _text(shape: Shape) -> str:
    return "×".join(str(size) for size in shape)
