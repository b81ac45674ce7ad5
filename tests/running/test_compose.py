"""What a configuration is composed to, and which data a finished run names."""

from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from conftest import TINY
from omegaconf import DictConfig

from ferlab.instantiate import conf_folder, plain
from ferlab.running.compose import make_classifier, make_data
from ferlab.running.recorded import recorded_data


def composed(*overrides: str, stage: str = "train") -> DictConfig:
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return hydra.compose(stage, list(overrides))


def first_batch(config):
    return next(iter(make_data(config, config.model.get("input_size", 48)).train_dataloader()))


def test_a_network_that_sees_crops_is_trained_on_crops():
    images = first_batch(composed(*TINY, "+model.input_size=40", "augment=standard")).images
    assert images.shape[-2:] == (40, 40)


def test_the_seed_settles_initial_weights_and_order():
    one, other = (composed(*TINY, f"seed={seed}", "data.source.seed=0") for seed in (0, 1))
    assert not torch.equal(first_batch(one).labels, first_batch(other).labels)
    of_one, of_other = (make_classifier(config).network.state_dict() for config in (one, other))
    assert not torch.equal(of_one["output.weight"], of_other["output.weight"])


@pytest.mark.parametrize(
    "given",
    [
        {"twins": "drop_from_train"},
        {"blank": "drop"},
        {"limit": 140},
        {"split_seed": 4},
        {"folds": 3, "fold": 1},
    ],
    ids=str,
)
def test_what_a_run_left_out_of_its_data_is_left_out_again(given):
    config = composed(*TINY, *(f"data.{key}={value}" for key, value in given.items()))
    first = make_data(config)
    again = recorded_data(
        composed("trust=true", stage="evaluate"), plain(config), Path("config.yaml")
    )
    for key, value in given.items():
        assert getattr(first, key) == getattr(again, key) == value
    for split in ("train", "val", "test"):
        assert np.array_equal(first.rows(split), again.rows(split))
