"""The networks of `conf/model`, for tests."""

from pathlib import Path

import yaml

from ferlab.networks.specs import NetworkSpec, parse_model

FOLDER = Path(__file__).parents[1] / "conf/model"
MODELS = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def model(name: str) -> NetworkSpec:
    """Return the checked spec of `conf/model/<name>.yaml`."""
    return parse_model(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
