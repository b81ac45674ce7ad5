"""scripts/reproduce_report.sh, with drawn faces."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

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


def start(out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", ROOT / "scripts/reproduce_report.sh"],
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
    stopped = start(tmp_path / "report")
    for line in stopped.stdout:
        if line.startswith("job 5 of 12"):
            break
    os.killpg(stopped.pid, signal.SIGKILL)
    stopped.communicate()
    finished = list((tmp_path / "report/models").glob("*/metrics.json"))
    before = {path: path.stat().st_mtime_ns for path in finished}
    assert len(before) == 4

    again = start(tmp_path / "report")
    out, _ = again.communicate()
    assert again.returncode == 0, out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    html = (tmp_path / "report/index.html").read_text()
    assert [title for title in TITLES if title not in html] == []
    assert html.count("report/curves.png") == 0  # the figures are in the page, not beside it
    assert "62.93" in html  # the report's
    assert len(list((tmp_path / "report/models").glob("*/metrics.json"))) == 12
