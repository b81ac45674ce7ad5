"""What the rows of a network are, leave and cost, without computing anything."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ferlab.emotions import EMOTIONS
from ferlab.networks.build import LayeredNetwork
from ferlab.networks.rows import (
    ACTIVATIONS,
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
from ferlab.networks.shapes import Layer
from ferlab.networks.specs import NetworkSpec


def summarise(spec: NetworkSpec) -> list[Layer]:
    """Return what each row is, leaves and costs; the output layer comes last."""
    with torch.device("meta"):
        network = LayeredNetwork(spec).eval()
        macs = _count_macs(network, torch.empty(1, *spec.input_shape))
    shapes = [*spec.shapes, (len(EMOTIONS),)]
    parts = [*(tuple(_words(row)) for row in spec.rows), (f"Dense {len(EMOTIONS)}", "Softmax")]
    return [
        Layer(
            parts=words,
            shape=shape,
            trainable=sum(parameter.numel() for parameter in module.parameters()),
            statistics=sum(
                buffer.numel() for buffer in module.buffers() if buffer.is_floating_point()
            ),
            macs=sum(macs.get(inner, 0) for inner in module.modules()),
        )
        for words, shape, module in zip(
            parts, shapes, [*network.layers, network.output], strict=True
        )
    ]


def _count_macs(network: LayeredNetwork, image: Tensor) -> dict[nn.Module, int]:
    """Return the multiply-accumulates of each convolution and dense layer for one image."""
    macs = {}

    def count(module: nn.Module, inputs: object, output: Tensor) -> None:
        assert isinstance(module.weight, Tensor)
        macs[module] = output.numel() * module.weight[0].numel()  # each value is one dot product

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network.output(network.features(image))
    return macs


def _words(row: Row) -> Iterator[str]:
    """Yield the row's parts as the report's table names them."""
    match row:
        case Convolution():
            yield f"Conv {row.filters} {_square(row.kernel)}" + "".join(
                f" {key} {value}"
                for key, value, usual in (
                    ("stride", row.stride, 1),
                    ("padding", row.padding, "same"),
                    ("groups", row.groups, 1),
                )
                if value != usual
            )
        case Residual():
            stride = f" stride {row.stride}" if row.stride > 1 else ""
            yield f"Residual {row.filters} {_square(row.kernel)}{stride}"
        case Dense():
            yield f"Dense {row.units}"
        case SqueezeExcite():
            yield f"SqueezeExcite 1/{row.reduction}"
        case MaxPool() | AveragePool():
            stride = f" stride {row.stride}" if row.stride else ""
            yield f"{type(row).__name__} {_square(row.size)}{stride}"
        case Dropout():
            yield f"Dropout {row.probability:g}"
        case GlobalAverage():
            yield "GlobalAverage"
        case Flatten():
            yield "Flatten"
        case Torchvision():
            yield row.network
    if isinstance(row, Convolution | Residual | Dense):
        if row.batch_norm is not None:
            yield "BatchNorm"
        if (activation := ACTIVATIONS[row.activation]) is not None:
            yield activation
    if isinstance(row, Residual) and row.squeeze_excite:
        yield f"SqueezeExcite 1/{row.squeeze_excite}"
    if isinstance(row, Convolution) and row.pool > 1:
        yield f"MaxPool {_square(row.pool)}"
    if isinstance(row, Convolution | Dense) and row.dropout > 0:
        yield f"Dropout {row.dropout:g}"


def _square(side: int) -> str:
    return f"{side}×{side}"
