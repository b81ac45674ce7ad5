"""Networks from checked specs."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from ferlab.checks import FerlabError
from ferlab.emotions import EMOTIONS
from ferlab.networks.blocks import (
    RISING,
    PackedDropout,
    ResidualBlock,
    make_activation,
    make_batch_norm,
    make_convolution,
    make_squeeze_excite,
    make_torchvision,
)
from ferlab.networks.rows import (
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
from ferlab.networks.specs import NetworkSpec


class LayeredNetwork(nn.Module):
    """The network of a spec: images to logits, one module per row and an output layer.

    It sees the centre of larger images: a spec with an `input_size` of 40 takes images of 48×48
    as well as crops of 40×40.

    Attributes:
        spec: what it was built from.
        input_size: side of the square of pixels that it sees.
        layers: the rows, in order.
        output: the implied dense layer, one logit per class.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.input_size = spec.input_size
        inputs = (spec.input_shape, *spec.shapes)
        self.layers = nn.Sequential(
            *(_build_row(row, shape[0]) for row, shape in zip(spec.rows, inputs, strict=False))
        )
        self.output = nn.Linear(spec.n_features, len(EMOTIONS))
        if spec.initialisation != "torch":
            self.apply(_INITIALISE[spec.initialisation])

    def features(self, images: Tensor) -> Tensor:
        """Return the penultimate features float32 (B, D) of images (B, 1, H, W) in [0, 1].

        H and W are `input_size` or more; of more, the centre is seen.
        """
        features: Tensor = self.layers(_centre(images, self.input_size))
        return features.float() if features.dtype.itemsize < 4 else features

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, 7), classes in canonical order, of images as of `features`."""
        features = self.features(images)
        # In bf16 the logits would have 8 significant bits: close classes would tie.
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.output(features)
        return logits


MOST_PARAMETERS = 10**9
"""4 GB of weights; vggnet has 3 % of it."""


def build_network(spec: NetworkSpec, seed: int = 0) -> LayeredNetwork:
    """Return the network of `spec`, its initial weights a function of `seed` alone.

    Raises:
        FerlabError: it would have more than MOST_PARAMETERS; no memory is taken for them.
    """
    with torch.device("meta"):
        n_parameters = sum(weights.numel() for weights in LayeredNetwork(spec).parameters())
    if n_parameters > MOST_PARAMETERS:
        raise FerlabError(
            f"model {spec.name} would have {n_parameters:,} parameters; at most "
            f"{MOST_PARAMETERS:,} are built"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LayeredNetwork(spec)


def _centre(images: Tensor, size: int) -> Tensor:
    """Return the central square (B, 1, size, size) of images (B, 1, H, W)."""
    height, width = images.shape[-2:]
    if min(height, width) < size:
        raise ValueError(f"the network sees {size}×{size} pixels; got images of {height}×{width}")
    top, left = (height - size) // 2, (width - size) // 2
    return images[..., top : top + size, left : left + size]


def _build_row(row: Row, n_inputs: int) -> nn.Module:
    match row:
        case Convolution() | Dense():
            return _build_layer(row, n_inputs)
        case Residual():
            return ResidualBlock(n_inputs, row)
        case SqueezeExcite():
            return make_squeeze_excite(n_inputs, row.reduction)
        case MaxPool():
            return nn.MaxPool2d(row.size, row.stride)
        case AveragePool():
            return nn.AvgPool2d(row.size, row.stride)
        case GlobalAverage():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case Flatten():
            return nn.Flatten()
        case Dropout():
            return PackedDropout(row.probability)
        case Torchvision():
            return make_torchvision(row.network, n_inputs)


def _build_layer(row: Convolution | Dense, n_inputs: int) -> nn.Module:
    """Return the layer with its normalisation, activation, pooling and dropout, by name."""
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    if isinstance(row, Convolution):
        n_outputs = row.filters
        modules["conv"] = make_convolution(
            n_inputs,
            row.filters,
            row.kernel,
            stride=row.stride,
            padding=row.padding,
            groups=row.groups,
        )
    else:
        n_outputs = row.units
        modules["dense"] = nn.Linear(n_inputs, row.units)
    if row.batch_norm is not None:
        modules["batch_norm"] = make_batch_norm(
            row.batch_norm, n_outputs, of_maps=isinstance(row, Convolution)
        )
    if row.activation != "none":
        modules["activation"] = make_activation(row.activation)
    if isinstance(row, Convolution) and row.pool > 1:
        modules["pool"] = nn.MaxPool2d(row.pool)
        if row.activation in RISING:  # the same values, of a quarter of the map or less
            modules.move_to_end("activation")
    if row.dropout > 0:
        modules["dropout"] = PackedDropout(row.dropout)
    return nn.Sequential(modules)


def _initialise_as_keras(module: nn.Module) -> None:
    """Glorot uniform weights, zero biases (Glorot & Bengio 2010; the defaults of Keras)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        _zero_bias(module)


def _initialise_as_kaiming(module: nn.Module) -> None:
    """He normal weights, zero biases (He et al. 2015)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        _zero_bias(module)


def _zero_bias(module: nn.Conv2d | nn.Linear) -> None:
    if module.bias is not None:
        nn.init.zeros_(module.bias)


_INITIALISE = {"keras": _initialise_as_keras, "kaiming": _initialise_as_kaiming}
