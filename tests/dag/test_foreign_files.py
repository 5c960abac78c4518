"""
Files of other systems, dropped beside a team's DAGs: each becomes a DAG, and runs.
"""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("airflow")

from airflow_hpo.storage import open_storage
from airflow_hpo.study import Study

# Trains a classifier on scikit-learn's irises: values come as --name=value, or by a platform.
TRAIN = """\
import json, os, pathlib, sys
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

given = json.loads(pathlib.Path(os.environ["HPO_PARAMS_FILE"]).read_text())
words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:] if "=" in word)
rate = float(words.get("rate") or given["rate"])
x, y = load_iris(return_X_y=True)
a, b, c, d = train_test_split(x, y, random_state=0)
model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=rate, random_state=0)
loss = log_loss(d, model.fit(a, c).predict_proba(b))
print(json.dumps({"loss": loss}))
print(f"loss={loss}")
"""

FILES = {
    "valohai": """\
- step:
    name: train
    image: python:3.12
    command: PYTHON train.py {parameters}
    parameters: [{name: rate, type: float, default: 0.1}]
- task:
    name: foreign-valohai
    step: train
    type: random_search
    execution-count: 3
    optimization-target-metric: loss
    optimization-target-value: 0
    parameters: [{name: rate, style: random, rules: {min: 0.01, max: 0.1}}]
- hpo: {task: foreign-valohai, runner: subprocess}
""",
    "polyaxon": """\
version: 1
kind: group
name: foreign-polyaxon
hptuning:
  matrix: {rate: {values: [0.01, 0.03, 0.1]}}
airflow_hpo: {metric: loss, direction: minimize}
run: {cmd: "PYTHON train.py --rate={{ rate }}"}
""",
    "logml": """\
hyper_parameter_optimization:
  algorithm: tpe
  max_evals: 3
  space: {model_train: {rate: [uniform, 0.01, 0.1]}}
airflow_hpo:
  name: foreign-logml
  steps: {model_train: "PYTHON train.py {parameters}"}
""",
    "clearml": """\
hyper_parameters: [{type: DiscreteParameterRange, name: rate, values: [0.01, 0.03, 0.1]}]
objective_metric_title: loss
objective_metric_series: loss
objective_metric_sign: min
optimizer_class: GridSearch
airflow_hpo: {name: foreign-clearml, command: "PYTHON train.py --rate={rate}"}
""",
    "wandb": """\
program: train.py
method: grid
metric: {name: loss, goal: minimize}
parameters: {rate: {values: [0.01, 0.03, 0.1]}}
command: [PYTHON, "${program}", "${args}"]
airflow_hpo: {name: foreign-wandb}
""",
    "katib": """\
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {name: foreign-katib}
spec:
  objective: {type: minimize, objectiveMetricName: loss}
  algorithm: {algorithmName: grid}
  maxTrialCount: 3
  parallelTrialCount: 3
  parameters:
    - {name: rate, parameterType: discrete, feasibleSpace: {list: ["0.01", "0.03", "0.1"]}}
  trialTemplate:
    primaryContainerName: main
    trialParameters: [{name: learningRate, reference: rate}]
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            restartPolicy: Never
            containers:
              - name: main
                command: [PYTHON, train.py, "--rate=${trialParameters.learningRate}"]
""",
}


@pytest.mark.parametrize("dialect", FILES)
def test_a_file_that_is_dropped_there_runs(dialect, dags_folder, dag_bag):
    """
    The whole DAG runs on real data: three trials, each with its value and a loss, and a best one.
    """
    pytest.importorskip("sklearn")
    folder = dags_folder / "blueprints"
    (folder / "train.py").write_text(TRAIN)
    (folder / f"{dialect}.yaml").write_text(FILES[dialect].replace("PYTHON", sys.executable))

    bag = dag_bag(dags_folder / "hpo.py")
    assert bag.import_errors == {}
    done = bag.dags[f"foreign-{dialect}"].test()

    assert str(done.state) == "success"
    record = Study.load(open_storage(), f"foreign-{dialect}-{done.run_id}").record()
    assert [trial.state.value for trial in record.trials] == ["complete"] * 3
    rates = {next(iter(trial.configuration.values())) for trial in record.trials}
    assert len(rates) == 3
    assert len({trial.values for trial in record.trials}) == 3
