"""What became of a sweep's jobs, as a table and as CSV."""

import csv

from ferlab.reporting.jobs import FINISHED, JobRow, describe_jobs, jobs_to_csv


def finished(name: str, seed: int, accuracy: float) -> JobRow:
    metrics = {"val/accuracy": accuracy, "val/loss": 1.0, "test/accuracy": accuracy / 2}
    return JobRow(f"{name} seed={seed}", name, FINISHED, metrics, 3725.4, "")


FAILED = JobRow("model=B seed=0", "model=B", "failed", {}, None, "optimizer.lr must be > 0")

ROWS = [finished("model=A", 0, 0.5), finished("model=A", 1, 0.6), FAILED]


def test_each_job_has_a_line_with_its_numbers_or_the_reason_why_it_has_none():
    head, _, first, second, failed = describe_jobs(ROWS).splitlines()[:5]
    assert head.split() == ["job", "status", "val/accuracy", "test/accuracy", "time"]
    assert first.split("  ")[0] == "model=A seed=0"
    assert first.split()[2:] == ["finished", "50.00", "%", "25.00", "%", "1:02:05"]
    assert second.split()[3:5] == ["60.00", "%"]
    assert failed.endswith("optimizer.lr must be > 0")
    assert "%" not in failed


def test_jobs_that_differ_in_the_seed_alone_give_mean_and_standard_deviation():
    (over_seeds,) = (line for line in describe_jobs(ROWS).splitlines() if "±" in line[20:])
    name, seeds, mean, *_ = over_seeds.split()
    assert (name, seeds, mean) == ("model=A", "2", "55.00")
    assert "55.00 ± 7.07 %" in over_seeds  # of a sample of two: 10 / √2
    assert "27.50 ± 3.54 %" in over_seeds


def test_without_repeated_seeds_there_is_no_mean():
    assert "mean" not in describe_jobs([ROWS[0], FAILED])


def test_a_sweep_of_nothing_but_seeds_is_summed_up_as_all():
    rows = [finished("", seed, 0.5) for seed in range(3)]
    assert describe_jobs(rows).splitlines()[-1].split()[:2] == ["all", "3"]


def test_the_csv_holds_fractions_and_reasons():
    first, _, failed = csv.DictReader(jobs_to_csv(ROWS).splitlines())
    assert float(first["val/accuracy"]) == 0.5
    assert float(first["seconds"]) == 3725.4
    assert failed["val/accuracy"] == ""
    assert failed["reason"] == FAILED.reason
