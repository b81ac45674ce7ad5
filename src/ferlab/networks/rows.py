"""The kinds of rows that a network is a list of, as plain values."""

from dataclasses import dataclass

ACTIVATIONS = {
    "relu": "ReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "tanh": "Tanh",
    "none": None,
}
"""What a configuration calls an activation -> its name in `torch.nn`, None for the identity."""

TORCHVISION = {"resnet18": 512, "resnet34": 512}
"""Networks of torchvision that can stand in for a list of layers -> width of their features."""


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation (Ioffe & Szegedy 2015); the defaults are Keras'.

    Attributes:
        momentum: weight of the newest batch in the running statistics, in (0, 1]: PyTorch's
            momentum, which is 1 - Keras' momentum.
        epsilon: added to the variance, > 0.
    """

    momentum: float = 0.01
    epsilon: float = 1e-3


@dataclass(frozen=True)
class Convolution:
    """A 2-D convolution with bias; then, each where asked for, in this order:

    batch normalisation, activation, max-pooling, dropout.

    Attributes:
        filters: output channels.
        kernel: side of the square kernel, pixels.
        stride: step of the kernel, pixels.
        padding: zeros around the map, pixels; `same` leaves ceil(side / stride) pixels.
        groups: parts into which the channels are divided, each convolved on its own.
        batch_norm: the normalisation before the activation, None for none.
        activation: one of ACTIVATIONS.
        pool: side and stride of the max-pooling; 1 pools nothing.
        dropout: probability that a value is zeroed in training.
    """

    filters: int
    kernel: int = 3
    stride: int = 1
    padding: int | str = "same"
    groups: int = 1
    batch_norm: BatchNorm | None = None
    activation: str = "relu"
    pool: int = 1
    dropout: float = 0.0


@dataclass(frozen=True)
class Residual:
    """Two 'same' convolutions beside a shortcut, added before the last activation.

    The basic block of He et al. 2016 (CVPR, fig. 2); the shortcut is a 1×1 convolution where the
    shape changes, else the identity. Squeeze-and-excitation stands before the addition.

    Attributes:
        filters: output channels.
        kernel: side of both square kernels, pixels.
        stride: step of the first kernel, pixels.
        batch_norm: after each convolution, which then has no bias; None for none.
        activation: one of ACTIVATIONS, after the first convolution and after the addition.
        squeeze_excite: the reduction, as of SqueezeExcite; None for none.
    """

    filters: int
    kernel: int = 3
    stride: int = 1
    batch_norm: BatchNorm | None = None
    activation: str = "relu"
    squeeze_excite: int | None = None


@dataclass(frozen=True)
class SqueezeExcite:
    """Channels weighed by what all of them see (Hu, Shen & Sun 2018, CVPR).

    Attributes:
        reduction: channels per unit of the narrow layer; at most the number of channels.
    """

    reduction: int


@dataclass(frozen=True)
class MaxPool:
    """The largest value of each window; what does not fill a window is left out.

    Attributes:
        size: side of the window, pixels.
        stride: step of the window, pixels; None: its side.
    """

    size: int
    stride: int | None = None


@dataclass(frozen=True)
class AveragePool:
    """The mean of each window; what does not fill a window is left out.

    Attributes: as of MaxPool.
    """

    size: int
    stride: int | None = None


@dataclass(frozen=True)
class GlobalAverage:
    """The mean of each channel: a map as a vector of its channels (Lin, Chen & Yan 2014)."""


@dataclass(frozen=True)
class Flatten:
    """A map of (channels, height, width) as one vector."""


@dataclass(frozen=True)
class Dense:
    """A fully connected layer; then, each where asked for: normalisation, activation, dropout.

    Attributes: as of Convolution; `units` is the number of outputs.
    """

    units: int
    batch_norm: BatchNorm | None = None
    activation: str = "relu"
    dropout: float = 0.0


@dataclass(frozen=True)
class Dropout:
    """Values zeroed in training, the others scaled up (Srivastava et al. 2014).

    Attributes:
        probability: that a value is zeroed.
    """

    probability: float


@dataclass(frozen=True)
class Torchvision:
    """A network of torchvision less its last layer, from random weights, fit for small images.

    As is usual at this size, its first convolution is 3×3 with stride 1 and no pooling follows.

    Attributes:
        network: one of TORCHVISION.
    """

    network: str


Row = (
    Convolution
    | Residual
    | SqueezeExcite
    | MaxPool
    | AveragePool
    | GlobalAverage
    | Flatten
    | Dense
    | Dropout
    | Torchvision
)
