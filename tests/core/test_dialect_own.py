"""
Our own section in files of other tools: the same keys mean the same in each of them.
"""

from __future__ import annotations

import copy
import json

import pytest

from airflow_hpo.blueprint import check_text, parse_blueprints
from airflow_hpo.model.blueprint import MetricsSpec, RunnerSpec

WANDB = {
    "method": "random",
    "metric": {"name": "loss"},
    "program": "train.py",
    "run_cap": 3,
    "parameters": {"lr": {"min": 0.1, "max": 0.9}},
}
KATIB = {
    "apiVersion": "kubeflow.org/v1beta1",
    "kind": "Experiment",
    "metadata": {"name": "digits"},
    "spec": {
        "objective": {"type": "minimize", "objectiveMetricName": "loss"},
        "algorithm": {"algorithmName": "random"},
        "parallelTrialCount": 1,
        "maxTrialCount": 3,
        "maxFailedTrialCount": 1,
        "parameters": [
            {
                "name": "lr",
                "parameterType": "double",
                "feasibleSpace": {"min": "0.1", "max": "0.9"},
            }
        ],
        "trialTemplate": {
            "primaryContainerName": "main",
            "trialParameters": [{"name": "lr", "reference": "lr"}],
            "trialSpec": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [
                                {"name": "main", "command": ["run", "${trialParameters.lr}"]}
                            ]
                        }
                    }
                },
            },
        },
    },
}
CLEARML = {
    "base_task_id": "train.py",
    "hyper_parameters": [
        {"type": "UniformParameterRange", "name": "lr", "min_value": 0.1, "max_value": 0.9}
    ],
    "objective_metric_title": "loss",
    "objective_metric_series": "loss",
    "objective_metric_sign": "min",
    "total_max_jobs": 3,
}
LOGML = {
    "hyper_parameter_optimization": {
        "max_evals": 3,
        "space": {"model_train": {"lr": ["uniform", 0.1, 0.9]}},
    },
    "airflow_hpo": {"command": "python train.py"},
}
OLDER = {
    "version": 1,
    "kind": "group",
    "hptuning": {
        "random_search": {"n_experiments": 3},
        "matrix": {"lr": {"uniform": [0.1, 0.9]}},
    },
    "run": {"cmd": "run {{ lr }}"},
    "airflow_hpo": {"metric": "loss", "direction": "minimize"},
}
NEWER = {
    "version": 1.1,
    "kind": "operation",
    "matrix": {
        "kind": "random",
        "numRuns": 3,
        "params": {"lr": {"kind": "uniform", "value": [0.1, 0.9]}},
    },
    "component": {
        "run": {"kind": "job", "container": {"command": ["run", "{{ lr }}"]}},
    },
    "airflow_hpo": {"metric": "loss", "direction": "minimize"},
}
FILES = {
    "wandb": WANDB,
    "katib": KATIB,
    "clearml": CLEARML,
    "logml": LOGML,
    "polyaxon": OLDER,
    "polyaxon-1.1": NEWER,
}

# What a tool has a key of its own for; the section says which.
THEIRS = {
    ("clearml", "timeout"): "write time_limit_per_job at the top, in minutes",
    ("clearml", "value"): "write objective_metric_sign: min_global or max_global at the top",
    ("logml", "seed"): "write random_seed, in hyper_parameter_optimization",
}


def written(tool, **own):
    """
    Return the text of a file of *tool* with *own* in our section.
    """
    data = copy.deepcopy(FILES[tool])
    data["airflow_hpo"] = {**data.get("airflow_hpo", {}), **own}
    return json.dumps(data)


def read(tool, **own):
    """
    Return the blueprint of that file.
    """
    (found,) = parse_blueprints(written(tool, **own))
    assert found.source.dialect == tool.partition("-")[0]
    return found


def errors(text):
    """
    Return what refuses *text*.
    """
    return [problem for problem in check_text(text) if problem.severity == "error"]


@pytest.mark.parametrize("tool", FILES)
def test_of_a_trial(tool):
    """
    Where and with what a trial runs is taken from the section, and is left alone without it.
    """
    found = read(
        tool,
        name="mine",
        workdir="code",
        environment={"A": "1"},
        runner={"name": "docker", "image": "x", "network": "none"},
        metrics={"format": "regex", "patterns": {"loss": "loss (.*)"}},
        gpus=0.5,
    )

    assert found.name == "mine"
    assert found.trial.workdir == "code"
    assert found.trial.environment["A"] == "1"
    options = {"image": "x", "network": "none"}
    assert found.trial.runner.name == "docker"
    assert found.trial.runner.options.items() >= options.items()
    assert found.trial.metrics.options == {"patterns": {"loss": "loss (.*)"}}
    assert found.trial.steps[0].gpus == 0.5

    plain = read(tool)
    assert plain.trial.steps[0].gpus == 0
    assert plain.trial.runner == RunnerSpec()


@pytest.mark.parametrize("tool", FILES)
def test_a_name_alone(tool):
    """
    Metrics and a runner may be chosen by their name, without options.
    """
    found = read(tool, runner="subprocess", metrics="json_lines")

    assert found.trial.runner == RunnerSpec(name="subprocess")
    assert found.trial.metrics == MetricsSpec(format="json_lines")


@pytest.mark.parametrize(
    ("key", "value", "field", "expected"),
    [
        ("timeout", "1m30s", lambda found: found.trial.timeout_s, 90),
        ("seed", 7, lambda found: found.strategy.seed, 7),
        ("value", "min", lambda found: found.objectives[0].value, "min"),
    ],
    ids=["timeout", "seed", "value"],
)
@pytest.mark.parametrize("tool", FILES)
def test_what_some_tools_have(tool, key, value, field, expected):
    """
    A key means the same everywhere; where the tool has one of its own, that is what is told.
    """
    if (tool, key) not in THEIRS:
        assert field(read(tool, **{key: value})) == expected
        return

    (problem,) = errors(written(tool, **{key: value}))

    assert (problem.path, problem.hint) == (f"airflow_hpo.{key}", THEIRS[tool, key])


@pytest.mark.parametrize("tool", FILES)
def test_mistakes(tool):
    """
    Everything that is wrong with the section is told at its place, at once.
    """
    wrong = {
        "name": "a name",
        "environment": {"1": "x"},
        "gpus": 1.5,
        "metrics": {"pattern": "x"},
        "nmae": "x",
    }

    found = errors(written(tool, **wrong))

    assert {problem.path for problem in found} >= {
        "airflow_hpo.name",
        "airflow_hpo.environment.1",
        "airflow_hpo.gpus",
        "airflow_hpo.metrics",
        "airflow_hpo.nmae",
    }
    assert all(problem.line == 1 and problem.column > 1 for problem in found)


@pytest.mark.parametrize("tool", FILES)
def test_what_is_found_out_later(tool):
    """
    A runner that there is not, and devices that a runner cannot give, are told in the section.
    """
    (unknown,) = errors(written(tool, runner="dockr"))
    inline = {"name": "inline", "callable": "math:sqrt"}
    given = errors(written(tool, runner=inline, gpus=1))

    assert unknown.path == "airflow_hpo.runner"
    assert "airflow_hpo.gpus" in {problem.path for problem in given}


@pytest.mark.parametrize("tool", FILES)
@pytest.mark.parametrize("section", [None, 3, [1]])
def test_no_section(tool, section):
    """
    A section that is no mapping is refused, and the rest of the file read all the same.
    """
    data = {**FILES[tool], "airflow_hpo": section}

    found = errors(json.dumps(data))

    assert "airflow_hpo" in {problem.path for problem in found}


def test_steps_of_logml():
    """
    Each step of Log(ML)'s workflow that has a command is given the devices.
    """
    found = read("logml", gpus=2)
    assert [step.gpus for step in found.trial.steps] == [2]

    data = copy.deepcopy(LOGML)
    steps = {"dataset_create": "create", "model_train": "train {lr}"}
    data["airflow_hpo"] = {"steps": steps, "gpus": 2, "metrics": "json_lines"}
    (found,) = parse_blueprints(json.dumps(data))

    assert [(step.name, step.gpus) for step in found.trial.steps] == [
        ("dataset_create", 2),
        ("model_train", 2),
    ]
    assert found.trial.metrics == MetricsSpec(format="json_lines")


def test_variables_of_logml():
    """
    Variables that tell a trial of Log(ML) its config are not given by anybody else.
    """
    (found,) = errors(written("logml", environment={"LOGML_BASE": "x"}))

    assert found.path == "airflow_hpo.environment.LOGML_BASE"
    assert "other than LOGML_BASE, LOGML_CONFIG" in found.message
