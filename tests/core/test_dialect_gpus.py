"""
GPUs that files of other tools ask for, in both directions.
"""

from __future__ import annotations

import json

import pytest

from airflow_hpo.blueprint import check_text, parse_blueprints
from airflow_hpo.blueprint.convert import convert

NATIVE = {
    "hpo": 1,
    "name": "digits",
    "objective": {"metric": "loss", "direction": "minimize"},
    "space": {"lr": {"float": [0.1, 0.9]}},
    "budget": {"trials": 3},
    "strategy": {"name": "random", "seed": 1},
}


def older(resources, **own):
    """
    Return the text of a group of Polyaxon's, version 1.
    """
    return json.dumps(
        {
            "version": 1,
            "kind": "group",
            "environment": {"resources": resources},
            "hptuning": {
                "random_search": {"n_experiments": 3},
                "matrix": {"lr": {"uniform": [0.1, 0.9]}},
            },
            "run": {"cmd": "run {{ lr }}"},
            "airflow_hpo": {"metric": "loss", "direction": "minimize", **own},
        }
    )


def newer(resources, **own):
    """
    Return the text of an operation of Polyaxon's, version 1.1.
    """
    container = {"command": ["run", "{{ lr }}"], "resources": resources}
    matrix = {"kind": "random", "numRuns": 3}
    return json.dumps(
        {
            "version": 1.1,
            "kind": "operation",
            "matrix": {**matrix, "params": {"lr": {"kind": "uniform", "value": [0.1, 0.9]}}},
            "component": {"run": {"kind": "job", "container": container}},
            "airflow_hpo": {"metric": "loss", "direction": "minimize", **own},
        }
    )


def katib(resources, **own):
    """
    Return the text of an Experiment.
    """
    container = {"name": "main", "command": ["run", "${trialParameters.lr}"]}
    pod = {"containers": [{**container, "resources": resources}]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod}}}
    space = {"min": "0.1", "max": "0.9"}
    spec = {
        "objective": {"type": "minimize", "objectiveMetricName": "loss"},
        "algorithm": {"algorithmName": "random"},
        "parallelTrialCount": 1,
        "maxTrialCount": 3,
        "maxFailedTrialCount": 1,
        "parameters": [{"name": "lr", "parameterType": "double", "feasibleSpace": space}],
        "trialTemplate": {
            "trialParameters": [{"name": "lr", "reference": "lr"}],
            "trialSpec": job,
        },
    }
    head = {"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment"}
    return json.dumps({**head, "metadata": {"name": "x"}, "spec": spec, "airflow_hpo": own})


def valohai(resources, **own):
    """
    Return the text of a ``valohai.yaml``; a runner keeps the image from being told of.
    """
    step = {
        "name": "train",
        "image": "python:3.12",
        "command": "run {parameters}",
        "parameters": [{"name": "lr", "type": "float"}],
        "resources": resources,
    }
    rules = {"min": 0.1, "max": 0.9, "distribution": "uniform"}
    task = {
        "name": "digits",
        "step": "train",
        "type": "random_search",
        "execution-count": 3,
        "optimization-target-metric": "loss",
        "optimization-target-value": 0,
        "parameters": [{"name": "lr", "style": "random", "rules": rules}],
    }
    note = {"task": "digits", "runner": "subprocess", **own}
    return json.dumps([{"step": step}, {"task": task}, {"hpo": note}])


def gpus(text):
    """
    Return how many devices a trial of *text* is given.
    """
    (found,) = parse_blueprints(text)
    (step,) = found.trial.steps
    return step.gpus


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (older({"gpu": {"limits": 2}}), 2),
        (older({"gpu": {"requests": "1", "limits": 1.0}}), 1),
        (older({"limits": {"nvidia.com/gpu": 1}}), 1),
        (older({"gpu": None, "cpu": None}), 0),
        (newer({"limits": {"nvidia.com/gpu": 2}, "requests": {"nvidia.com/gpu": "2"}}), 2),
        (newer({"requests": {"nvidia.com/gpu": 1}}), 1),
        (newer({"limits": {"nvidia.com/gpu": 0}}), 0),
        (katib({"limits": {"nvidia.com/gpu": "2"}}), 2),
        (valohai({"devices": {"nvidia.com/gpu": 2}}), 2),
        (valohai({"devices": {}}), 0),
        (valohai(None), 0),
    ],
)
def test_what_a_file_asks_for(text, expected):
    """
    The number of GPUs is the trial's, and nothing is said about it.
    """
    assert gpus(text) == expected
    assert check_text(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        older({"gpu": {"limits": 2}}, gpus=0.5),
        newer({"limits": {"nvidia.com/gpu": 2}}, gpus=0.5),
        katib({"limits": {"nvidia.com/gpu": 2}}, gpus=0.5),
        valohai({"devices": {"nvidia.com/gpu": 2}}, gpus=0.5),
    ],
    ids=["older", "newer", "katib", "valohai"],
)
def test_our_own_number_wins(text):
    """
    What our own section says is taken in place of the file's number.
    """
    assert gpus(text) == 0.5


@pytest.mark.parametrize(("own", "expected"), [({}, 1), ({"gpus": 0}, 0), ({"gpus": 2}, 2)])
def test_pods_get_them_once(own, expected):
    """
    The runner adds what a trial is given, so the pod's template asks for none by itself.
    """
    resources = {"limits": {"nvidia.com/gpu": 1, "cpu": 2}, "requests": {"nvidia.com/gpu": 1}}
    data = json.loads(katib(resources, runner="kubernetes", **own))
    pod = data["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]
    pod["containers"][0]["image"] = "python:3.12"
    (found,) = parse_blueprints(json.dumps(data))

    (container,) = found.trial.runner.options["pod"]["spec"]["containers"]
    assert container["resources"] == {"limits": {"cpu": 2}, "requests": {}}
    assert found.trial.steps[0].gpus == expected


OTHERS = {"limits": {"cpu": 2, "memory": "1Gi"}, "requests": {"cpu": 1, "nvidia.com/gpu": 1}}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (older({"cpu": {"limits": 2}, "gpu": {"limits": 1}}), "cpu has"),
        (newer(OTHERS), "cpu, memory have"),
        (katib(OTHERS), "cpu, memory have"),
        (newer({"limits": {"nvidia.com/mig-1g.5gb": 1}}), "nvidia.com/mig-1g.5gb has"),
        (newer({"limits": {"amd.com/gpu": 1}}), "amd.com/gpu has"),
        (valohai({"cpu": {"min": 1}, "devices": {"nvidia.com/gpu": 1, "x": 2}}), "cpu, x have"),
    ],
    ids=["older", "newer", "katib", "parts", "kinds", "valohai"],
)
def test_what_else_is_asked_for(text, names):
    """
    What no runner is told of is said once, by name, and nothing else is.
    """
    (problem,) = check_text(text)

    assert problem.severity == "warning"
    assert problem.message.startswith(f"{names} no effect: ")
    assert problem.path.endswith("resources")


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (older({"gpu": 1}), "gpu", "must be a mapping, got 1"),
        (older({"gpu": {"limits": 2, "requests": 1}}), "gpu.requests", "must be as many as"),
        (older({"gpu": {"limit": 1}}), "gpu.limit", "must be limits or requests, got 'limit'"),
        (newer({"limits": {"nvidia.com/gpu": 0.5}}), "limits.nvidia.com/gpu", "must be a whole"),
        (newer({"limits": {"nvidia.com/gpu": -1}}), "limits.nvidia.com/gpu", "must be at least 0"),
        (newer([1]), "resources", "must be a mapping, got [1]"),
        (katib({"limits": {"nvidia.com/gpu": "many"}}), "limits.nvidia.com/gpu", "must be a whole"),
        (katib({"requests": 1}), "requests", "must be a mapping, got 1"),
        (valohai({"devices": {"nvidia.com/gpu": 0}}), "nvidia.com/gpu", "must be at least 1"),
        (valohai({"devices": {"nvidia.com/gpu": True}}), "nvidia.com/gpu", "must be a whole"),
    ],
)
def test_broken_counts(text, path, message):
    """
    What is no number of devices is refused where it stands.
    """
    (problem,) = check_text(text)

    assert problem.severity == "error"
    assert problem.path.endswith(path)
    assert problem.message.startswith(message)
    assert (problem.line, problem.column > 1) == (1, True)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (newer({"limits": {"nvidia.com/gpu": 0.5}}), "write airflow_hpo: {gpus: 0.5}"),
        (valohai({"devices": {"nvidia.com/gpu": 0.5}}), "write a top-level item - hpo: {task"),
        (newer({"limits": {"nvidia.com/gpu": "{{ n }}"}}), "write airflow_hpo: {gpus: 1}"),
    ],
)
def test_how_a_share_is_written(text, hint):
    """
    Where a file cannot say it, the hint says what can: our own section, in the file's form.
    """
    (problem,) = check_text(text)

    assert problem.hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (older({"gpu": {"limits": 1}}, runner="inline"), "environment.resources.gpu.limits"),
        (valohai({"devices": {"nvidia.com/gpu": 1}}, runner="inline"), "devices.nvidia.com/gpu"),
        (katib({"limits": {"nvidia.com/gpu": 1}}, runner="inline"), "limits.nvidia.com/gpu"),
    ],
    ids=["older", "valohai", "katib"],
)
def test_a_runner_without_devices(text, path):
    """
    Devices that the runner cannot give are refused where the file asks for them.
    """
    found = [problem for problem in check_text(text) if "must be 0 with" in problem.message]

    assert len(found) == 1
    assert found[0].path.endswith(path)


@pytest.mark.parametrize("dialect", ["valohai", "polyaxon"])
@pytest.mark.parametrize(
    ("trial", "expected", "lost"),
    [
        ({"command": "run {lr}", "gpus": 2}, 2, False),
        ({"command": "run {lr}"}, 0, False),
        ({"command": "run {lr}", "gpus": 0.5}, 1, True),
        (
            {
                "steps": [
                    {"name": "a", "command": "make", "gpus": 0},
                    {"name": "b", "command": "run {lr}", "gpus": 2},
                ]
            },
            2,
            True,
        ),
    ],
    ids=["whole", "none", "a share", "steps"],
)
def test_written(dialect, trial, expected, lost):
    """
    Whole devices are there again; what they have no word for is written as more, and told.
    """
    (blueprint,) = parse_blueprints(json.dumps({**NATIVE, "trial": trial}))

    written = convert(blueprint, to=dialect)

    assert gpus(written.text) == expected
    assert ("nvidia.com/gpu" in written.text) is (expected > 0)
    assert ("trial.gpus" in {loss.path for loss in written.losses}) is lost
