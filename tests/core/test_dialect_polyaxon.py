"""
The dialect of Polyaxon: what its files mean, in both directions.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint import check_text, dump, load_blueprint, parse_blueprints
from airflow_hpo.blueprint.commands import parse_command
from airflow_hpo.blueprint.convert import convert
from airflow_hpo.blueprint.dialects.polyaxon import series
from airflow_hpo.model.distribution import Categorical, Float, Int
from airflow_hpo.model.ladder import Scale, hyperband
from airflow_hpo.model.trial import Trial
from airflow_hpo.platforms.base import Scene
from airflow_hpo.platforms.polyaxon import PolyaxonOptions, PolyaxonPlatform
from airflow_hpo.strategies import strategy_for

GOOD = Path(__file__).parent.parent / "blueprints" / "good" / "polyaxon"


def read(name):
    """
    Return the blueprint of one of the good files.
    """
    return load_blueprint(GOOD / f"{name}.yaml")


def blueprint(**sections):
    """
    Return the blueprint of a group with these sections.
    """
    usual = {
        "version": 1,
        "kind": "group",
        "run": {"cmd": "run {{ x }}"},
        "airflow_hpo": {"metric": "loss", "direction": "minimize"},
    }
    (found,) = parse_blueprints(json.dumps({**usual, **sections}))
    return found


def searched(option, **tuning):
    """
    Return the distribution of one option of a matrix.
    """
    tuning = {"random_search": {"n_experiments": 3}, **tuning}
    found = blueprint(hptuning={**tuning, "matrix": {"x": option, "y": {"uniform": [0, 1]}}})
    return found.space.by_name["x"].distribution


def words(found, **values):
    """
    Return the words that a trial's program gets.
    """
    constants = {
        name: parameter.distribution.value
        for name, parameter in found.space.by_name.items()
        if parameter.is_constant
    }
    return shlex.split(parse_command(found.trial.steps[0]).render({**constants, **values}))


class TestMatrix:
    """
    Options become distributions.
    """

    @pytest.mark.parametrize(
        ("option", "distribution"),
        [
            ({"range": "1:10:2"}, Int(low=1, high=9, step=2)),
            ({"range": [0.1, 0.5, 0.1]}, Float(low=0.1, high=0.4, step=0.1)),
            ({"linspace": "0.001:0.1:5"}, Float(low=0.001, high=0.1, step=0.02475)),
            ({"logspace": [-3, -1, 3]}, Categorical(choices=(0.001, 0.01, 0.1))),
            (
                {"geomspace": {"start": 1, "stop": 8, "num": 4}},
                Categorical(choices=(1.0, 2.0, 4.0, 8.0)),
            ),
            ({"uniform": ["1e-4", 1]}, Float(low=1e-4, high=1.0)),
            ({"quniform": "0:1:0.25"}, Float(low=0.0, high=1.0, step=0.25, anchor="zero")),
            (
                {"pvalues": [["a", 0.25], ["b", 0.25]]},
                Categorical(choices=("a", "b"), weights=(0.25, 0.75)),
            ),
        ],
    )
    def test_options(self, option, distribution):
        """
        Each option has the values that NumPy would list, without binary noise.
        """
        assert searched(option) == distribution

    def test_bounds_of_logarithms_are_values(self):
        """
        Bounds that are natural logarithms become values, those that were meant exactly.
        """
        found = searched({"loguniform": [-9.210340371976182, -2.3025850929940455]})

        assert found == Float(low=1e-4, high=0.1, log=True)

    @given(
        start=st.integers(-50, 50),
        step=st.integers(1, 20),
        count=st.integers(2, 30),
        scale=st.sampled_from([1, 0.1, 0.01]),
    )
    def test_ranges_hold_what_is_below_their_end(self, start, step, count, scale):
        """
        A range begins at its start, keeps its distance, and leaves its end out.
        """
        values = series.range_(start * scale, (start + step * count) * scale, step * scale)

        assert len(values) in {count, count + 1}  # binary noise of the end that is given
        assert values == sorted(set(values))
        assert series.distribution_of(values).size() == len(values)


class TestSearch:
    """
    Algorithms become strategies, with budget and execution.
    """

    def test_seeds_draw_the_same_again(self):
        """
        Random search with a seed asks NumPy's stream, whatever way it is asked.
        """
        found = read("random")
        strategy, seed = strategy_for(found), found.strategy.seed
        whole = strategy.suggest(found.space, (), 12, seed=seed)
        trials = []
        for number in range(12):
            (one,) = strategy.suggest(found.space, trials, 1, seed=seed)
            trials.append(Trial(number, one.configuration, sampler=one.sampler))

        assert [each.configuration for each in trials] == [each.configuration for each in whole]

    def test_hyperband(self):
        """
        The budget holds all rungs of all brackets; the resource is given by its name.
        """
        found = read("hyperband")
        brackets = hyperband(Scale(1, 27, 3))

        assert found.strategy.options == {"eta": 3.0, "resume": True}
        assert found.resource.name == "num_steps"
        assert found.resource.whole
        assert found.budget.trials == sum(
            rung.trials for bracket in brackets for rung in bracket.rungs
        )

    def test_a_mapping_without_a_value(self):
        """
        What a row does not give is none there, and prints nothing.
        """
        text = """
            version: 1.1
            kind: operation
            matrix: {kind: mapping, values: [{a: 1, b: 2}, {a: 3}]}
            airflow_hpo: {command: "run {{ a }} {{ b }}", metric: loss, direction: minimize}
        """
        (found,) = parse_blueprints(text)
        first, second = strategy_for(found).suggest(found.space, (), 2, seed=0)

        assert words(found, **first.configuration) == ["run", "1", "2"]
        assert second.configuration == {"a": 3, "b": None}
        assert words(found, **second.configuration) == ["run", "3"]

    def test_policies(self):
        """
        A policy prunes; the rule beside it ends the study.
        """
        found = read("policies")

        assert found.pruner.name == "median"
        assert found.pruner.options["averages"] is True
        assert [rule.metric for rule in found.stop] == ["loss"]

    @pytest.mark.parametrize(
        ("percent", "failures"), [(0.3, 1), (10, 1), (11, 2), (50, 5), (100, 10)]
    )
    def test_a_share_of_failures_is_a_number(self, percent, failures):
        """
        So many of all trials may fail, at least one.
        """
        text = f"""
            version: 1.1
            kind: operation
            matrix:
              kind: random
              numRuns: 10
              params: {{x: {{kind: uniform, value: [0, 1]}}}}
              earlyStopping: [{{kind: failure_early_stopping, percent: {percent}}}]
            airflow_hpo: {{command: run, metric: loss, direction: minimize}}
        """
        (found,) = parse_blueprints(text)

        assert found.budget.failures == failures


class TestCommands:
    """
    Commands say what Polyaxon's would, each value one word.
    """

    def test_everything_of_jinja(self):
        """
        Conditions, loops, formats, flags and parameters made of others.
        """
        found = read("jinja")

        assert words(found, lr=0.2, batch_norm=False) == [
            *("python", "train.py", "--lr=0.2", "--half=0.1", "--quarter=0.05", "--label=lr-0.2"),
            *("--verbose", "--no-bn", "--dropout=0.40", "--layer", "64", "--layer", "32"),
        ]
        assert "--bn" in words(found, lr=0.1, batch_norm=True)

    def test_values_are_quoted(self):
        """
        What a value holds reaches no shell.
        """
        found = blueprint(hptuning={"matrix": {"x": {"values": ["; rm -rf ~", "$(id)"]}}})

        assert words(found, x="; rm -rf ~") == ["run", "; rm -rf ~"]
        assert words(found, x="$(id)") == ["run", "$(id)"]

    def test_folded_lines(self):
        """
        A backslash that folding has left in the middle of a line goes on with it.
        """
        command = "run  --a={{ x }} \\ --b='two  blanks' \\\n  --c"
        found = blueprint(
            hptuning={"matrix": {"x": {"values": [1]}}}, run={"cmd": ["true", command]}
        )

        assert found.trial.steps[0].command == "true && run --a={x} --b='two  blanks' --c"

    def test_containers(self):
        """
        Words of a container are words here; a script of its shell is the command.
        """
        assert words(read("newer_mapping"), lr=0.1, layers=[64, 32]) == [
            *("python", "train.py", "--lr=0.1", "--layers=[64, 32]")
        ]
        assert words(read("newer_random"), lr=1.0, day="2026-06-22", moment="a b", act="relu") == [
            *("python", "train.py", "--lr=1.0", "--day=2026-06-22", "--at=a b", "--act=relu")
        ]
        assert words(read("newer_tpe"), lr=1.0) == ["python", "train.py", "--lr=1.0", "--deep"]
        assert words(read("newer_hyperopt"), lr=1.0) == ["python", "train.py", "--lr=1.0"]


class TestPlatform:
    """
    Code finds what Polyaxon gives it.
    """

    def scene(self, folder, **more):
        """
        Return the scene of one trial.
        """
        values = {"lr": 1e-05, "layers": [1, 2], "num_steps": 9}
        names = ("workspace", "shared", "workdir")
        return Scene("s", 3, 1, "trial", values, **dict.fromkeys(names, folder), **more)

    def test_parameters(self, tmp_path):
        """
        All parameters are there as JSON, by the new name and the old one.
        """
        found = PolyaxonPlatform(PolyaxonOptions()).prepare(self.scene(tmp_path))

        assert json.loads(found["POLYAXON_PARAMS"]) == {
            "lr": 1e-05,
            "layers": [1, 2],
            "num_steps": 9,
        }
        assert found["POLYAXON_DECLARATIONS"] == found["POLYAXON_PARAMS"]
        assert Path(found["POLYAXON_RUN_OUTPUTS_PATH"]).is_dir()

    def test_a_resumed_trial_goes_on_in_the_outputs_before(self, tmp_path):
        """
        What the parent saved is there, once.
        """
        parent, own = tmp_path / "parent", tmp_path / "own"
        parent.mkdir()
        (parent / "model.bin").write_text("weights")
        scene = self.scene(own, parent=parent)
        found = PolyaxonPlatform(PolyaxonOptions()).prepare(scene)
        model = Path(found["POLYAXON_RUN_OUTPUTS_PATH"]) / "model.bin"
        assert model.read_text() == "weights"

        model.write_text("more")
        PolyaxonPlatform(PolyaxonOptions()).prepare(scene)

        assert model.read_text() == "more"


class TestWriting:
    """
    What is written for Polyaxon is read again.
    """

    @pytest.mark.parametrize("path", sorted(GOOD.glob("newer_*.yaml")), ids=lambda path: path.stem)
    def test_operations_come_back(self, path):
        """
        An operation that is written again is the same study.
        """
        found = load_blueprint(path)
        (again,) = parse_blueprints(convert(found, to="polyaxon").text)
        parts = ("name", "objectives", "strategy", "budget", "stop", "pruner", "resource")

        for part in parts:
            assert getattr(again, part) == getattr(found, part), part
        tunable = {each.name: each.distribution for each in found.space.tunable}
        assert {each.name: each.distribution for each in again.space.tunable} == tunable

    def test_losses_are_told(self):
        """
        What an operation cannot say is listed, each with its path.
        """
        text = """
            hpo: 1
            name: digits
            objective: {metric: acc, target: 0.9}
            space:
              lr: {float: [1e-4, 0.1], log: true, when: {kind: a}}
              kind: {choice: [a, b]}
            constraints: ["lr < 1"]
            strategy: cmaes
            budget: {trials: 10, wall_clock: 2h}
            stop: [{plateau: 3}]
            trial: {command: "run {lr:--lr} {kind}", on_failure: stop}
        """
        (found,) = parse_blueprints(text.replace("strategy: cmaes", "strategy: {name: tpe}"))
        paths = {loss.path for loss in convert(found, to="polyaxon").losses}

        assert {"objective", "space.lr.when", "constraints", "budget.wall_clock"} <= paths
        assert {"stop", "trial.on_failure"} <= paths


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 100),
    st.floats(),
    st.sampled_from(
        ["1:2:3", "0:1", "{{ x }}", "{% if x %}", "", "maximize", "median", "10", "a b"]
    ),
    st.lists(st.integers(-3, 3) | st.floats(-1, 1) | st.text(max_size=3), max_size=4),
    st.dictionaries(
        st.sampled_from(["low", "start", "kind", "value", "x"]), st.integers(), max_size=3
    ),
)
KINDS = "values pvalues range linspace logspace geomspace uniform quniform normal lognormal choice"
OPTION = st.dictionaries(st.sampled_from(KINDS.split()), ODD, min_size=1, max_size=2)
PARAMETERS = st.dictionaries(st.sampled_from(["x", "y", "a-b", "lr"]), OPTION | ODD, max_size=3)
RULE = st.dictionaries(
    st.sampled_from(["metric", "value", "optimization", "policy", "kind", "percent", "higher"]), ODD
)
NUMBERS = (
    "n_experiments max_iter eta resource metric resume n_initial_trials n_iterations numRuns "
    "maxIterations utility_function values algorithm kind params seed concurrency earlyStopping"
)
SECTION = st.dictionaries(st.sampled_from(NUMBERS.split()), ODD | PARAMETERS, max_size=6)
TUNING = st.fixed_dictionaries(
    {"matrix": PARAMETERS | ODD},
    optional={
        "early_stopping": st.lists(RULE | ODD, max_size=3) | ODD,
        "concurrency": ODD,
        "seed": ODD,
        **dict.fromkeys(("random_search", "grid_search", "hyperband", "bo"), SECTION | ODD),
    },
)
REST = {
    "inputs": st.lists(st.dictionaries(st.sampled_from(["name", "default", "is_flag"]), ODD)) | ODD,
    "params": st.dictionaries(st.sampled_from(["x", "p"]), ODD) | ODD,
    "declarations": ODD,
    "run": st.fixed_dictionaries({"cmd": ODD | st.just("run {{ x }}{{ p }}")}) | ODD,
    "environment": ODD,
    "name": ODD,
    "airflow_hpo": ODD | st.just({"command": "run {{ x }}"}),
}
GROUPS = st.fixed_dictionaries(
    {"version": st.just(1), "kind": st.just("group"), "hptuning": TUNING | ODD}, optional=REST
)
OPERATIONS = st.fixed_dictionaries(
    {"version": st.just(1.1), "kind": st.just("operation"), "matrix": SECTION | ODD},
    optional={
        **REST,
        "component": st.recursive(
            ODD,
            lambda inner: st.dictionaries(
                st.sampled_from(["run", "container", "command", "args", "env", "inputs", "kind"]),
                inner | st.lists(inner, max_size=2),
                max_size=3,
            ),
            max_leaves=6,
        ),
        "termination": ODD,
        "schedule": ODD,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=GROUPS | OPERATIONS)
def test_no_document_makes_anything_but_problems(data):
    """
    A document of any shape is read, or refused with places; what is read survives.
    """
    text = json.dumps(data)
    problems = check_text(text, file="fuzz.yaml")

    assert all(problem.line >= 1 and problem.message for problem in problems)
    if all(problem.severity == "warning" for problem in problems):
        for found in parse_blueprints(text):
            (again,) = parse_blueprints(dump(found))
            assert again.model_copy(update={"source": found.source}) == found


@pytest.mark.parametrize("mark", ["{{", "{%", "'", '"', "{{ x }}", "$(", "\\ "])
def test_long_commands_cost_little(mark):
    """
    A command that was made to hurt is refused by its length.
    """
    text = json.dumps(
        {"hptuning": {"matrix": {"x": {"values": [1]}}}, "run": {"cmd": mark * 99_999}}
    )

    assert any("must have at most" in problem.message for problem in check_text(text))
