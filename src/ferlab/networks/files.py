"""A trained network as two files, all that inference needs: weights and a description."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ferlab.augment.crops import TEST_TIME
from ferlab.checks import FerlabError, check_choice
from ferlab.emotions import EMOTIONS
from ferlab.files import digest_file, read_yaml, replacing, write_text
from ferlab.networks.build import LayeredNetwork
from ferlab.networks.specs import NetworkSpec, parse_model, to_layers

DESCRIPTION = "model.yaml"
WEIGHTS = "model.safetensors"

_TYPES = {"F16": "float32", "F32": "float32", "F64": "float64", "I64": "int64"}
"""What a tensor of the type that safetensors calls so is read as."""


class Description(NamedTuple):
    """What a `model.yaml` says.

    Attributes:
        spec: the network.
        test_time: what its predictions are averaged over, one of TEST_TIME.
        trained_on: digest of the training images whose split it was trained by, as
            `ImageStore.digest_of` gives it; None where nobody knows.
        sha256: of the weights beside it, in hex; None where none was written.
    """

    spec: NetworkSpec
    test_time: str
    trained_on: object
    sha256: object


def save_network(
    network: LayeredNetwork,
    folder: Path,
    test_time: str = "none",
    trained_on: str | None = None,
    half: bool = False,
) -> None:
    """Write `model.safetensors` and `model.yaml` into `folder`.

    Args:
        network: what is written.
        folder: is made where there is none.
        test_time: what its predictions are averaged over unless somebody asks for another, one of
            TEST_TIME.
        trained_on: digest of the training images, as `ImageStore.digest_of` gives it.
        half: whether in fp16, half the bytes; `load_network` reads both.

    Raises:
        FerlabError: a weight is too large for fp16; nothing is written.
    """
    weights = {
        name: value.detach().to("cpu").contiguous(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
    if half:
        weights = {
            name: value.half() if value.is_floating_point() else value
            for name, value in weights.items()
        }
        for name, value in weights.items():
            if not value.isfinite().all():
                raise FerlabError(f"{name} holds values too large for fp16; keep it in fp32")
    with replacing(folder / WEIGHTS) as partial:
        partial.write_bytes(save(weights))
    description = {
        **_describe(network.spec),
        "test_time": test_time,
        **({"trained_on": trained_on} if trained_on else {}),
        "sha256": digest_weights(folder),
    }
    write_text(
        folder / DESCRIPTION, yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
    )


def load_network(folder: Path) -> LayeredNetwork:
    """Return the network that `save_network` wrote into `folder`, ready to predict.

    Nothing in the files is executed: the description is plain YAML, the weights are plain numbers.

    Raises:
        FerlabError: a file is missing, damaged, or does not fit; names the file.
    """
    _check_is_file(folder / DESCRIPTION)
    _check_is_file(folder / WEIGHTS)
    with torch.device("meta"):  # no memory until the weights are known to fit
        description = read_description(folder / DESCRIPTION)
        network = LayeredNetwork(description.spec)
    weights = _read_weights(folder / WEIGHTS, network.state_dict())
    if description.sha256 not in (None, digest_weights(folder)):
        raise FerlabError(
            f"{folder / WEIGHTS} is damaged (its SHA-256 is not the one in {DESCRIPTION}); "
            "copy the folder again"
        )
    network.to_empty(device="cpu").load_state_dict(weights)
    return network.eval()


def read_description(file: Path) -> Description:
    """Return what a `model.yaml` says.

    Raises:
        FerlabError: the file is damaged, or is not of these classes and images.
        OSError: it cannot be read.
    """
    description = read_yaml(file)
    classes, images = (description.pop(key, None) for key in ("classes", "input"))
    digest, test_time = description.pop("sha256", None), description.pop("test_time", "none")
    trained_on = description.pop("trained_on", None)
    if classes != list(EMOTIONS):
        raise FerlabError(f"{file}: classes must be {', '.join(EMOTIONS)}; got {classes!r}")
    try:
        size = images["shape"][-1]
    except (TypeError, KeyError, IndexError):
        raise FerlabError(f"{file}: input must hold a shape and a scale; got {images!r}") from None
    try:
        check_choice("test_time", test_time, TEST_TIME)
        spec = parse_model({**description, "input_size": size})
    except FerlabError as error:
        raise FerlabError(f"{file}: {error}") from None
    if images != (wanted := _describe(spec)["input"]):
        raise FerlabError(f"{file}: input must be {wanted!r}; got {images!r}")
    return Description(spec, test_time, trained_on, digest)


def digest_weights(folder: Path) -> str:
    """Return the SHA-256 of the weights in `folder`, in hex.

    Raises:
        FerlabError: there are none.
    """
    _check_is_file(folder / WEIGHTS)
    return digest_file(folder / WEIGHTS)


def _check_is_file(file: Path) -> None:
    if not file.is_file():  # a device could be read for ever
        raise FerlabError(f"there is no {file}; a model is a folder with both of its files")


def _describe(spec: NetworkSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "initialisation": spec.initialisation,
        "layers": to_layers(spec),
        "classes": list(EMOTIONS),
        "input": {"shape": list(spec.input_shape), "scale": 1 / 255},  # grey levels to [0, 1]
    }


def _read_weights(file: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the file, whose names, shapes and types are those of `expected`.

    fp16 is taken for fp32. Nothing but the header is read before all of them are known to fit.
    """
    wanted = {
        name: _kind(str(value.dtype).removeprefix("torch."), value.shape)
        for name, value in expected.items()
    }
    try:
        with safe_open(file, framework="pt") as content:
            parts = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118
            there = {
                name: _kind(_TYPES.get(part.get_dtype(), part.get_dtype()), part.get_shape())
                for name, part in parts.items()
            }
            for name in {**wanted, **there}:
                if there.get(name) != wanted.get(name):
                    raise FerlabError(
                        f"{file} does not fit {DESCRIPTION}: {name} is "
                        f"{there.get(name, 'absent')}, not {wanted.get(name, 'absent')}"
                    )
            return {name: content.get_tensor(name).to(expected[name].dtype) for name in parts}
    except SafetensorError as error:
        raise FerlabError(f"{file} is damaged ({error})") from error


def _kind(dtype: str, shape: Iterable[int]) -> str:
    return f"{dtype} {tuple(shape)}"
