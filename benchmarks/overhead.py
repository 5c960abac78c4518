"""
What the provider costs on a real scheduler, beside a DAG written by hand.

Two measurements, each printed as it comes:

* **no-op**: 4 x (suggest -> 5 no-op trials -> evaluate) through a blueprint, and
  the same shape as a hand-written DAG of empty tasks, in turns on one Airflow.
  The trials are Python functions called in the task, as the hand-written ones
  are; a third DAG runs each as a process of its own, as commands do.
* **sleep**: 20 trials of 10 s in batches of 4 with 2 slots, beside the 100 s
  that no scheduler can beat.

    .venv/bin/python benchmarks/overhead.py [--turns 3] [--sleep-seconds 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from airflow_hpo.testing.stack import Stack

LOADER = """\
from airflow_hpo.factory import discover

discover(__file__.replace("hpo.py", "blueprints"), namespace=globals())  # airflow dag
"""

BLUEPRINT = """\
hpo: 1
name: {name}
objective: {{metric: y, direction: minimize}}
space:
  x: {{float: [-1, 1]}}
strategy: {{name: random, seed: 7}}
budget: {{trials: 20}}
execution: {{batch_size: {batch}}}
trial:
  {trial}
"""

COMMAND = """command: "{before}echo '{{{{\\"y\\": '{{x}}'}}}}'\""""
INLINE = "runner: {name: inline, callable: 'noop_trial:run'}"

# What the inline trials call; lies beside the DAGs, where Airflow finds it.
NOOP_TRIAL = """\
def run(x):
    return {"y": x}
"""

BY_HAND = """\
from airflow.sdk import DAG, TaskGroup, task

with DAG("by_hand", schedule=None, catchup=False) as dag:

    @task
    def suggest(number):
        return [{"number": number * 5 + index, "x": 0.1} for index in range(5)]

    @task
    def trial(trial):
        return {"number": trial["number"], "y": 0.1}

    @task(trigger_rule="all_done")
    def evaluate(results):
        return min(result["y"] for result in results[:])

    @task
    def report():
        return "done"

    previous = None
    for number in range(4):
        with TaskGroup(f"round_{number:02d}"):
            asked = suggest(number)
            done = evaluate(trial.expand(trial=asked))
        if previous is not None:
            previous >> asked
        previous = done
    previous >> report()
"""


def write_dags(folder: Path, sleep_seconds: float) -> None:
    """
    Write the three DAGs.
    """
    blueprints = folder / "blueprints"
    blueprints.mkdir(parents=True)
    (folder / "hpo.py").write_text(LOADER)
    (folder / "by_hand.py").write_text(BY_HAND)
    (folder / "noop_trial.py").write_text(NOOP_TRIAL)
    for name, batch, trial in (
        ("noop", 5, INLINE),
        ("process", 5, COMMAND.format(before="")),
        ("sleep", 4, COMMAND.format(before=f"sleep {sleep_seconds:g}; ")),
    ):
        text = BLUEPRINT.format(name=name, batch=batch, trial=trial)
        (blueprints / f"{name}.yaml").write_text(text)


def timed(stack: Stack, dag_id: str) -> float:
    """
    Run *dag_id* once and return its wall time in seconds; it must succeed.
    """
    started = time.monotonic()
    run_id = stack.trigger(dag_id)
    state = stack.wait(dag_id, run_id, timeout=900)
    wall = time.monotonic() - started
    if state != "success":
        raise SystemExit(f"{dag_id} ended as {state}")
    return wall


def measure_noop(stack: Stack, turns: int) -> dict:
    """
    Run the shapes in turns; the first turn of each warms up and is not counted.
    """
    walls: dict[str, list[float]] = {"by_hand": [], "noop": [], "process": []}
    for turn in range(turns + 1):
        for dag_id, found in walls.items():
            wall = timed(stack, dag_id)
            print(f"  turn {turn}: {dag_id:<8} {wall:6.1f} s{'  (warm-up)' if not turn else ''}")
            if turn:
                found.append(wall)
    return {
        dag_id: {
            "wall_s": statistics.median(found),
            "per_trial_s": statistics.median(found) / 20,
            "ratio": statistics.median(
                left / right for left, right in zip(found, walls["by_hand"], strict=True)
            ),
        }
        for dag_id, found in walls.items()
    }


def measure_sleep(stack: Stack, seconds: float) -> dict:
    """
    Run the sleeping trials once, beside the least time two slots need.
    """
    wall, least = timed(stack, "sleep"), 20 * seconds / 2
    return {"wall_s": wall, "least_s": least, "ratio": wall / least}


def main() -> None:
    """
    Start an Airflow with two slots, measure, print, stop it.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--sleep-seconds", type=float, default=10)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_dags(root / "dags", arguments.sleep_seconds)
        with Stack(root / "home", root / "dags", parallelism=2) as stack:
            for dag_id in ("by_hand", "noop", "process", "sleep"):
                stack.wait_for_dag(dag_id)
            print("4 x (suggest -> 5 no-op trials -> evaluate), 2 slots:")
            noop = measure_noop(stack, arguments.turns)
            for dag_id in ("noop", "process"):
                print(f"  {dag_id}: {noop[dag_id]['ratio']:.2f} x by hand (median of pairs)")
            print(f"20 trials of {arguments.sleep_seconds:g} s in batches of 4, 2 slots:")
            sleep = measure_sleep(stack, arguments.sleep_seconds)
            print(f"  {sleep['wall_s']:.1f} s = {sleep['ratio']:.2f} x {sleep['least_s']:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps({"noop": noop, "sleep": sleep}, indent=2) + "\n")


if __name__ == "__main__":
    main()
