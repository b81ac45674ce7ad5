"""A trained network as two files, all that inference needs: weights and a description."""

from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ferlab.checks import FerlabError
from ferlab.emotions import EMOTIONS
from ferlab.files import read_yaml, replacing, write_text
from ferlab.networks.build import LayeredNetwork
from ferlab.networks.specs import NetworkSpec, parse_model, to_layers

DESCRIPTION = "model.yaml"
WEIGHTS = "model.safetensors"


def save_network(network: LayeredNetwork, folder: Path) -> None:
    """Write `model.safetensors` and `model.yaml` into `folder`."""
    weights = {
        name: value.detach().to("cpu").contiguous(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
    with replacing(folder / WEIGHTS) as partial:
        partial.write_bytes(save(weights))
    description = yaml.safe_dump(_describe(network.spec), sort_keys=False, allow_unicode=True)
    write_text(folder / DESCRIPTION, description)


def load_network(folder: Path) -> LayeredNetwork:
    """Return the network that `save_network` wrote into `folder`, ready to predict.

    Nothing in the files is executed: the description is plain YAML, the weights are plain numbers.

    Raises:
        FerlabError: a file is missing, damaged, or does not fit; names the file.
    """
    for file in (folder / DESCRIPTION, folder / WEIGHTS):
        if not file.is_file():
            raise FerlabError(f"there is no {file}; a model is a folder with both of its files")
    with torch.device("meta"):  # no memory until the weights are known to fit
        network = LayeredNetwork(read_spec(folder / DESCRIPTION))
    weights = _read_weights(folder / WEIGHTS, network.state_dict())
    network.to_empty(device="cpu").load_state_dict(weights)
    return network.eval()


def read_spec(file: Path) -> NetworkSpec:
    """Return the checked spec that a `model.yaml` describes.

    Raises:
        FerlabError: it is missing or damaged, or is not of these classes and images.
    """
    try:
        description = read_yaml(file)
    except FileNotFoundError as error:
        raise FerlabError(f"there is no {file}") from error
    except ValueError as error:
        raise FerlabError(f"{file} is damaged ({error})") from error
    if not isinstance(description, dict):
        raise FerlabError(f"{file} must hold a mapping; got {description!r}")
    classes, images = (description.pop(key, None) for key in ("classes", "input"))
    if classes != list(EMOTIONS):
        raise FerlabError(f"{file}: classes must be {', '.join(EMOTIONS)}; got {classes!r}")
    try:
        size = images["shape"][-1]
    except (TypeError, KeyError, IndexError):
        raise FerlabError(f"{file}: input must hold a shape and a scale; got {images!r}") from None
    try:
        spec = parse_model({**description, "input_size": size})
    except FerlabError as error:
        raise FerlabError(f"{file}: {error}") from None
    if images != (wanted := _describe(spec)["input"]):
        raise FerlabError(f"{file}: input must be {wanted!r}; got {images!r}")
    return spec


def _describe(spec: NetworkSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "initialisation": spec.initialisation,
        "layers": to_layers(spec),
        "classes": list(EMOTIONS),
        "input": {"shape": list(spec.input_shape), "scale": 1 / 255},  # grey levels to [0, 1]
    }


def _read_weights(file: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the file, whose names, shapes and types are those of `expected`."""
    try:
        weights = load_file(file)
    except SafetensorError as error:
        raise FerlabError(f"{file} is damaged ({error})") from error
    for name in {**expected, **weights}:
        there, wanted = _kind(weights.get(name)), _kind(expected.get(name))
        if there != wanted:
            raise FerlabError(f"{file} does not fit {DESCRIPTION}: {name} is {there}, not {wanted}")
    return weights


def _kind(tensor: Tensor | None) -> str:
    """Return a tensor's type and shape in words."""
    if tensor is None:
        return "absent"
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
