"""A network on disk: what comes back, and what is refused."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ferlab.checks import FerlabError
from ferlab.emotions import EMOTIONS
from ferlab.files import read_json
from ferlab.networks.build import build_network
from ferlab.networks.files import load_network, save_network
from ferlab.networks.specs import parse_network
from ferlab.reporting.tables import format_accuracy

LAYERS = [
    {"conv": 4, "batch_norm": {"momentum": 0.1, "epsilon": 1e-5}, "pool": 2, "dropout": 0.5},
    {"residual": 8, "stride": 2, "batch_norm": True, "squeeze_excite": 2},
    {"average_pool": 2},
    "flatten",
    {"dense": 8, "batch_norm": True},
]


def trained_a_little(spec):
    network = build_network(spec, seed=5)
    network.train()(torch.rand(8, 1, 48, 48)).sum().backward()  # moves the statistics
    return network.eval()


@pytest.fixture
def folder(tmp_path):
    save_network(trained_a_little(parse_network(LAYERS, "tiny")), tmp_path)
    return tmp_path


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("layers", [LAYERS, [{"torchvision": "resnet18"}]])
def test_a_loaded_network_is_the_saved_one_to_the_last_bit(layers, layout, tmp_path):
    saved = trained_a_little(parse_network(layers, "any", "kaiming", input_size=44))
    saved.to(memory_format=layout)
    save_network(saved, tmp_path)
    loaded = load_network(tmp_path).to(memory_format=layout)
    images = torch.rand(4, 1, 48, 48)
    assert loaded.spec == saved.spec
    assert torch.equal(loaded(images), saved(images))


def test_half_precision_takes_half_the_bytes_and_predicts_nearly_the_same(tmp_path):
    saved = trained_a_little(parse_network(["flatten", {"dense": 512}], "wide"))
    save_network(saved, tmp_path / "full")
    save_network(saved, tmp_path / "half", half=True)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] / sizes[0] == pytest.approx(0.5, abs=0.01)
    loaded = load_network(tmp_path / "half")
    assert {value.dtype for value in loaded.parameters()} == {torch.float32}
    images = torch.rand(4, 1, 48, 48)
    assert not torch.equal(loaded(images), saved(images))
    torch.testing.assert_close(loaded(images), saved(images), rtol=0, atol=0.01)


def test_what_half_precision_cannot_hold_is_not_written(tmp_path):
    network = trained_a_little(parse_network(["flatten", {"dense": 4}]))
    with torch.no_grad():
        network.output.bias[0] = 1e6
    with pytest.raises(FerlabError, match=r"output.bias holds values too large for fp16"):
        save_network(network, tmp_path / "half", half=True)
    assert not (tmp_path / "half").exists()


SHIPPED = sorted((Path(__file__).parents[2] / "weights").iterdir())
NETWORKS = [folder for folder in SHIPPED if (folder / "model.yaml").exists()]


@pytest.mark.parametrize("folder", NETWORKS, ids=lambda folder: folder.name)
def test_shipped_weights_load_and_their_page_says_what_was_measured(folder):
    network = load_network(folder)
    probabilities = network(torch.rand(3, 1, 48, 48)).softmax(dim=1)
    assert probabilities.shape == (3, len(EMOTIONS))
    metrics, page = read_json(folder / "metrics.json"), (folder / "README.md").read_text()
    held_out = ["val"] if "val/accuracy" in metrics else []
    for split in ("test/public", "test/clean", *held_out):
        of_split = (metrics[f"{split}/{key}"] for key in ("accuracy", "images"))
        assert f"| {format_accuracy(*of_split)} |" in page
    assert bool(held_out) != ("all of Training" in page)


def test_all_shipped_weights_together_take_at_most_30_megabytes():
    assert NETWORKS
    sizes = [file.stat().st_size for folder in SHIPPED for file in folder.iterdir()]
    assert sum(sizes) <= 30e6


def test_the_description_says_what_a_program_in_another_language_must_know(folder):
    description = yaml.safe_load((folder / "model.yaml").read_text())
    assert description["classes"] == list(EMOTIONS)
    assert description["input"] == {"shape": [1, 48, 48], "scale": 1 / 255}
    assert [next(iter(row)) for row in description["layers"] if row != "flatten"] == [
        "conv",
        "residual",
        "average_pool",
        "dense",
    ]


def test_loading_draws_no_random_numbers(folder):
    before = torch.random.get_rng_state()
    load_network(folder)
    assert torch.equal(torch.random.get_rng_state(), before)


def change(folder, **values):
    file = folder / "model.yaml"
    description = {**yaml.safe_load(file.read_text()), **values}
    file.write_text(yaml.safe_dump(description))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": [*EMOTIONS[::-1]]}, "model.yaml: classes must be angry, disgust"),
        ({"classes": None}, "model.yaml: classes must be"),
        ({"layers": [{"conv": 4, "kernal": 3}]}, "model.yaml: model tiny, layer 0: unknown key"),
        ({"layers": None}, "model.yaml: model tiny: layers must be a list"),
        ({"name": "../up"}, "model.yaml: model.name must be of letters"),
        ({"test_time": "eleven_crop"}, "model.yaml: test_time must be one of none, flip, ten_crop"),
        ({"weights": "elsewhere"}, "model.yaml: model has no 'weights'"),
        ({"input": None}, "model.yaml: input must hold a shape and a scale"),
        ({"input": {"shape": []}}, "model.yaml: input must hold a shape and a scale"),
        ({"input": {"shape": [1, 48, 48], "scale": 1.0}}, "model.yaml: input must be .*0.0039"),
        ({"input": {"shape": [3, 48, 48], "scale": 1 / 255}}, "model.yaml: input must be"),
        ({"input": {"shape": [1, 96, 96], "scale": 1 / 255}}, "input_size must be an integer"),
        (
            {"layers": ["flatten", {"dense": 8}]},
            "model.safetensors does not fit model.yaml: layers.1.dense.weight is absent, not",
        ),
        (
            {"layers": ["flatten", *({"dense": 65536} for _ in range(9))]},  # 150 GB
            "model.safetensors does not fit model.yaml",
        ),
    ],
)
def test_a_changed_description_is_refused(folder, values, message):
    change(folder, **values)
    with pytest.raises(FerlabError, match=message) as refused:
        load_network(folder)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_description_cannot_run_code(folder):
    (folder / "model.yaml").write_text("!!python/object/apply:os.mkdir [made]")
    with pytest.raises(FerlabError, match="model.yaml is damaged"):
        load_network(folder)
    assert not (folder / "made").exists()


@pytest.mark.parametrize("text", ["[1, 2", "just words", "\x00", "[" * 10_000])
def test_a_description_that_is_no_mapping_is_refused(folder, text):
    (folder / "model.yaml").write_text(text)
    with pytest.raises(FerlabError, match=r"model.yaml (is damaged|must hold a mapping)"):
        load_network(folder)


@pytest.mark.parametrize("name", ["model.yaml", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FerlabError, match=f"there is no .*{name}"):
        load_network(folder)


def test_cut_weights_are_refused(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(FerlabError, match="model.safetensors is damaged"):
        load_network(folder)


def test_a_flipped_bit_of_the_weights_is_seen(folder):
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(FerlabError, match=r"model.safetensors is damaged \(its SHA-256 is not"):
        load_network(folder)


def test_a_model_that_was_written_without_a_checksum_is_read(folder):
    file = folder / "model.yaml"
    description = yaml.safe_load(file.read_text())
    assert len(description.pop("sha256")) == 64
    file.write_text(yaml.safe_dump(description))
    load_network(folder)


def test_no_weight_is_read_before_all_are_known_to_fit(folder, monkeypatch):
    @contextmanager
    def header_alone(file, framework):
        with safe_open(file, framework) as content:
            yield SimpleNamespace(keys=content.keys, get_slice=content.get_slice)

    save_file({"more": torch.zeros(3).half()}, folder / "model.safetensors")
    monkeypatch.setattr("ferlab.networks.files.safe_open", header_alone)
    with pytest.raises(FerlabError, match="does not fit"):
        load_network(folder)


def test_weights_of_another_shape_type_or_name_are_refused(folder):
    file = folder / "model.safetensors"
    weights = load_file(file)
    bias = weights.pop("output.bias")
    wrong = {
        "output.bias is absent, not float32 \\(7,\\)": {},
        "output.bias is float32 \\(6,\\), not float32 \\(7,\\)": {"output.bias": bias[:6].clone()},
        "output.bias is float64": {"output.bias": bias.double()},
        "more is float32 \\(7,\\), not absent": {"output.bias": bias, "more": bias.clone()},
    }
    for message, changed in wrong.items():
        save_file({**weights, **changed}, file)
        with pytest.raises(FerlabError, match=f"model.safetensors does not fit.*{message}"):
            load_network(folder)
