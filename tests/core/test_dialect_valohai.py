"""
Valohai's files: what each key becomes, value by value and command by command.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint import check_text, parse_blueprints
from airflow_hpo.blueprint.dialects.valohai.commands import Filling, Script, join
from airflow_hpo.blueprint.dialects.valohai.declared import Declared
from airflow_hpo.blueprint.dialects.valohai.keys import seconds_of
from airflow_hpo.blueprint.dialects.valohai.tasks import slug
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.blueprint.template import Template
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int
from airflow_hpo.strategies import strategy_for
from airflow_hpo.testing.damage import changed, paths

FOLDER = Path(__file__).parent.parent / "blueprints"


def blueprint_of(parameters, *, task=None, declared=None, note=None):
    """
    Return the blueprint of one task over a step with a few parameters.
    """
    step = {
        "name": "train",
        "image": "python:3.12",
        "command": "python train.py {parameters}",
        "parameters": declared
        or [
            {"name": "lr", "type": "float", "default": 0.1},
            {"name": "epochs", "type": "integer", "default": 5},
            {"name": "optimizer", "default": "adam"},
            {"name": "quick", "type": "flag"},
        ],
    }
    keys = {
        "name": "digits",
        "step": "train",
        "optimization-target-metric": "loss",
        "optimization-target-value": 0,
        "parameters": parameters,
        **(task or {}),
    }
    items = [{"step": step}, {"task": {k: v for k, v in keys.items() if v is not None}}]
    if note:
        items.append({"hpo": {"task": "digits", **note}})
    (blueprint,) = parse_blueprints(json.dumps(items))
    return blueprint


def variant(name, style, **rules):
    """
    Return one parameter of a task.
    """
    return {"name": name, "style": style, "rules": rules}


def distribution(blueprint, name):
    """
    Return the distribution of one parameter.
    """
    return blueprint.space.by_name[name].distribution


def rows(blueprint, count=100):
    """
    Return the configurations that are tried, as tuples.
    """
    found = strategy_for(blueprint).suggest(blueprint.space, (), count, seed=1)
    return [tuple(suggestion.configuration.values()) for suggestion in found]


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (variant("lr", "multiple", items=[1, 0.5, "1e-3"]), [1.0, 0.5, 0.001]),
        (variant("epochs", "multiple", items=["7", 2.0]), [7, 2]),
        (variant("optimizer", "multiple", items=["sgd", 1, True]), ["sgd", "1", "True"]),
        (variant("quick", "multiple", items=[True, "no"]), [True, False]),
        (
            variant("lr", "linear", start=0.8, end=0.9, step=0.01),
            [0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.87, 0.88, 0.89, 0.9],
        ),
        (
            variant("lr", "linear", start=0.001, end=0.002, step=0.0002),
            [0.001, 0.0012, 0.0014, 0.0016, 0.0018, 0.002],
        ),
        (variant("epochs", "linear", start=5, end=1, step=-2), [5, 3, 1]),
        (variant("epochs", "linear", start=1, end=4, step=2), [1, 3]),
        (variant("epochs", "linear", start=1, end=2, step=0.5), [1, 2]),
        (variant("optimizer", "linear", start=1, end=2, step=1), ["1", "2"]),
        (variant("epochs", "logspace", start=2, end=8, count=4, base=2), [4, 16, 64, 256]),
        (variant("lr", "logspace", min=-5, max=-1, count=5), [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]),
        (variant("lr", "logspace", start=0, end=1, count=3, integerify=True), [1.0, 3.0, 10.0]),
        (variant("lr", "logspace", start=-1, end=1, count=3, integerify=True), [0.0, 1.0, 10.0]),
        (variant("lr", "random", distribution="choice", items=[3, 4]), [3.0, 4.0]),
    ],
)
def test_listed_values(parameter, values):
    """
    Styles list their values in the type that the step declares.
    """
    found = distribution(blueprint_of([parameter]), parameter["name"])

    assert isinstance(found, Categorical)
    assert list(found.choices) == values
    assert [type(value) for value in found.choices] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (variant("lr", "single", value=25), 25.0),
        (variant("epochs", "linear", start=25, end=25, step=1), 25),
        (variant("epochs", "logspace", start=1, end=5, count=1), 10),
        (variant("epochs", "logspace", start=2, end=2, count=4), 100),
        (variant("optimizer", "multiple", items=["sgd"]), "sgd"),
    ],
)
def test_one_value_is_a_constant(parameter, value):
    """
    A style that comes to one value fixes the parameter.
    """
    blueprint = blueprint_of([parameter])

    assert distribution(blueprint, parameter["name"]) == Constant(value=value)
    assert blueprint.strategy.name == "manual"
    assert blueprint.budget.trials == 1


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (variant("lr", "random", min=1, max=2), Float(low=1, high=2)),
        (
            variant("lr", "random", min=1, max=2, step=0, distribution="Uniform"),
            Float(low=1, high=2),
        ),
        (
            variant("lr", "random", min=-5, max=-1, distribution="Log Uniform"),
            Float(low=1e-5, high=0.1, log=True),
        ),
        (
            variant("lr", "random", min=1, max=4, distribution="logarithmic_uniform", base=2),
            Float(low=2, high=16, log=True),
        ),
        (
            variant("lr", "random", min=0, max=1, step=0.25),
            Float(low=0, high=1, step=0.25, anchor="zero"),
        ),
        (
            variant("lr", "random", min=0.3, max=1.1, step=0.25, distribution="quniform"),
            Float(low=0.5, high=1, step=0.25, anchor="zero"),
        ),
        (
            variant("lr", "random", min=0.5, max=4, distribution="integer"),
            Float(low=1, high=4, step=1),
        ),
        (
            variant("lr", "random", min=0.5, max=4.5, integerify=True),
            Float(low=0, high=4, step=1),
        ),
        (variant("epochs", "random", min=0.5, max=4.5), Int(low=1, high=4)),
        (
            variant("epochs", "random", min=16, max=128, step=16, distribution="integer"),
            Int(low=16, high=128, step=16),
        ),
        (
            variant("epochs", "random", min=0, max=3, distribution="loguniform"),
            Int(low=1, high=1000, log=True),
        ),
        (
            variant("lr", "multiple", items=[1, 2]),
            Categorical(choices=(1.0, 2.0)),
        ),
        (
            variant("epochs", "linear", start=1, end=3, step=1),
            Categorical(choices=(1, 2, 3)),
        ),
    ],
)
@pytest.mark.parametrize("kind", ["random_search", "bayesian_tpe"])
def test_searched_distributions(kind, parameter, expected):
    """
    What is drawn in each execution keeps its bounds as values, exponents raised.
    """
    blueprint = blueprint_of([parameter], task={"type": kind, "execution-count": 30})

    assert distribution(blueprint, parameter["name"]) == expected


def test_grid():
    """
    A grid goes through all combinations, the step's last parameter fastest.
    """
    blueprint = blueprint_of(
        [variant("epochs", "multiple", items=[1, 2]), variant("lr", "multiple", items=[3, 4])]
    )

    assert blueprint.budget.trials == 4
    assert blueprint.execution.batch_size == 4
    assert blueprint.execution.concurrency is None
    assert rows(blueprint) == [
        (3.0, 1, "adam"),
        (3.0, 2, "adam"),
        (4.0, 1, "adam"),
        (4.0, 2, "adam"),
    ]


@pytest.mark.parametrize(
    ("task", "batch", "concurrency"),
    [
        ({}, 8, None),
        ({"maximum-queued-executions": 3}, 8, 3),
        ({"execution-batch-size": 4}, 4, None),
        ({"execution-batch-size": 40}, 8, None),
        ({"stop-condition": "loss < 1"}, 5, None),
        ({"stop-condition": "loss < 1", "maximum-queued-executions": 2}, 2, 2),
        ({"on-child-error": "stop-all-and-error", "maximum-queued-executions": 20}, 8, 8),
    ],
)
def test_rounds(task, batch, concurrency):
    """
    All executions are one round, unless something may end the task before them.
    """
    parameter = variant("lr", "linear", start=1, end=8, step=1)

    execution = blueprint_of([parameter], task=task).execution

    assert (execution.batch_size, execution.concurrency) == (batch, concurrency)


def test_grid_of_random_values():
    """
    Values that are drawn for a grid are the same at each reading, and the seed counts.
    """

    def drawn(**rules):
        parameter = variant(
            "lr", "random", min=-3, max=-1, count=6, distribution="loguniform", **rules
        )
        return distribution(blueprint_of([parameter]), "lr").choices

    assert drawn() == drawn()
    assert drawn() != drawn(seed=1)
    assert len(drawn()) == 6
    assert all(1e-3 <= value <= 1e-1 for value in drawn())


def test_manual_search_of_sets():
    """
    Each set is an execution; what it lacks has the step's default.
    """
    blueprint = blueprint_of(
        None,
        task={
            "type": "manual_search",
            "parameter-sets": [{"lr": 1, "epochs": 2}, {"lr": 3}, {}, {"epochs": 7, "quick": True}],
        },
    )

    assert rows(blueprint) == [
        (1.0, 2, "adam", False),
        (3.0, 5, "adam", False),
        (0.1, 7, "adam", True),
    ]


def test_manual_search_of_lists():
    """
    Lists are taken side by side; one value stands for all.
    """
    parameters = [
        variant("lr", "multiple", items=[1, 2]),
        variant("epochs", "linear", start=3, end=4, step=1),
        variant("optimizer", "multiple", items=["sgd"]),
    ]
    blueprint = blueprint_of(parameters, task={"type": "manual_search"})

    assert rows(blueprint) == [(1.0, 3, "sgd"), (2.0, 4, "sgd")]


def test_bayesian_defaults():
    """
    Twenty executions are random, fifty are run, five at a time, near to the target.
    """
    blueprint = blueprint_of(
        [variant("lr", "random", min=0, max=1)],
        task={"type": "bayesian_tpe", "optimization-target-value": 1},
    )

    assert blueprint.strategy.name == "tpe"
    assert blueprint.strategy.startup_trials == 20
    assert blueprint.budget.trials == 50
    assert blueprint.execution.batch_size == 5
    assert blueprint.objectives[0].target == 1.0
    assert blueprint.objectives[0].direction is None
    assert blueprint.objectives[0].value == "last"
    assert blueprint.trial.on_failure == "continue_then_fail"


def test_task_keys():
    """
    Every key of a task has its place in the blueprint.
    """
    blueprint = blueprint_of(
        [variant("lr", "random", min=0, max=1)],
        task={
            "name": "My sweep!",
            "description": "What for.\n",
            "type": "BAYESIAN-tpe",
            "engine": "HyperOpt",
            "execution-count": 100,
            "execution-batch-size": 10,
            "maximum-queued-executions": 3,
            "stop-condition": "loss < 0.1",
            "on-child-error": "CONTINUE_AND_complete",
        },
    )

    assert blueprint.name == "my-sweep"
    assert blueprint.description == "What for."
    assert blueprint.strategy.name == "hyperopt_tpe"
    assert blueprint.budget.trials == 100
    assert blueprint.execution.batch_size == 10
    assert blueprint.execution.concurrency == 3
    assert [rule.expression for rule in blueprint.stop] == ["loss < 0.1"]
    assert blueprint.trial.on_failure == "continue"
    assert blueprint.source.dialect == "valohai"


def test_random_search_counts():
    """
    Without a count of executions the largest count of a parameter is taken.
    """
    parameters = [
        variant("lr", "random", min=0, max=1, count=4),
        variant("epochs", "random", min=0, max=9, count=7),
    ]

    assert blueprint_of(parameters, task={"type": "random_search"}).budget.trials == 7
    task = {"type": "random_search", "execution-count": 3}
    blueprint = blueprint_of(parameters, task=task)
    assert (blueprint.budget.trials, blueprint.strategy.name) == (3, "random")


def test_note_says_what_valohai_has_no_key_for():
    """
    Our own item gives metric, direction, seed and runner.
    """
    blueprint = blueprint_of(
        [variant("lr", "multiple", items=[1, 2])],
        task={"optimization-target-metric": None, "optimization-target-value": None},
        note={
            "metric": "accuracy",
            "direction": "maximize",
            "seed": 3,
            "runner": {"name": "subprocess", "pass_environment": ["HOME"]},
        },
    )

    assert blueprint.objectives[0].aim == "maximize accuracy"
    assert blueprint.strategy.seed == 3
    assert blueprint.trial.runner.name == "subprocess"
    assert blueprint.trial.runner.options == {"pass_environment": ["HOME"]}


def test_step_keys():
    """
    Environment and time limit of the step are those of each trial.
    """
    blueprint = parse_blueprints((FOLDER / "good/valohai/bayesian.yaml").read_text("utf-8"))[0]

    assert blueprint.trial.environment == {"OMP_NUM_THREADS": "1"}
    assert blueprint.trial.timeout_s == 5400
    assert blueprint.trial.on_failure == "stop"
    assert blueprint.trial.steps[0].command == (
        "cd code && python train.py --learning_rate={learning_rate} "
        "--batch_size={batch_size} --num_layers={num_layers}"
    )


def test_several_tasks():
    """
    Every task is a blueprint, in the file's order.
    """
    found = parse_blueprints((FOLDER / "good/valohai/two_tasks.yaml").read_text("utf-8"))

    assert [blueprint.name for blueprint in found] == ["task-1", "task-2"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90min", 5400), ("1h 30m 5s", 5405), ("1.5d 2hours", 136_800), ("60", 60), ("1W", 604_800)],
)
def test_durations(text, seconds):
    """
    A unit goes by its first letter; a bare number is seconds.
    """
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "-5m", "5x", "m", "1h 5", "0s", "1h,5m", "nan"])
def test_durations_that_are_none(text):
    """
    Anything else is refused.
    """
    with pytest.raises(ValueError, match=r"^must be (seconds or a duration|above 0)"):
        seconds_of(text)


def test_slugs():
    """
    What a DAG cannot be called becomes dashes.
    """
    assert slug("  Täsk #1 (best) ") == "täsk-1-best"
    assert slug("a.b_c") == "a.b_c"
    assert slug("!?") == ""


def filling(value=None, **keys):
    """
    Return a parameter ``x`` that is filled in; searched where *value* is ``...``.
    """
    declared = Declared({"name": "x", **{k.replace("_", "-"): v for k, v in keys.items()}}, ())
    if value is ...:
        return Filling(declared, is_searched=True)
    return Filling(declared, value)


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        ({}, "a", "--x=a"),
        ({}, "a b", "'--x=a b'"),
        ({}, "", "--x="),
        ({}, None, ""),
        ({}, "{parameters}", "'--x={parameters}'"),
        ({"type": "float"}, 1e-05, "--x=1e-05"),
        ({"pass_as": "-t {v}"}, "x y", "-t 'x y'"),
        ({"pass_as": ""}, "a", "--x=a"),
        ({"pass_as": "--{name} {value}"}, 5, "--x 5"),
        ({"pass_as": "{v:.3f}", "type": "float"}, 0.5, "0.500"),
        ({"pass_as": "'a b'"}, "c", """''"'"'a' 'b'"'"''"""),
        ({"type": "flag"}, None, ""),
        ({"type": "flag"}, True, "--x"),
        ({"type": "flag"}, False, ""),
        ({"type": "flag", "pass_as": "-q"}, True, "-q"),
        ({"type": "flag", "pass_true_as": "--y {name}"}, True, "--y x"),
        ({"type": "flag", "pass_true_as": "--y"}, False, ""),
        ({"type": "flag", "pass_false_as": "--{name}=no"}, True, ""),
        ({"type": "flag", "pass_false_as": "--{name}=no"}, False, "--x=no"),
        ({"multiple": "repeat"}, [1, "a b"], "--x=1 '--x=a b'"),
        ({"multiple": "repeat"}, [], ""),
        ({"multiple": "repeat", "pass_as": "-l {v}"}, [1, 2], "-l 1 -l 2"),
        ({"multiple": "separate"}, [1, 2], "--x=1,2"),
        ({"multiple": "separate", "multiple_separator": "-"}, [1, 2], "--x=1-2"),
        ({"multiple": "separate"}, [], ""),
    ],
)
def test_fixed_parameters_in_commands(keys, value, expected):
    """
    A value that is known is written out as Valohai writes it.
    """
    script = Script({"x": filling(value, **keys)})

    for placeholder in ("{parameters}", "{params}", "{parameter:x}"):
        assert Template.parse(script.fill(placeholder)).render({}) == expected


@pytest.mark.parametrize(
    ("command", "value", "expected"),
    [
        ("{parameter-value:x}", "a b", "'a b'"),
        ("{parameter-value:x}", 1e-05, "1e-05"),
        ("{parameter-value:x}", [1, 2], "'[1, 2]'"),
        ("{parameter-value:x}", None, "{parameter-value:x}"),
        ("{parameter:y} {parameter-value:y}", 1, "{parameter:y} {parameter-value:y}"),
        ("${HOME} {foo} {print $1} {}", 1, "${HOME} {foo} {print $1} {}"),
        ("${parameters}", 1, "$--x=1"),
        ("  a {source-path} ", 1, "a 'a b'"),
        ("echo '{\"a\": 1}'", 1, "echo '{\"a\": 1}'"),
        ("a {{parameters}}", 1, "a {{parameters}}"),
    ],
)
def test_other_placeholders(command, value, expected):
    """
    Values go without their pattern; what is no placeholder stays as it is.
    """
    script = Script({"x": filling(value)}, "a b")

    assert Template.parse(script.fill(command)).render({}) == expected


def said(script, command, configuration):
    """
    Return the words that the shell makes of a filled command.
    """
    text = join([script.fill(command)], list(script.prelude()))
    line = Template.parse(text).render(configuration)
    shell = 'p() { for word in "$@"; do printf "<%s>" "$word"; done; }\n'
    ran = subprocess.run(
        ["/bin/sh", "-c", shell + line], capture_output=True, text=True, check=True
    )
    return ran.stdout


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        ({}, "a b", "<--x=a b><;>"),
        ({}, "$HOME", "<--x=$HOME><;>"),
        ({}, "", "<--x=><;>"),
        ({"pass_as": "-t {v}"}, "x y", "<-t><x y><;>"),
        ({"pass_as": "{name}$[{{{v}}}] z"}, 5, "<x$[{5}]><z><;>"),
        ({"multiple": "repeat"}, 7, "<--x=7><;>"),
        ({"multiple": "separate"}, 7, "<--x=7><;>"),
        ({"type": "flag"}, True, "<--x><;>"),
        ({"type": "flag"}, False, "<;>"),
        ({"type": "flag", "pass_true_as": "-a b", "pass_false_as": "-c"}, True, "<-a><b><;>"),
        ({"type": "flag", "pass_true_as": "-a b", "pass_false_as": "-c"}, False, "<-c><;>"),
    ],
)
def test_searched_parameters_in_commands(keys, value, expected):
    """
    A value that varies reaches the program as Valohai would pass it.
    """
    script = Script({"x": filling(..., **keys)})

    assert said(script, "p {parameters} ';'", {"x": value}) == expected


def test_searched_values_without_pattern():
    """
    A bare value is one word; that of a flag is spelled as Python does.
    """
    assert said(Script({"x": filling(...)}), "p {parameter-value:x}", {"x": "a b"}) == "<a b>"
    script = Script({"x": filling(..., type="flag")})
    assert said(script, "p {parameter-value:x}", {"x": True}) == "<True>"
    assert said(script, "p {parameter-value:x}", {"x": False}) == "<False>"


@pytest.mark.parametrize(
    ("commands", "output", "code"),
    [
        (["echo a", "echo b"], "a\nb\n", 0),
        (["false; echo a", "echo b"], "a\nb\n", 0),
        (["false", "echo b"], "", 1),
        (["false && echo a", "echo b"], "", 1),
        (["true && false; false", "echo b; echo c"], "", 1),
        (["echo a # b", "echo c"], "a\nc\n", 0),
        (["cat <<E\na\nE", "echo c"], "a\nc\n", 0),
        (["", "X=1", " ", "echo $X"], "1\n", 0),
        (["#!/bin/sh\necho a", "echo b"], "a\nb\n", 0),
    ],
)
def test_commands_are_one_script(commands, output, code):
    """
    Commands share one shell, and those behind one that fails are not run.
    """
    script = Script({})
    line = Template.parse(join([script.fill(command) for command in commands])).render({})

    ran = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)

    assert (ran.stdout, ran.returncode) == (output, code)


def test_all_problems_at_once():
    """
    Problems of steps, tasks and notes are told together, in the file's order.
    """
    text = "- step: {name: s, imag: x, command: a}\n- task: {name: t, step: s, typ: x}\n- hpo: {}\n"

    problems = check_text(text, file="valohai.yaml")

    assert [problem.line for problem in problems] == sorted(problem.line for problem in problems)
    assert {problem.path for problem in problems} >= {
        "0.step",
        "0.step.imag",
        "1.task.typ",
        "2.hpo",
    }


GOOD = [read_document(path.read_bytes()).data for path in sorted(FOLDER.glob("*/valohai/*.yaml"))]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 30),
    st.sampled_from([10**300, -(10**299), 1e308, -1e308, 1e-320, 0.5, -0.0]),
    st.text(max_size=5),
    st.sampled_from(
        ["lr", "epochs", "random", "linear", "logspace", "flag", "repeat", "manual_search"]
    ),
    st.sampled_from(["{parameters}", "{v}", "{v:9}", "{", "a{b}c", "bayesian_tpe", "loguniform"]),
    st.lists(st.integers(0, 3) | st.text(max_size=3), max_size=3),
    st.dictionaries(st.sampled_from(["lr", "epochs", "x"]), st.integers(0, 3), max_size=2),
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), base=st.sampled_from(GOOD))
def test_odd_files(data, base):
    """
    A file with a few odd values is read, or refused with places; nothing else happens.
    """
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(paths(base))[1:]))
        base = changed(base, path, action="replace", value=data.draw(ODD))
    text = json.dumps(base)
    problems = check_text(text)
    assert all(problem.line >= 1 and problem.message for problem in problems)
    if any(problem.severity == "error" for problem in problems):
        return
    for blueprint in parse_blueprints(text):
        Template.parse(blueprint.trial.steps[0].command)
        assert blueprint.execution.batch_size <= blueprint.budget.trials
