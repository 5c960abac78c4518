"""
What parsing costs: a folder of blueprints beside plain Python DAGs and dag-factory.

Each measurement is a fresh process that imports Airflow, then loads one folder
into a DagBag and prints the processor time of that alone. The kinds take turns
within one run, and ratios to plain Python are printed beside the figures.

    .venv/bin/python benchmarks/parse.py [--counts 1 100 500] [--repeat 5] [--json FILE]

dag-factory's rows appear where the package ``dag-factory`` is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS, BATCH = 3, 5

BLUEPRINT = """\
hpo: 1
name: study_{index:03d}
description: Tunes a classifier.
objective: {{metric: val_accuracy, direction: maximize}}
space:
  learning_rate: {{float: [1e-5, 1e-1], log: true}}
  hidden: {{int: [16, 128], step: 16}}
  activation: {{choice: [relu, tanh]}}
strategy: {{name: tpe, seed: 7}}
budget: {{trials: {trials}}}
execution: {{batch_size: {batch}}}
stop:
  - {{metric: val_accuracy, at_least: 0.99}}
trial:
  command: python train.py --lr {{learning_rate}} --hidden {{hidden}} --activation {{activation}}
"""

LOADER = """\
from airflow_hpo.factory import discover

discover(__file__.replace("hpo.py", "blueprints"), namespace=globals())  # airflow dag
"""

# The same tasks by hand: groups of suggest, mapped trials, evaluate; a report.
PLAIN = """\
from airflow.sdk import DAG, BaseOperator, TaskGroup


class Step(BaseOperator):
    def __init__(self, *, trial=None, **kwargs):
        super().__init__(**kwargs)
        self.trial = trial

    def execute(self, context):
        return [{{"number": 0}}]


def build(index):
    with DAG(f"study_{{index:03d}}", schedule=None, catchup=False, tags=["hpo"]) as dag:
        previous = None
        for number in range({rounds}):
            with TaskGroup(f"round_{{number:02d}}"):
                suggest = Step(task_id="suggest")
                trial = Step.partial(task_id="trial", retries=2).expand(trial=suggest.output)
                evaluate = Step(task_id="evaluate", trigger_rule="all_done")
                suggest >> trial >> evaluate
            if previous is not None:
                previous >> suggest
            previous = evaluate
        previous >> Step(task_id="report")
    return dag


for index in range({count}):
    globals()[f"study_{{index:03d}}"] = build(index)
"""

DAG_FACTORY_LOADER = """\
from pathlib import Path

from airflow.sdk import DAG
from dagfactory import load_yaml_dags

load_yaml_dags(globals_dict=globals(), dags_folder=str(Path(__file__).parent / "yaml"))
"""

# The child: imports first, then the clock. What was loaded on the way is told.
CHILD = """
import json, os, sys, time
import airflow
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, BaseOperator, TaskGroup
extra = os.environ.get("BENCH_IMPORT")
if extra:
    __import__(extra)
cpu, wall = time.process_time(), time.perf_counter()
bag = DagBag(sys.argv[1])
out = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall,
       "dags": len(bag.dags), "tasks": sum(len(dag.tasks) for dag in bag.dags.values()),
       "errors": dict(bag.import_errors),
       "heavy": sorted(set(sys.modules) & {"numpy", "scipy", "optuna", "hyperopt", "sklearn",
                                           "boto3", "kubernetes", "docker"})}
print("RESULT" + json.dumps(out))
"""


def write_hpo(folder: Path, count: int) -> None:
    """
    Write *count* blueprints and the loader.
    """
    blueprints = folder / "blueprints"
    blueprints.mkdir(parents=True)
    (folder / "hpo.py").write_text(LOADER)
    for index in range(count):
        text = BLUEPRINT.format(index=index, trials=ROUNDS * BATCH, batch=BATCH)
        (blueprints / f"study_{index:03d}.yaml").write_text(text)


def write_plain(folder: Path, count: int) -> None:
    """
    Write one Python file that makes *count* DAGs of the same shape by hand.
    """
    folder.mkdir(parents=True)
    (folder / "plain.py").write_text(PLAIN.format(rounds=ROUNDS, count=count))


def write_dag_factory(folder: Path, count: int) -> None:
    """
    Write *count* dag-factory files with as many tasks each.
    """
    target = folder / "yaml"
    target.mkdir(parents=True)
    (folder / "loader.py").write_text(DAG_FACTORY_LOADER)
    operator = "airflow.providers.standard.operators.bash.BashOperator"
    for index in range(count):
        tasks, previous = {}, None
        for step in range(ROUNDS * 3 + 1):
            task = {"operator": operator, "bash_command": "true"}
            if previous is not None:
                task["dependencies"] = [previous]
            previous = f"step_{step:02d}"
            tasks[previous] = task
        dag = {"schedule": None, "start_date": "2026-01-01", "catchup": False, "tasks": tasks}
        # JSON is YAML: no writer needed.
        (target / f"study_{index:03d}.yaml").write_text(json.dumps({f"study_{index:03d}": dag}))


def measure(folder: Path, home: Path, *, preload: str = "", dag_id: str | None = None) -> dict:
    """
    Load *folder* in a fresh process and return what it cost.
    """
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "BENCH_IMPORT": preload,
    }
    if dag_id is not None:
        environment["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = dag_id
        environment["_AIRFLOW_PARSING_CONTEXT_TASK_ID"] = "report"
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT"):
            return json.loads(line.removeprefix("RESULT"))
    raise SystemExit(f"parsing {folder} failed:\n{done.stderr[-3000:]}")


def kinds() -> dict[str, tuple]:
    """
    Return what is compared: a writer, and the package imported before the clock.

    The package itself is imported before the clock starts, as Airflow is: the
    figure is what the DAGs cost, not what one import does.
    """
    found = {"plain": (write_plain, ""), "airflow_hpo": (write_hpo, "airflow_hpo.factory")}
    if importlib.util.find_spec("dagfactory") is not None:
        found["dag-factory"] = (write_dag_factory, "dagfactory")
    return found


def run(counts: list[int], repeat: int) -> list[dict]:
    """
    Return one row a kind and count, medians over *repeat* turns.
    """
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for count in counts:
            cells: dict[str, list[dict]] = {}
            for kind, (write, _) in kinds().items():
                write(root / f"{kind}-{count}", count)
            for _ in range(repeat):
                for kind, (_, preload) in kinds().items():
                    found = measure(root / f"{kind}-{count}", root / "home", preload=preload)
                    if found["dags"] != count or found["errors"]:
                        raise SystemExit(f"{kind}: {found['dags']} of {count}: {found['errors']}")
                    cells.setdefault(kind, []).append(found)
            plain = statistics.median(cell["cpu"] for cell in cells["plain"])
            for kind, found in cells.items():
                cpu = statistics.median(cell["cpu"] for cell in found)
                rows.append(
                    {
                        "kind": kind,
                        "dags": count,
                        "tasks": found[0]["tasks"],
                        "cpu_ms_per_dag": cpu / count * 1000,
                        "ratio_to_plain": cpu / plain,
                        "heavy": found[0]["heavy"],
                    }
                )
        rows.append(task_process(root, max(counts), repeat))
    return rows


def task_process(root: Path, count: int, repeat: int) -> dict:
    """
    Return what a task's process pays among *count* blueprints.
    """
    folder = root / f"airflow_hpo-{count}"
    found = [
        measure(
            folder, root / "home", preload="airflow_hpo.factory", dag_id=f"study_{count // 2:03d}"
        )
        for _ in range(repeat)
    ]
    cpu = statistics.median(cell["cpu"] for cell in found)
    return {
        "kind": f"airflow_hpo, one task among {count}",
        "dags": found[0]["dags"],
        "tasks": found[0]["tasks"],
        "cpu_ms_per_dag": cpu * 1000,
        "ratio_to_plain": None,
        "heavy": found[0]["heavy"],
    }


def main() -> None:
    """
    Print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 100, 500])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = run(arguments.counts, arguments.repeat)
    print(f"{'kind':<36}{'DAGs':>6}{'tasks':>7}{'ms/DAG':>9}{'x plain':>9}  heavy packages")
    for row in rows:
        ratio = "" if row["ratio_to_plain"] is None else f"{row['ratio_to_plain']:.2f}"
        print(
            f"{row['kind']:<36}{row['dags']:>6}{row['tasks']:>7}"
            f"{row['cpu_ms_per_dag']:>9.2f}{ratio:>9}  {', '.join(row['heavy']) or 'none'}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
