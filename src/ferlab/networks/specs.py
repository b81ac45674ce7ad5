"""Layer specs: a network as a list of rows, checked and measured before anything is built."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

from ferlab.checks import (
    FerlabError,
    check_choice,
    check_integer,
    check_keys,
    check_number,
    did_you_mean,
)
from ferlab.emotions import IMAGE_SIZE
from ferlab.networks.rows import (
    ACTIVATIONS,
    TORCHVISION,
    AveragePool,
    BatchNorm,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    GlobalAverage,
    MaxPool,
    Residual,
    Row,
    SqueezeExcite,
    Torchvision,
)
from ferlab.networks.shapes import Shape, as_text, shape_after

INITIALISATIONS = ("keras", "torch", "kaiming")


@dataclass(frozen=True)
class NetworkSpec:
    """A checked network: its rows, and the shape of one sample after each of them.

    The output layer, dense with one logit per class, is implied.

    Attributes:
        name: of letters, digits, `.`, `_`, `-`.
        rows: in the order of computation.
        shapes: after each row.
        initialisation: of the weights, one of INITIALISATIONS.
        input_size: side of the images, or of the crops of them, that the first row sees, pixels.
    """

    name: str
    rows: tuple[Row, ...]
    shapes: tuple[Shape, ...]
    initialisation: str
    input_size: int

    @property
    def input_shape(self) -> Shape:
        """Shape of one image or crop: (1, height, width)."""
        return (1, self.input_size, self.input_size)

    @property
    def n_features(self) -> int:
        """Width of the penultimate features, the input of the output layer."""
        return self.shapes[-1][0]


def parse_model(model: Mapping[str, Any]) -> NetworkSpec:
    """Return the checked spec of a model group, the mapping that a `conf/model/*.yaml` holds.

    Raises:
        FerlabError: a key is unknown or missing, or as of `parse_network`.
    """
    check_keys("model", model, ("name", "initialisation", "input_size", "layers"))
    if "layers" not in model:
        raise FerlabError("model lacks the key layers, its list of rows")
    return parse_network(**model)


def parse_network(
    layers: Sequence[object],
    name: str = "network",
    initialisation: str = "keras",
    input_size: int = IMAGE_SIZE,
) -> NetworkSpec:
    """Return the checked spec of a list of rows, as they stand in `conf/model/*.yaml`.

    A row is one of the words `flatten` and `global_average`, or a mapping of its kind
    (`conv: FILTERS`, `dense: UNITS`, `residual: FILTERS`, `torchvision: NETWORK`,
    `max_pool: SIZE`, `average_pool: SIZE`, `squeeze_excite: REDUCTION`, `dropout: PROBABILITY`)
    and of what `ferlab.networks.rows` lists for that kind. `batch_norm` is true, false or
    `{momentum: 0.1, epsilon: 1e-5}`, the momentum PyTorch's; true is Keras' normalisation.

    Args:
        layers: the rows.
        name: of the network.
        initialisation: `keras`: Glorot uniform weights, zero biases; `kaiming`: He normal weights,
            zero biases; `torch`: as PyTorch's and torchvision's modules do by themselves.
        input_size: side of the centre of the images that the network sees, pixels, at most 48.

    Raises:
        FerlabError: names the row, counted from 0 as in `model.layers.0.kernel=3`, and the reason.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise FerlabError(f"model.name must be of letters, digits, '.', '_', '-'; got {name!r}")
    check_choice(f"model {name}: initialisation", initialisation, INITIALISATIONS)
    check_integer(f"model {name}: input_size", input_size, at_least=1, at_most=IMAGE_SIZE)
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise FerlabError(f"model {name}: layers must be a list of rows; got {layers!r}")
    rows: list[Row] = []
    shapes: list[Shape] = []
    shape: Shape = (1, input_size, input_size)
    for index, layer in enumerate(layers):
        try:
            row = _parse_row(layer)
            shape = shape_after(row, shape)
        except FerlabError as error:
            raise FerlabError(f"model {name}, layer {index}: {error}") from None
        rows.append(row)
        shapes.append(shape)
    if len(shape) != 1:
        raise FerlabError(
            f"model {name}: the last layer leaves a map of {as_text(shape)}, but the output layer "
            "needs a vector; add the row `flatten` or `global_average`"
        )
    return NetworkSpec(name, tuple(rows), tuple(shapes), initialisation, input_size)


def to_layers(spec: NetworkSpec) -> list[object]:
    """Return the rows as plain YAML values that `parse_network` reads back to the same spec."""
    return [_to_layer(row) for row in spec.rows]


_WORDS: dict[str, Row] = {"flatten": Flatten(), "global_average": GlobalAverage()}

_KINDS: dict[str, type[Row]] = {
    "conv": Convolution,
    "dense": Dense,
    "residual": Residual,
    "torchvision": Torchvision,
    "max_pool": MaxPool,
    "average_pool": AveragePool,
    "squeeze_excite": SqueezeExcite,
    "dropout": Dropout,
}
"""In this order: the last two are keys of the first three as well."""


def _to_layer(row: Row) -> object:
    """Return the row with all its values, so that it means the same if a default changes."""
    for word, meant in _WORDS.items():
        if row == meant:
            return word
    kind = next(name for name, row_type in _KINDS.items() if isinstance(row, row_type))
    first, *others = asdict(row).items()
    return {kind: first[1], **{key: value for key, value in others if value is not None}}


def _parse_row(layer: object) -> Row:
    if isinstance(layer, str) and layer in _WORDS:
        return _WORDS[layer]
    values = dict(layer) if isinstance(layer, Mapping) else {}
    kind = next((kind for kind in _KINDS if kind in values), None)
    if kind is None:
        hint = did_you_mean(next(iter(values), layer), [*_WORDS, *_KINDS])
        raise FerlabError(
            f"a row is {' or '.join(_WORDS)}, or a mapping with one of the keys "
            f"{', '.join(_KINDS)}; got {layer!r}{hint}"
        )
    row_type = _KINDS[kind]
    own, *known = (field.name for field in fields(row_type))
    checked = {own: _CHECKS[kind](kind, values.pop(kind))}
    for key, value in values.items():
        if key not in known:
            raise FerlabError(
                f"unknown key {key!r}{did_you_mean(key, known)}; "
                f"{kind} takes {', '.join(known) or 'no key'}"
            )
        checked[key] = _CHECKS[key](key, value)
    return row_type(**checked)


def _probability(key: str, value: object) -> float:
    return check_number(key, value, at_least=0, below=1)


def _padding(key: str, value: object) -> int | str:
    if value == "same":
        return "same"
    if isinstance(value, str):
        raise FerlabError(f"{key} must be 'same' or an integer >= 0; got {value!r}")
    return check_integer(key, value, at_least=0, at_most=IMAGE_SIZE)


def _batch_norm(key: str, value: object) -> BatchNorm | None:
    if isinstance(value, bool):
        return BatchNorm() if value else None
    known = [field.name for field in fields(BatchNorm)]
    if not isinstance(value, Mapping):
        raise FerlabError(
            f"{key} must be true, false or a mapping of {', '.join(known)}; got {value!r}"
        )
    check_keys(key, value, known)
    norm = BatchNorm(**value)
    check_number(f"{key}.momentum", norm.momentum, above=0, at_most=1)
    check_number(f"{key}.epsilon", norm.epsilon, above=0, at_most=1)
    return norm


_count = partial(check_integer, at_least=1, at_most=65536)
_side = partial(check_integer, at_least=1, at_most=IMAGE_SIZE)

_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "conv": _count,
    "dense": _count,
    "residual": _count,
    "squeeze_excite": _count,
    "max_pool": _side,
    "average_pool": _side,
    "dropout": _probability,
    "torchvision": partial(check_choice, allowed=TORCHVISION),
    "kernel": _side,
    "stride": _side,
    "padding": _padding,
    "groups": _count,
    "batch_norm": _batch_norm,
    "activation": partial(check_choice, allowed=ACTIVATIONS),
    "pool": _side,
}
"""Of each kind's own value and of each key, which means the same in every kind that takes it."""
