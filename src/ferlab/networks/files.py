"""A trained network as two files, all that inference needs: weights and a description."""

from pathlib import Path

import torch
import yaml
from safetensors.torch import save

from ferlab.emotions import EMOTIONS
from ferlab.files import replacing, write_text
from ferlab.networks.build import LayeredNetwork
from ferlab.networks.specs import to_layers


def save_network(network: LayeredNetwork, folder: Path) -> None:
    """Write `model.safetensors` and `model.yaml` into `folder`."""
    spec = network.spec
    description = {
        "name": spec.name,
        "initialisation": spec.initialisation,
        "layers": to_layers(spec),
        "classes": list(EMOTIONS),
        "input": {"shape": list(spec.input_shape), "scale": 1 / 255},  # grey levels 0-255 to [0, 1]
    }
    weights = {
        name: value.detach().to("cpu").contiguous(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }
    with replacing(folder / "model.safetensors") as partial:
        partial.write_bytes(save(weights))
    write_text(
        folder / "model.yaml", yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
    )
