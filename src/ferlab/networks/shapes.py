"""What a row leaves of the shape that it receives, or why it cannot."""

from dataclasses import dataclass

from ferlab.checks import FerlabError
from ferlab.networks.rows import (
    TORCHVISION,
    AveragePool,
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

Shape = tuple[int, ...]
"""Of one sample: (channels, height, width) of a map, (features,) of a vector."""


@dataclass(frozen=True)
class Layer:
    """What one row of a network is, leaves and costs; or the output layer.

    Attributes:
        parts: in words, in the order of computation.
        shape: of one sample after the row.
        trainable: weights and biases, and scales and shifts of batch normalisation.
        statistics: running means and variances of batch normalisation, which Keras counts as
            parameters too.
        macs: multiply-accumulates of convolutions and dense layers, forward, for one image.
    """

    parts: tuple[str, ...]
    shape: Shape
    trainable: int
    statistics: int
    macs: int

    @property
    def parameters(self) -> int:
        """All parameters, in the report's (Keras') count."""
        return self.trainable + self.statistics


def shape_after(row: Row, shape: Shape) -> Shape:
    """Return the shape that `row` leaves.

    Raises:
        FerlabError: the row cannot take this shape; says why.
    """
    match row:
        case Convolution():
            channels, _, _ = _map(shape, "conv")
            _check_groups(row, channels)
            convolved = _convolved(row.filters, row.kernel, row.stride, row.padding, shape)
            return _pooled(row.pool, row.pool, convolved)
        case Residual():
            _check_reduction(row.squeeze_excite or 1, row.filters)
            maps = _map(shape, "residual")
            return _convolved(row.filters, row.kernel, row.stride, "same", maps)
        case SqueezeExcite():
            channels, _, _ = _map(shape, "squeeze_excite")
            _check_reduction(row.reduction, channels)
            return shape
        case MaxPool():
            return _pooled(row.size, row.stride or row.size, _map(shape, "max_pool"))
        case AveragePool():
            return _pooled(row.size, row.stride or row.size, _map(shape, "average_pool"))
        case GlobalAverage():
            channels, _, _ = _map(shape, "global_average")
            return (channels,)
        case Torchvision():
            _map(shape, "torchvision")
            return (TORCHVISION[row.network],)
        case Flatten():
            if len(shape) == 1:
                raise FerlabError("flatten of what is a vector already; remove the row")
            channels, height, width = shape
            return (channels * height * width,)
        case Dense():
            if len(shape) == 3:
                raise FerlabError(
                    f"dense needs a vector, but receives a map of {as_text(shape)}; "
                    "put `flatten` or `global_average` before"
                )
            return (row.units,)
        case Dropout():
            return shape


def as_text(shape: Shape) -> str:
    """Return a shape as `64×24×24`."""
    return "×".join(str(size) for size in shape)


def _map(shape: Shape, kind: str) -> Shape:
    """Return the shape, or raise FerlabError unless it is a map's."""
    if len(shape) == 1:
        raise FerlabError(f"{kind} needs a map, but receives a vector; put it before `flatten`")
    return shape


def _convolved(filters: int, kernel: int, stride: int, padding: int | str, shape: Shape) -> Shape:
    _, height, width = shape
    if isinstance(padding, str):  # same
        if stride > 1 and kernel % 2 == 0:
            raise FerlabError(f"padding 'same' with a stride needs an odd kernel; got {kernel}")
        return (filters, -(-height // stride), -(-width // stride))
    height, width = height + 2 * padding, width + 2 * padding
    if kernel > min(height, width):
        raise FerlabError(
            f"a {kernel}×{kernel} convolution of a {as_text(shape[1:])} map with padding {padding}"
        )
    return (filters, (height - kernel) // stride + 1, (width - kernel) // stride + 1)


def _pooled(size: int, stride: int, shape: Shape) -> Shape:
    channels, height, width = shape
    if size > min(height, width):
        raise FerlabError(f"a {size}×{size} pooling of a {height}×{width} map")
    return (channels, (height - size) // stride + 1, (width - size) // stride + 1)


def _check_groups(row: Convolution, channels: int) -> None:
    if channels % row.groups or row.filters % row.groups:
        raise FerlabError(
            f"groups must divide the {channels} channels that come in and the {row.filters} "
            f"filters; got {row.groups}"
        )


def _check_reduction(reduction: int, channels: int) -> None:
    if reduction > channels:
        raise FerlabError(
            f"squeeze_excite must be at most the number of channels, {channels}; got {reduction}"
        )
