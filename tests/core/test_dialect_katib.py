"""
The dialect of Katib: spaces, algorithms, commands word by word, metrics, an Experiment that runs.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_hpo.blueprint import check_text, load_blueprint, parse_blueprints
from airflow_hpo.blueprint.commands import parse_command
from airflow_hpo.blueprint.dialects.katib.keys import FILE
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.metrics.regex import RegexCollector, RegexOptions
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int, LogNormal, Normal
from airflow_hpo.model.ladder import Scale, hyperband, total_trials
from airflow_hpo.model.objective import Objective

FOLDER = Path(__file__).parent.parent / "blueprints"
GOOD = sorted((FOLDER / "good" / "katib").glob("*.yaml"))

# Others' examples, where somebody has put them; what is wrong with two of them.
THEIRS = sorted((Path(__file__).parents[3] / "shared" / "data" / "peers").glob("katib_*.yaml"))
REFUSED = {
    "katib_hyperband": "must be at least 5 for strategy hyperband",
    "katib_simple-pbt": "must be one of random, grid",
}

LR = {"name": "lr", "parameterType": "double", "feasibleSpace": {"min": "0.001", "max": "0.1"}}


def experiment(*parameters, words=("train",), env=(), refs=None, own=None, **spec):
    """
    Return an Experiment that searches *parameters*, or else a learning rate.
    """
    parameters = list(parameters) or [LR]
    refs = {p["name"]: p["name"] for p in parameters} if refs is None else refs
    container = {"name": "main", "command": list(words), "env": list(env)}
    usual = {
        "objective": {"type": "minimize", "objectiveMetricName": "loss"},
        "algorithm": {"algorithmName": "random"},
        "maxTrialCount": 5,
        "parameters": parameters,
        "trialTemplate": {
            "trialParameters": [{"name": a, "reference": b} for a, b in refs.items()],
            "trialSpec": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "spec": {"template": {"spec": {"containers": [container]}}},
            },
        },
    }
    spec = {name: value for name, value in {**usual, **spec}.items() if value is not None}
    head = {"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment"}
    return {**head, "metadata": {"name": "digits"}, "spec": spec, "airflow_hpo": own or {}}


def read(*parameters, **more):
    """
    Return the blueprint of such a file.
    """
    (blueprint,) = parse_blueprints(json.dumps(experiment(*parameters, **more)))
    return blueprint


def algorithm(name, **settings):
    """
    Return the section of an algorithm.
    """
    given = [{"name": key, "value": str(value)} for key, value in settings.items()]
    return {"algorithmName": name, "algorithmSettings": given}


def words(blueprint, values, **environment):
    """
    Return the words that a shell makes of the command.
    """
    line = parse_command(blueprint.trial.steps[0]).render(values)
    *exports, command = line.split("\n")
    script = "\n".join([*exports, f"printf '%s\\0' {command}"])
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], **blueprint.trial.environment, **environment},
    )
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    ("kind", "space", "distribution"),
    [
        ("double", {"min": "0", "max": "1"}, Float(low=0, high=1)),
        ("double", {"min": "1", "max": "2", "step": "0.5"}, Float(low=1, high=2, step=0.5)),
        ("double", {"min": "2", "max": "2"}, Constant(value=2.0)),
        (
            "double",
            {"min": "1e-3", "max": "1", "distribution": "logUniform"},
            Float(low=0.001, high=1, log=True),
        ),
        (
            "double",
            {"min": "-3", "max": "9", "distribution": "normal"},
            Normal(mean=3, deviation=2),
        ),
        (
            "double",
            {"min": "1", "max": "1", "distribution": "uniform"},
            Constant(value=1.0),
        ),
        ("int", {"min": "1", "max": "9"}, Int(low=1, high=9)),
        ("int", {"min": "1", "max": "9", "step": "4"}, Int(low=1, high=9, step=4)),
        (
            "int",
            {"min": "1", "max": "9", "distribution": "logUniform"},
            Int(low=1, high=9, log=True),
        ),
        (
            "int",
            {"min": "10", "max": "70", "distribution": "normal"},
            Normal(mean=40, deviation=10, step=1),
        ),
        ("discrete", {"list": ["1", "2.5"]}, Categorical(choices=(1, 2.5))),
        ("discrete", {"list": ["1.0", "1e1"]}, Categorical(choices=("1.0", "1e1"))),
        ("categorical", {"list": ["a", "1"]}, Categorical(choices=("a", "1"))),
        ("categorical", {"list": ["a"]}, Constant(value="a")),
    ],
)
def test_each_space(kind, space, distribution):
    """
    Each type and distribution draws what Katib's services draw; texts are passed as they are.
    """
    x = {"name": "x", "parameterType": kind, "feasibleSpace": space}

    assert read(x, LR).space.by_name["x"].distribution == distribution


def test_lognormal_bounds_are_three_deviations_away():
    """
    A log-normal parameter has its bounds' logarithms three deviations from the mean.
    """
    space = {"min": "1", "max": "8", "distribution": "logNormal"}
    x = {"name": "x", "parameterType": "double", "feasibleSpace": space}
    found = read(x).space.by_name["x"].distribution

    assert isinstance(found, LogNormal)
    assert found.from_unit(0.5) == pytest.approx(8**0.5)
    assert found.mean + 3 * found.deviation == pytest.approx(2.0794415)


@pytest.mark.parametrize(
    ("given", "name", "startup", "options"),
    [
        (algorithm("random"), "random", None, {}),
        (algorithm("grid"), "grid", None, {}),
        (algorithm("tpe"), "hyperopt_tpe", 3, {}),
        (algorithm("tpe", gamma=0.5), "hyperopt_tpe", 3, {"gamma": 0.5}),
        (algorithm("multivariate-tpe"), "tpe", 10, {"multivariate": True}),
        (algorithm("sobol"), "qmc", None, {}),
        (algorithm("bayesianoptimization"), "gp", 10, {"acquisition": "ei"}),
        (
            algorithm("bayesianoptimization", acq_func="LCB", n_initial_points=4),
            "gp",
            4,
            {"acquisition": "ucb"},
        ),
    ],
)
def test_each_algorithm(given, name, startup, options):
    """
    Each algorithm becomes the strategy that does the same, with its settings.
    """
    given = copy.deepcopy(given)
    if name != "qmc":
        given["algorithmSettings"].append({"name": "random_state", "value": "7"})
    space = {"min": "0.1", "max": "2", "step": "0.1"}
    x = {"name": "x", "parameterType": "double", "feasibleSpace": space}
    found = read(x, algorithm=given, maxTrialCount=20).strategy

    assert (found.name, found.startup_trials, found.options) == (name, startup, options)
    assert found.seed == (None if name == "qmc" else 7)


def test_hyperband_has_all_brackets():
    """
    The resource leaves the space, and there is room for every bracket, to the last trial.
    """
    epochs = {
        "name": "epochs", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "9"},
    }  # fmt: skip
    given = algorithm("hyperband", resource_name="epochs", eta=3, r_l=9)
    found = read(
        LR, epochs, algorithm=given, maxTrialCount=None, words=["t", "${trialParameters.epochs}"]
    )

    assert list(found.space.by_name) == ["lr"]
    assert (found.resource.name, found.resource.min, found.resource.max) == ("epochs", 1, 9)
    assert found.budget.trials == total_trials(hyperband(Scale(1, 9, 3, whole=True)))
    assert words(found, {"lr": 0.1, "epochs": 3}) == ["t", "3"]


@pytest.mark.parametrize(
    ("objective", "value", "bound"),
    [
        ({"type": "minimize", "goal": 0.5}, "min", "at_most"),
        ({"type": "maximize", "goal": 0.5}, "max", "at_least"),
        (
            {
                "type": "maximize",
                "goal": 0.5,
                "metricStrategies": [{"name": "m", "value": "latest"}],
            },
            "last",
            "at_least",
        ),
    ],
)
def test_objective(objective, value, bound):
    """
    The best value counts, unless a strategy says otherwise; the goal ends the study.
    """
    found = read(objective={**objective, "objectiveMetricName": "m"})

    assert found.objectives == (Objective(metric="m", direction=objective["type"], value=value),)
    assert getattr(found.stop[0], bound) == 0.5


def test_limits():
    """
    Counts, time, retries, devices and whether a study goes on come from the Experiment.
    """
    data = experiment(parallelTrialCount=2, maxFailedTrialCount=0, resumePolicy="FromVolume")
    job = data["spec"]["trialTemplate"]["trialSpec"]["spec"]
    job |= {"backoffLimit": 2, "activeDeadlineSeconds": 90}
    container = job["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"nvidia.com/gpu": "2"}}
    (found,) = parse_blueprints(json.dumps(data))

    assert (found.name, found.study) == ("digits", "digits")
    assert (found.execution.mode, found.execution.concurrency) == ("async", 2)
    assert found.budget.failures == 1
    assert (found.trial.retries.code, found.trial.timeout_s) == (2, 90)
    assert found.trial.steps[0].gpus == 2
    assert read().execution.concurrency == 3
    assert read().study is None


def test_words_are_what_a_container_gets():
    """
    Parameters and the container's variables are filled in; nothing else is touched by the shell.
    """
    x = {"name": "x-y", "parameterType": "categorical"}
    x["feasibleSpace"] = {"list": ["a b", "$HOME", "c'\"d"]}
    given = [
        "train", "--x=${trialParameters.p}", "<${trialParameters.p}> `id` {z} $X",
        "$(DATA)/$(NONE)", "$$(DATA)", "${trialParameters.name}",
    ]  # fmt: skip
    env = [{"name": "DATA", "value": "/a b"}, {"name": "COPY", "value": "<${trialParameters.p}>"}]
    refs = {"p": "x-y", "name": "${trialSpec.Name}"}
    found = read(x, words=[*given, "$(COPY)"], env=env, refs=refs)

    for value in x["feasibleSpace"]["list"]:
        assert words(found, {"x-y": value}, HPO_STUDY="s 1", HPO_TRIAL="4") == [
            "train", f"--x={value}", f"<{value}> `id` {{z}} $X", "/a b/$(NONE)", "$(DATA)", "s 1-4",
            f"<{value}>",
        ]  # fmt: skip


def test_rounded_numbers_are_whole_and_scripts_are_scripts():
    """
    A normal int is passed as one; the script of a shell is taken out, braces and all.
    """
    space = {"min": "10", "max": "70", "distribution": "normal"}
    x = {"name": "x", "parameterType": "int", "feasibleSpace": space}
    script = "echo '{{ y }}' \"${trialParameters.x}\" | tr y z"
    found = read(x, words=["/bin/sh", "-c", script])
    line = parse_command(found.trial.steps[0]).render({"x": 42.0})

    assert line == "echo '{{ y }}' \"42\" | tr y z"


def test_empty_values_are_words():
    """
    A value that is empty is passed all the same, in either language of commands.
    """
    space = {"min": "10", "max": "70", "distribution": "normal"}
    x = {"name": "x", "parameterType": "int", "feasibleSpace": space}
    y = {"name": "y", "parameterType": "categorical", "feasibleSpace": {"list": ["", "a"]}}
    given = ["${trialParameters.y}", "-y=${trialParameters.y}", "${trialParameters.lr}"]

    for other in (x, {**LR, "name": "x"}):
        found = read(LR, other, y, words=given, refs={"y": "y", "lr": "lr"})
        assert words(found, {"x": 42.0, "y": "", "lr": 0.5}) == ["", "-y=", "0.5"]


class TestMetrics:
    """
    Lines are read as Katib's collector reads them.
    """

    def collected(self, lines, *, filters=None, names=()):
        """
        Return what is measured in *lines*.
        """
        source = {} if filters is None else {"source": {"filter": {"metricsFormat": filters}}}
        objective = {
            "type": "minimize", "objectiveMetricName": "loss", "additionalMetricNames": list(names),
        }  # fmt: skip
        spec = read(objective=objective, metricsCollectorSpec=source).trial.metrics
        collector = RegexCollector(RegexOptions.model_validate(spec.options))
        return [dict(found.metrics) for found in collector.feed(lines, 0.0)]

    def test_usual(self):
        """
        A name, an equals sign and a number; the name as a whole.
        """
        lines = ["epoch 1: loss=0.5, val-acc = 1e-3", "val_loss=3", "x-loss=4", "loss=-.5 loss=9"]

        assert self.collected(lines, names=["val-acc"]) == [
            {"loss": 0.5, "val-acc": 0.001},
            {"loss": -0.5},
        ]

    @pytest.mark.parametrize(
        ("pattern", "line"),
        [
            (r"([\w|-]+): ((-?\d+)(\.\d+)?)", "loss: -1.5"),
            (
                r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}",
                "{metricName: loss, metricValue: -1.5}",
            ),
            (r"[(]((?:a|[\w)])+)\) is (\S+)", "(loss) is -1.5"),
        ],
    )
    def test_filter(self, pattern, line):
        """
        The first group of a filter is the name, the second the value, whatever is in them.
        """
        assert re.search(pattern, line)
        assert self.collected([line], filters=[pattern]) == [{"loss": -1.5}]


def test_pod_goes_to_the_cluster():
    """
    With the runner kubernetes the whole pod is its template, but for what we put in ourselves.
    """
    found = load_blueprint(FOLDER / "good" / "katib" / "kubernetes.yaml").trial.runner
    (_, main) = found.options["pod"]["spec"]["containers"]

    assert (found.name, found.options["container"], found.options["namespace"]) == (
        "kubernetes", "main", "team",
    )  # fmt: skip
    assert main["image"] == "digits:1"
    assert not {"command", "args"} & main.keys()


def test_image_goes_to_docker():
    """
    With the runner docker the container's image is the one that is used.
    """
    found = load_blueprint(FOLDER / "good" / "katib" / "docker.yaml").trial.runner

    assert found.options == {"image": "digits:1", "network": "none"}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_schema_knows_good_files(path):
    """
    The JSON Schema accepts every good file, and no other kind of one.
    """
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(FILE.schema())
    data = read_document(path.read_bytes()).data

    assert list(validator.iter_errors(data)) == []
    assert not validator.is_valid({**data, "kind": "Trial"})


@pytest.mark.skipif(not THEIRS, reason="needs the examples of peers, which are not here")
@pytest.mark.parametrize("path", THEIRS, ids=lambda path: path.stem)
def test_their_examples(path):
    """
    The examples of Katib's own are read, but for two that say why not.
    """
    errors = [p for p in check_text(path.read_bytes()) if p.severity == "error"]

    assert len(errors) == (path.stem in REFUSED)
    assert all(REFUSED[path.stem] in problem.message for problem in errors)


TRAIN = """
import sys
lr, units = (word.partition("=")[2] for word in sys.argv[1:])
for epoch in range(1, 4):
    print(f"epoch {epoch}: loss={float(lr) * int(units) / epoch:.6f} accuracy=0.5")
"""


def test_experiment_runs(hpo, tmp_path):
    """
    An Experiment runs to its end from the command line, with the metrics that it prints.
    """
    (tmp_path / "train.py").write_text(TRAIN, "utf-8")
    units = {"name": "units", "parameterType": "discrete", "feasibleSpace": {"list": ["8", "16"]}}
    given = [
        sys.executable,
        "train.py",
        "--lr=${trialParameters.lr}",
        "--n=${trialParameters.units}",
    ]
    data = experiment(LR, units, words=given, maxTrialCount=3, resumePolicy="LongRunning")
    (tmp_path / "experiment.yaml").write_text(json.dumps(data))

    done = hpo.process("run", tmp_path / "experiment.yaml", "--format", "json")

    assert json.loads(done.stdout)["states"] == {"complete": 3}
    for trial in hpo.trials("digits"):
        lr, units = trial.configuration["lr"], trial.configuration["units"]
        assert trial.values == (pytest.approx(lr * units / 3, abs=1e-6),)
