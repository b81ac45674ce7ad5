"""Networks from checked specs."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from ferlab.emotions import EMOTIONS
from ferlab.networks.specs import INPUT_SHAPE, Convolution, Flatten, NetworkSpec, Row

# Keras' defaults, in PyTorch's terms: its momentum 0.99 weighs the past, ours the present.
MOMENTUM, EPSILON = 0.01, 1e-3

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class LayeredNetwork(nn.Module):
    """The network of a spec: images to logits, one module per row and an output layer.

    Attributes:
        spec: what it was built from.
        layers: the rows, in order.
        output: the implied dense layer, one logit per class.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        inputs = (INPUT_SHAPE, *spec.shapes)
        self.layers = nn.Sequential(
            *(_build_row(row, shape[0]) for row, shape in zip(spec.rows, inputs, strict=False))
        )
        self.output = nn.Linear(spec.n_features, len(EMOTIONS))
        if spec.initialisation == "keras":
            self.apply(_initialise_as_keras)

    def features(self, images: Tensor) -> Tensor:
        """Return the penultimate features float32 (B, D) of images (B, 1, 48, 48) in [0, 1]."""
        features: Tensor = self.layers(images)
        return features.float() if features.dtype == torch.bfloat16 else features

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, 7), classes in canonical order, of images (B, 1, 48, 48)."""
        features = self.features(images)
        # In bf16 the logits would have 8 significant bits: close classes would tie.
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.output(features)
        return logits


def build_network(spec: NetworkSpec, seed: int = 0) -> LayeredNetwork:
    """Return the network of `spec`, its initial weights a function of `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LayeredNetwork(spec)


def _build_row(row: Row, n_inputs: int) -> nn.Module:
    if isinstance(row, Flatten):
        return nn.Flatten()
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    if isinstance(row, Convolution):
        modules["conv"] = nn.Conv2d(n_inputs, row.filters, row.kernel, padding="same")
        if row.batch_norm:
            modules["batch_norm"] = nn.BatchNorm2d(row.filters, eps=EPSILON, momentum=MOMENTUM)
    else:
        modules["dense"] = nn.Linear(n_inputs, row.units)
        if row.batch_norm:
            modules["batch_norm"] = nn.BatchNorm1d(row.units, eps=EPSILON, momentum=MOMENTUM)
    if row.activation != "none":
        modules["activation"] = _ACTIVATIONS[row.activation]()
    if isinstance(row, Convolution) and row.pool > 1:
        modules["pool"] = nn.MaxPool2d(row.pool)
    if row.dropout > 0:
        modules["dropout"] = nn.Dropout(row.dropout)
    return nn.Sequential(modules)


def _initialise_as_keras(module: nn.Module) -> None:
    """Glorot uniform weights, zero biases (Glorot & Bengio 2010; the defaults of Keras)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
