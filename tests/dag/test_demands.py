"""
What blueprints ask of Airflow: executors, pods, pools, queues, connections.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("airflow")

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.errors import BlueprintError
from airflow_hpo.factory import build_dag, discover

ELSEWHERE = """\
hpo: 1
name: elsewhere
objective: {metric: y, direction: maximize}
space: {x: {float: [0, 1]}}
budget: {trials: 4}
trial:
  command: train {x}
  executor: NobodyExecutor
"""

PODS = """\
hpo: 1
name: pods
objective: {metric: y, direction: maximize}
space: {x: {float: [0, 1]}}
budget: {trials: 4}
trial:
  command: train {x}
  gpus: 2
  executor: KubernetesExecutor
  executor_config:
    pod_override:
      spec:
        nodeSelector: {gpu: h200}
        containers: [{name: base, resources: {limits: {memory: 8Gi}}}]
dag: {tasks: {queue: small, priority_weight: 7}}
"""

# Builds DAGs and prints what Airflow keeps of it.
SERIALISE = """
import json, sys
from airflow.serialization import serialized_objects
from airflow_hpo.blueprint import load_blueprint
from airflow_hpo.factory import build_dag
kind = getattr(serialized_objects, "DagSerialization", serialized_objects.SerializedDAG)
for path in sys.argv[1:]:
    print(json.dumps(kind.to_dict(build_dag(load_blueprint(path)))))
"""


def run(*arguments, executors="LocalExecutor", **environment):
    """
    Run Python with *arguments* where Airflow has these *executors*; return the process.
    """
    env = {**os.environ, "AIRFLOW__CORE__EXECUTOR": executors, **environment}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def check(path, **options):
    """
    Return what ``hpo check --airflow`` says of *path*: place, severity and message each.
    """
    done = run("-m", "airflow_hpo.cli", "check", "--airflow", "--format", "json", path, **options)
    assert done.returncode in {0, 1}, done.stderr
    return [
        (each["line"], each["column"], each["severity"], each["path"], each["message"])
        for each in json.loads(done.stdout)
    ]


class TestParsing:
    """
    What is wrong with a blueprint as soon as Airflow reads it.
    """

    def test_an_unknown_executor_has_its_place(self, folder, document):
        """
        The error names file, line and column of the executor, and the DAGs beside it are there.
        """
        (folder / "blueprints" / "elsewhere.yaml").write_text(ELSEWHERE)
        (folder / "blueprints" / "one.yaml").write_text(document("one"))
        space = {"__file__": str(folder / "hpo.py")}

        with pytest.warns(UserWarning, match="NobodyExecutor") as caught:
            dags = discover("blueprints", namespace=space)

        assert set(dags) == {"one"}
        text = (
            "blueprints/elsewhere.yaml:8:13: trial.executor: must be one of Airflow's "
            "[core] executor = LocalExecutor, got 'NobodyExecutor'"
        )
        assert text in str(caught[0].message)

    def test_every_part_of_a_file_is_looked_at(self):
        """
        Rungs, and the tasks that are no trials, name executors, too.
        """
        text = ELSEWHERE.replace("trial:", "strategy: hyperband\ntrial:").replace("s: 4", "s: 22")
        text += (
            "  environment: {}\n"
            "resource: {name: e, min: 1, max: 9, rungs: [{at_least: 3, executor: Other}]}\n"
            "dag: {tasks: {executor: Third}}\n"
        )
        (blueprint,) = parse_blueprints(text)

        with pytest.raises(BlueprintError) as caught:
            build_dag(blueprint)

        places = [(problem.path, problem.line) for problem in caught.value.problems]
        assert places == [
            ("trial.executor", 9),
            ("resource.rungs.0.executor", 11),
            ("dag.tasks.executor", 12),
        ]

    def test_the_place_is_found_in_other_dialects(self):
        """
        Where the file has no such key, the problem stands where the executor is named.
        """
        steps = [{"name": "a", "command": "true {x}", "executor": "Nobody"}]
        text = ELSEWHERE.replace("  executor: NobodyExecutor\n", "")
        (blueprint,) = parse_blueprints(text)
        trial = blueprint.trial.model_copy(update={"steps": (blueprint.trial.steps[0],)})
        source = blueprint.source.model_copy(update={"text": "kind: x\nrun: {on: Nobody}\n"})
        step = trial.steps[0].model_copy(update=steps[0])
        changed = blueprint.model_copy(
            update={"trial": trial.model_copy(update={"steps": (step,)}), "source": source}
        )

        with pytest.raises(BlueprintError) as caught:
            build_dag(changed)

        (problem,) = caught.value.problems
        assert (problem.line, problem.column) == (2, 11)

    def test_small_tasks_have_a_place_of_their_own(self, document):
        """
        What is said under dag.tasks holds for all tasks but the trials'.
        """
        text = document("tiny", dag={"tasks": {"queue": "small", "priority_weight": 7}})
        (blueprint,) = parse_blueprints(text)

        dag = build_dag(blueprint)

        found = {
            task.task_id.rpartition(".")[2]: (task.queue, task.priority_weight)
            for task in dag.tasks
        }
        assert found.pop("trial") == ("default", 1)
        assert set(found.values()) == {("small", 7)}
        assert set(found) == {"suggest", "evaluate", "report"}


@pytest.fixture(scope="module", name="pods")
def _pods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A blueprint whose trials run in pods.
    """
    pytest.importorskip("airflow.providers.cncf.kubernetes")
    path = tmp_path_factory.mktemp("pods") / "pods.yaml"
    path.write_text(PODS)
    return path


@pytest.mark.usefixtures("pods")
class TestPods:
    """
    Pods for the KubernetesExecutor, from plain YAML.
    """

    def test_they_reach_airflow_and_ask_for_the_trial_s_gpus(self, pods, tmp_path):
        """
        The trial's task has the pod, with a limit of GPUs on top unless it limits them itself.
        """
        own = tmp_path / "own.yaml"
        own.write_text(PODS.replace("{memory: 8Gi}", "{amd.com/gpu: 1}"))

        made = run("-c", SERIALISE, pods, own, executors="LocalExecutor,KubernetesExecutor")

        assert made.returncode == 0, made.stderr
        first, second = made.stdout.splitlines()
        tasks = [task["__var"] for task in json.loads(first)["dag"]["tasks"]]
        trial = next(task for task in tasks if task["task_id"] == "round_00.trial")
        text = json.dumps(trial)
        assert '"limits": {"memory": "8Gi", "nvidia.com/gpu": "2"}' in text
        assert '"nodeSelector": {"gpu": "h200"}' in text
        assert "pod_override" not in json.dumps([task for task in tasks if task is not trial])
        assert '"limits": {"amd.com/gpu": "1"}' in second

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            (
                "nodeSelector",
                "nodeSelektor",
                (
                    "13:23: trial.executor_config.pod_override.spec.nodeSelektor: "
                    "must be a key of PodSpec, got nodeSelektor"
                ),
            ),
            (
                "{gpu: h200}",
                "h200",
                (
                    "13:23: trial.executor_config.pod_override.spec.nodeSelector: "
                    "must be a mapping, got 'h200'"
                ),
            ),
            (
                "name: base",
                "name: main",
                (
                    "14:21: trial.executor_config.pod_override.spec.containers: "
                    "must name the task's container base, got main"
                ),
            ),
        ],
    )
    def test_mistakes_have_their_place(self, old, new, expected):
        """
        A key that no pod has, and a value of the wrong shape, are told before anything runs.
        """
        with pytest.raises(BlueprintError) as caught:
            parse_blueprints(PODS.replace(old, new))

        assert [str(each).partition("\n")[0] for each in caught.value.problems] == [
            f"<blueprint>:{expected}"
        ]


@pytest.mark.usefixtures("database")
class TestCheck:
    """
    ``hpo check --airflow``: is it all there.
    """

    @pytest.mark.usefixtures("pods")
    def test_what_is_missing_is_told_with_its_place(self, tmp_path):
        """
        Pools, connections, queues and a triggerer that are not there, and what says nothing.
        """
        path = tmp_path / "asking.yaml"
        path.write_text(
            PODS.replace("  gpus: 2\n", "  pool: gpu\n  queue: q\n  deferrable: true\n")
            + "callbacks: {on_study_end: {notifier: a.B, arguments: {slack_conn_id: chat}}}\n"
        )

        found = check(path, executors="LocalExecutor,KubernetesExecutor")

        assert found == [
            (
                8,
                9,
                "error",
                "trial.pool",
                "must be a pool of this Airflow (default_pool), got 'gpu': no task would start",
            ),
            (
                9,
                10,
                "warning",
                "trial.queue",
                "says nothing to KubernetesExecutor, which has no queues",
            ),
            (
                10,
                15,
                "error",
                "trial.deferrable",
                "needs a triggerer, got none that is alive: trials would wait for ever",
            ),
            (
                17,
                22,
                "warning",
                "dag.tasks.queue",
                "says nothing to LocalExecutor, which has no queues",
            ),
            (
                18,
                70,
                "error",
                "callbacks.on_study_end.0.arguments.slack_conn_id",
                "must be a connection of this Airflow, got 'chat'",
            ),
        ]

    def test_what_is_there_is_fine(self, tmp_path):
        """
        A pool with enough slots, and a connection of the environment or the database.
        """
        path = tmp_path / "fine.yaml"
        text = ELSEWHERE.replace("executor: NobodyExecutor", "pool: default_pool\n  pool_slots: %d")
        path.write_text(text % 128)
        assert check(path, AIRFLOW_CONN_HPO_DEFAULT='{"conn_type": "hpo"}') == []

        path.write_text(text % 129)
        message = "must not exceed the 128 slots of pool default_pool, got 129"
        assert check(path) == [(9, 15, "error", "trial.pool_slots", message)]

    def test_a_database_that_does_not_answer_is_told(self, tmp_path):
        """
        What could not be checked is a warning, not an error.
        """
        path = tmp_path / "unknown.yaml"
        path.write_text(ELSEWHERE.replace("executor: NobodyExecutor", "pool: gpu"))

        ((*place, message),) = check(
            path, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{tmp_path / 'none.db'}"
        )

        assert place == [8, 9, "warning", "trial.pool"]
        assert message.startswith("could not be checked: the pools are not known: ")

    def test_a_journal_that_cannot_be_reached_is_told(self, tmp_path):
        """
        Without its journal no task of a study would get far.
        """
        path = tmp_path / "away.yaml"
        path.write_text(ELSEWHERE.replace("  executor: NobodyExecutor\n", ""))
        extra = {"conn_type": "hpo", "extra": {"url": "postgresql://127.0.0.1:1/none"}}

        ((*place, message),) = check(path, AIRFLOW_CONN_HPO_DEFAULT=json.dumps(extra))

        assert place == [2, 7, "error", "name"]
        assert message.startswith("the journal of studies must be reached, got ")
