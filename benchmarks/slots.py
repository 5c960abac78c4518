"""
How busy slots are kept where some trials take much longer than others.

64 trials on 4 slots; the durations are log-normal with sigma 1, so that a few
take ten times as long as most. The same study runs on one real Airflow in
the mode async and in batches of four, beside ideal list scheduling on paper:
each trial on the slot that is free first, with no time between two.

The busy share is the trials' time over that of all slots from the first
start to the last end. Durations are a function of the configuration, and both
modes try the same configurations.

    .venv/bin/python benchmarks/slots.py [--median-seconds 10] [--modes async batch] [--json FILE]
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import NormalDist

from airflow_hpo.model.record import StudyRecord
from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study
from airflow_hpo.testing.postgres import PostgresServer, PostgresUnavailableError
from airflow_hpo.testing.stack import Stack

TRIALS = 64
SLOTS = 4
SEED = 7
BOUNDS = (0.001, 0.999)

LOADER = """\
from airflow_hpo.factory import discover

discover(__file__.replace("hpo.py", "blueprints"), namespace=globals())  # airflow dag
"""

BLUEPRINT = """\
hpo: 1
name: {mode}
objective: {{metric: y, direction: minimize}}
space:
  x: {{float: [{low}, {high}]}}
strategy: {{name: random, seed: {seed}}}
budget: {{trials: {trials}}}
execution: {{mode: {mode}, concurrency: {slots}{batch}}}
trial:
  runner: {{name: inline, callable: "sleeping_trial:run"}}
"""

# What the trials call; lies beside the DAGs, where Airflow finds it.
SLEEPER = """\
import math
import time
from statistics import NormalDist


def run(x):
    seconds = {median} * math.exp(NormalDist().inv_cdf(x))
    time.sleep(seconds)
    return {{"y": seconds}}
"""


def write_dags(folder: Path, median: float) -> None:
    """
    Write a DAG a mode.
    """
    blueprints = folder / "blueprints"
    blueprints.mkdir(parents=True)
    (folder / "hpo.py").write_text(LOADER)
    (folder / "sleeping_trial.py").write_text(SLEEPER.format(median=median))
    for mode, batch in (("async", ""), ("batch", f", batch_size: {SLOTS}")):
        text = BLUEPRINT.format(
            mode=mode,
            batch=batch,
            slots=SLOTS,
            trials=TRIALS,
            seed=SEED,
            low=BOUNDS[0],
            high=BOUNDS[1],
        )
        (blueprints / f"{mode}.yaml").write_text(text)


def run(stack: Stack, mode: str) -> StudyRecord:
    """
    Run the study of one mode to its end.
    """
    run_id = stack.trigger(mode)
    state = stack.wait(mode, run_id, timeout=7200)
    if state != "success":
        raise SystemExit(f"{mode} ended as {state}")
    return Study.load(open_storage(stack.storage_url), f"{mode}-{run_id}").record()


def busy(record: StudyRecord) -> dict[str, float]:
    """
    Return wall clock, trial time and busy share of a study that has ended.
    """
    starts = [trial.started for trial in record.trials if trial.started]
    ends = [trial.finished for trial in record.trials if trial.finished]
    wall, worked = max(ends) - min(starts), sum(trial.duration or 0 for trial in record.trials)
    return {"wall_s": wall, "trial_time_s": worked, "share": worked / (SLOTS * wall)}


def on_paper(durations: Sequence[float], *, batch: int | None = None) -> dict[str, float]:
    """
    Return the same for list scheduling, or for batches, without any overhead.
    """
    if batch is not None:
        wall = sum(max(durations[at : at + batch]) for at in range(0, len(durations), batch))
    else:
        free = [0.0] * SLOTS
        for seconds in durations:
            heapq.heapreplace(free, free[0] + seconds)
        wall = max(free)
    worked = sum(durations)
    return {"wall_s": wall, "trial_time_s": worked, "share": worked / (SLOTS * wall)}


def planned(record: StudyRecord, median: float) -> list[float]:
    """
    Return the seconds that the trials sleep, by number.
    """
    normal = NormalDist()
    return [median * math.exp(normal.inv_cdf(t.configuration["x"])) for t in record.trials]


@contextmanager
def _stack(root: Path) -> Iterator[Stack]:
    """
    Start an Airflow, on PostgreSQL where there is one.
    """
    with ExitStack() as stack:
        database = None
        try:
            server = stack.enter_context(PostgresServer())
            database = server.url.replace("postgresql://", "postgresql+psycopg://")
        except PostgresUnavailableError as error:
            print(f"on SQLite: {error}")
        # The executor has room for more: what is measured are the study's slots.
        yield stack.enter_context(
            Stack(root / "home", root / "dags", parallelism=SLOTS + 2, database=database)
        )


def main() -> None:
    """
    Start an Airflow, run the modes one after the other, print, stop it.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--median-seconds", type=float, default=10)
    parser.add_argument(
        "--modes", nargs="+", choices=["async", "batch"], default=["async", "batch"]
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_dags(root / "dags", arguments.median_seconds)
        with _stack(root) as stack:
            for mode in arguments.modes:
                stack.wait_for_dag(mode)
            for mode in arguments.modes:
                record = run(stack, mode)
                durations = planned(record, arguments.median_seconds)
                paper = on_paper(durations, batch=SLOTS if mode == "batch" else None)
                found[f"{mode} on paper"], found[mode] = paper, busy(record)
                for name in (f"{mode} on paper", mode):
                    print(
                        f"{name:<16} busy {found[name]['share']:6.1%}, "
                        f"wall clock {found[name]['wall_s']:7.1f} s",
                        flush=True,
                    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
