"""The scripts that train many networks, with drawn faces."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ferlab.files import read_json

ROOT = Path(__file__).parents[2]

TITLES = (
    "Where this parts from the report",
    "Data exploration",
    "Table 1: Model F",
    "Models A to F",
    "The report&#x27;s Figure 2",
    "Curves",
    "Table 2 and Figure 3",
    "Table 3",
)


def start(script: str, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", ROOT / "scripts" / script],
        env={
            **os.environ,
            "QUICK": "1",
            "OUT": str(out),
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT / "src"),
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_the_report_is_rebuilt_also_after_it_was_stopped(tmp_path):
    stopped = start("reproduce_report.sh", tmp_path / "report")
    for line in stopped.stdout:
        if line.startswith("job 5 of 12"):
            break
    os.killpg(stopped.pid, signal.SIGKILL)
    stopped.communicate()
    finished = list((tmp_path / "report/models").glob("*/metrics.json"))
    before = {path: path.stat().st_mtime_ns for path in finished}
    assert len(before) == 4

    again = start("reproduce_report.sh", tmp_path / "report")
    out, _ = again.communicate()
    assert again.returncode == 0, out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    html = (tmp_path / "report/index.html").read_text()
    assert [title for title in TITLES if title not in html] == []
    assert html.count("report/curves.png") == 0  # the figures are in the page, not beside it
    assert "62.93" in html  # the report's
    assert len(list((tmp_path / "report/models").glob("*/metrics.json"))) == 12


@pytest.mark.parametrize("failing", ["", "without-crops"])
def test_an_ablation_is_the_same_sweeps_one_by_one_or_at_once(tmp_path, failing):
    python = tmp_path / "python"  # stands in for the trainings, and notes what it is told
    python.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >> {tmp_path}/told\n'
        f'case "$*" in *"/{failing or "none"}") exit 3;; esac\n'
    )
    python.chmod(0o755)
    told = {}
    for at_once in ("", "1"):
        environment = {"PATH": os.environ["PATH"], "PYTHON": str(python), "AT_ONCE": at_once}
        script = ["bash", ROOT / "scripts/ablation.sh", "model=small"]
        assert subprocess.run(script, env=environment, check=False).returncode == 3 * bool(failing)
        told[at_once] = (tmp_path / "told").read_text().splitlines()
        (tmp_path / "told").unlink()
    compared = "-m ferlab compare runs=[outputs/ablation] hydra.run.dir=outputs/ablation/compare"
    trainings = told["1"] if failing else told["1"][:-1]
    assert len(trainings) == 13  # none is left out, nor left alone, where one fails
    if failing:
        assert compared not in told["1"] + told[""]
    else:
        assert told["1"][-1] == told[""][-1] == compared
        assert sorted(trainings) == sorted(told[""][:-1])


def test_an_ablation_at_once_is_stopped_by_one_signal_to_each_training(tmp_path):
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\n"
        "import os, signal\n"
        "def stop(number, frame):\n"
        "    os.write(1, f'stopped by {signal.Signals(number).name}\\n'.encode())\n"
        "    os._exit(130)\n"
        "signal.signal(signal.SIGINT, stop)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "os.write(1, b'begun\\n')\n"
        "while True:\n"
        "    signal.pause()\n"
    )
    python.chmod(0o755)
    running = subprocess.Popen(
        ["bash", ROOT / "scripts/ablation.sh"],
        env={"PATH": os.environ["PATH"], "PYTHON": str(python), "AT_ONCE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    begun = [running.stdout.readline().partition(": ")[2] for _ in range(13)]
    assert set(begun) == {"begun\n"}
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    out, _ = running.communicate()
    assert running.returncode == 130
    said = [line.partition(": ")[2] for line in out.splitlines()]
    assert said == ["stopped by SIGTERM"] * 13


@pytest.mark.slow
def test_the_literatures_networks_are_compared_with_the_best_and_its_variants(tmp_path):
    running = start("literature.sh", tmp_path)
    out, _ = running.communicate()
    assert running.returncode == 0, out
    table = (tmp_path / "compare/runs.md").read_text()
    over_seeds = table.split("## Over seeds")[1].split("##")[0]
    models = re.findall(r"^\| (\w+) ", over_seeds, flags=re.MULTILINE)
    ablation = (ROOT / "scripts/ablation.sh").read_text()
    best = len(re.findall(r"^train ", ablation, flags=re.MULTILINE))
    names = ["F", "vggnet", "fernet", "senet"]
    assert Counter(models) == {"model": 1, "best": best, "small": 2, **dict.fromkeys(names, 1)}
    mean = read_json(tmp_path / "mean/metrics.json")
    assert 0 <= mean["test/accuracy"] <= 1
