"""
The dialect of ClearML: every range and set, optimizers, budgets, commands, generated files.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_hpo.blueprint import check_text, dump, load_blueprint, parse_blueprints
from airflow_hpo.blueprint.dialects.clearml import distribution_of, external_name, objectives_of
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.blueprint.template import Template
from airflow_hpo.errors import BlueprintError
from airflow_hpo.model.distribution import Categorical, Constant, Float, Int
from airflow_hpo.model.ladder import hyperband, total_spent
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.plan import make_plan
from airflow_hpo.strategies import strategy_for
from airflow_hpo.testing.damage import changed_files, check_told, odd_values

FOLDER = Path(__file__).parent.parent / "blueprints"
GOOD = sorted((FOLDER / "good" / "clearml").glob("*.yaml"))
DATA = [read_document(path.read_bytes()).data for path in GOOD]

# Facts about others' examples, where somebody has put them.
THEIRS = Path(__file__).parents[3] / "shared" / "data" / "peers" / "clearml_examples_facts.json"


def settings_of(*parameters, **more):
    """
    Return a file that searches *parameters*, or else one of its own.
    """
    data = {
        "base_task_id": "train.py",
        "hyper_parameters": list(parameters) or [uniform("x")],
        "objective_metric_title": "accuracy",
        "objective_metric_series": "accuracy",
        "objective_metric_sign": "max",
        "total_max_jobs": 20,
        **more,
    }
    return {name: value for name, value in data.items() if value is not None}


def uniform(name, **more):
    """
    Return a range of the unit interval.
    """
    return {
        "type": "UniformParameterRange", "name": name, "min_value": 0, "max_value": 1, **more
    }  # fmt: skip


def read(*parameters, **more):
    """
    Return the blueprint of such a file.
    """
    (blueprint,) = parse_blueprints(json.dumps(settings_of(*parameters, **more)))
    return blueprint


def messages(*parameters, **more):
    """
    Return path and message of what is said about such a file.
    """
    found = check_text(json.dumps(settings_of(*parameters, **more)))
    return [(problem.path, problem.message) for problem in found]


def suggested(blueprint, count, *, seed=1):
    """
    Return the configurations that a study of *blueprint* tries.
    """
    strategy, history = strategy_for(blueprint), []
    for number in range(count):
        found = strategy.suggest(blueprint.space, tuple(history), 1, seed=seed)
        if not found:
            break
        trial = Trial(
            number,
            found[0].configuration,
            TrialState.COMPLETE,
            sampler=found[0].sampler,
            values=(float(number % 7),),
        )
        history.append(trial)
    return [trial.configuration for trial in history]


class TestRanges:
    """
    Each of ClearML's classes becomes the distribution that it means.
    """

    @pytest.mark.parametrize(
        ("kind", "keys", "distribution"),
        [
            ("Uniform", {"min_value": 0, "max_value": 2}, Float(low=0, high=2)),
            (
                "Uniform",
                {"min_value": 0, "max_value": 1, "step_size": 0.25},
                Float(low=0, high=1, step=0.25),
            ),
            (
                "Uniform",
                {"min_value": 0.1, "max_value": 0.4, "step_size": 0.1, "include_max": False},
                Float(low=0.1, high=0.3, step=0.1),
            ),
            (
                "Uniform",
                {"min_value": 0, "max_value": 1, "step_size": 0.3, "include_max": False},
                Float(low=0, high=0.9, step=0.3),
            ),
            ("Uniform", {"min_value": 0, "max_value": 1, "step_size": 0}, Float(low=0, high=1)),
            (
                "Uniform",
                {"min_value": 0, "max_value": 1, "step_size": 1, "include_max": False},
                Constant(value=0.0),
            ),
            ("Uniform", {"min_value": 3, "max_value": 3}, Constant(value=3.0)),
            (
                "LogUniform",
                {"min_value": -5, "max_value": -1},
                Float(low=1e-5, high=1e-1, log=True),
            ),
            (
                "LogUniform",
                {"min_value": -2, "max_value": 3, "base": 2},
                Float(low=0.25, high=8, log=True),
            ),
            ("LogUniform", {"min_value": 2, "max_value": 2, "base": 3}, Constant(value=9.0)),
            (
                "LogUniform",
                {"min_value": 0, "max_value": 3, "base": 2, "step_size": 1},
                Categorical(choices=(1.0, 2.0, 4.0, 8.0)),
            ),
            (
                "LogUniform",
                {"min_value": 0, "max_value": 3, "base": 2, "step_size": 1, "include_max": False},
                Categorical(choices=(1.0, 2.0, 4.0)),
            ),
            ("UniformInteger", {"min_value": -3, "max_value": 3}, Int(low=-3, high=3)),
            (
                "UniformInteger",
                {"min_value": 0, "max_value": 9, "step_size": 3},
                Int(low=0, high=9, step=3),
            ),
            (
                "UniformInteger",
                {"min_value": 0, "max_value": 9, "step_size": 3, "include_max_value": False},
                Int(low=0, high=6, step=3),
            ),
            (
                "UniformInteger",
                {"min_value": 0, "max_value": 10, "step_size": 3, "include_max": False},
                Int(low=0, high=9, step=3),
            ),
            ("Discrete", {"values": [30]}, Constant(value=30)),
            ("Discrete", {"values": ["a", 1, 1.0]}, Categorical(choices=("a", 1, 1.0))),
        ],
    )
    def test_meaning(self, kind, keys, distribution):
        """
        Bounds, steps, bases and the upper bound mean what ClearML's documentation says.
        """
        found = distribution_of({"type": f"{kind}ParameterRange", "name": "x", **keys})

        assert found == distribution

    def test_a_wrong_range_alone_is_refused(self):
        """
        A range that is read outside a file is refused like one in it.
        """
        wrong = {"type": "UniformParameterRange", "name": "x", "min_value": 2, "max_value": 1}

        with pytest.raises(BlueprintError, match="min_value must not exceed max_value"):
            distribution_of(wrong)

    @given(
        low=st.floats(-1e6, 1e6),
        width=st.floats(1e-3, 1e6),
        parts=st.integers(1, 50),
        include=st.booleans(),
    )
    def test_steps_stay_within_the_bounds(self, low, width, parts, include):
        """
        All values of a range with steps lie within its bounds, and the lower one is among them.
        """
        high = low + width
        keys = {"min_value": low, "max_value": high, "step_size": width / parts}
        value = {"type": "UniformParameterRange", "name": "x", "include_max": include, **keys}

        found = distribution_of(value)

        values = found.values()
        noise = 1e-9 * max(abs(low), abs(high))
        assert values[0] == pytest.approx(low)
        assert low - noise <= min(values)
        assert max(values) <= high + noise
        assert parts - 1 <= len(values) <= parts + 1

    def test_a_grid_has_an_end(self):
        """
        Where every value is tried, a range without a step is taken in hundredths.
        """
        blueprint = read(uniform("x"), optimizer_class="GridSearch", total_max_jobs=None)

        assert blueprint.budget.trials == 101
        assert [round(item["x"], 6) for item in suggested(blueprint, 3)] == [0.0, 0.01, 0.02]


class TestSets:
    """
    A set is a choice of combinations; what differs between them stands for one name.
    """

    def test_plain_combinations(self):
        """
        Each configuration has the values of exactly one combination.
        """
        values = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3}]
        blueprint = read({"type": "ParameterSet", "values": values}, optimizer_class="GridSearch")

        found = [
            {external_name(name): value for name, value in item.items() if name != "parameter_set"}
            for item in suggested(blueprint, 10)
        ]

        assert sorted(found, key=str) == sorted(values, key=str)

    def test_what_is_the_same_waits_for_nothing(self):
        """
        A value that all combinations share is one parameter, without a condition.
        """
        values = [{"a": 1, "b": 5}, {"a": 2, "b": 5}, {"a": 2, "b": 5.0}]

        space = read({"type": "ParameterSet", "values": values}).space.by_name

        assert list(space) == ["parameter_set", "a@1", "a@2", "b@1", "b@2"]
        assert space["a@2"].when == {"parameter_set": (2, 3)}
        assert space["b@1"].when == {"parameter_set": (1, 2)}
        assert type(space["b@2"].distribution.value) is float

    def test_one_combination_is_no_choice(self):
        """
        A set of one is as if its members stood by themselves.
        """
        one = {"type": "ParameterSet", "values": [{"a": 1, "b": uniform("b")}]}

        assert [item.name for item in read(one).space.parameters] == ["a", "b"]
        assert not read(one).space.by_name["b"].when

    def test_sets_in_sets(self):
        """
        An inner set is chosen from where its combination is, and only there.
        """
        blueprint = load_blueprint(FOLDER / "good" / "clearml" / "sets.yaml")

        for found in suggested(blueprint, 60):
            names = {external_name(name): value for name, value in found.items()}
            inner = names["parameter_set_2"] == 2
            assert ("parameter_set_3" in names) == inner
            assert ("Args/schedule" in names) == inner
            assert ("Args/gamma" in names) == (names.get("Args/schedule") == "step")
            assert ("Args/momentum" in names) == (names["Args/optimizer"] == "sgd")
            assert {"Args/lr", "Args/alpha", "Args/beta", "Args/archi"} <= names.keys()

    @pytest.mark.parametrize("optimizer", ["RandomSearch", "GridSearch", "OptimizerOptuna"])
    def test_every_optimizer_takes_sets(self, optimizer):
        """
        A set is tried by each optimizer, each combination among the first ones.
        """
        values = [{"a": 1}, {"a": {"type": "DiscreteParameterRange", "values": [2, 3]}}]
        parameter = {"type": "ParameterSet", "values": values}
        blueprint = read(parameter, optimizer_class=optimizer, total_max_jobs=3)

        found = suggested(blueprint, 3)

        tried = [item.get("a@1", item.get("a@2")) for item in found]
        assert sorted(tried) == [1, 2, 3]

    def test_commands_pass_the_active_one(self):
        """
        The trial's command gets the value under the one name that the code knows.
        """
        blueprint = load_blueprint(FOLDER / "good" / "clearml" / "sets.yaml")
        template = Template.parse(blueprint.trial.steps[0].command)

        for found in suggested(blueprint, 20):
            command = template.render(found).splitlines()[-1]
            words = [word for word in command.split() if word.startswith("--alpha=")]
            expected = found.get("Args/alpha@1", found.get("Args/alpha@2"))
            assert words == [f"--alpha={expected}"]


class TestStudy:
    """
    Optimizer, objective, budget and limits are taken over.
    """

    @pytest.mark.parametrize(
        ("optimizer", "name"),
        [
            (None, "random"),
            ("RandomSearch", "random"),
            ("clearml.automation.RandomSearch", "random"),
            ("OptimizerOptuna", "tpe"),
            ("automation.optuna.OptimizerOptuna", "tpe"),
            ("qmc", "qmc"),
            ("airflow_hpo.strategies.qmc.QmcStrategy", "airflow_hpo.strategies.qmc:QmcStrategy"),
        ],
    )
    def test_optimizers(self, optimizer, name):
        """
        An optimizer's class, with its module or without, is the strategy that does the same.
        """
        assert read(optimizer_class=optimizer).strategy.name == name

    def test_optuna_starts_at_random(self):
        """
        OptimizerOptuna has as many random jobs first as Optuna itself.
        """
        assert read(optimizer_class="OptimizerOptuna").strategy.startup_trials == 10

    @pytest.mark.parametrize(
        ("sampler", "name"),
        [
            ("TPESampler", "tpe"),
            ("RandomSampler", "random"),
            ("QMCSampler", "qmc"),
            ("NSGAIISampler", "nsga2"),
        ],
    )
    def test_samplers(self, sampler, name):
        """
        A sampler of Optuna's, with its module or without, is the strategy of its kind.
        """
        for given_name in (sampler, f"optuna.samplers.{sampler}"):
            found = read(optimizer_class="OptimizerOptuna", optuna_sampler=given_name)
            assert found.strategy.name == name

    @pytest.mark.parametrize(
        ("sign", "direction", "value"),
        [
            (None, "minimize", "last"),
            ("min", "minimize", "last"),
            ("max", "maximize", "last"),
            ("min_global", "minimize", "min"),
            ("max_global", "maximize", "max"),
        ],
    )
    def test_signs(self, sign, direction, value):
        """
        The sign says direction and which measurement counts; min is the default.
        """
        (objective,) = read(objective_metric_sign=sign).objectives

        assert (objective.direction, objective.value) == (direction, value)

    def test_metrics(self):
        """
        A metric is called as title and series together, or as our section says.
        """
        several = {
            "objective_metric_title": ["a", "a"],
            "objective_metric_series": ["a", "b"],
            "objective_metric_sign": ["min", "max_global"],
        }

        found = read(**several).objectives

        assert [objective.metric for objective in found] == ["a", "a/b"]
        assert found == objectives_of(*several.values())
        named = read(**several, airflow_hpo={"metric": ["x", "y"]}).objectives
        assert [objective.metric for objective in named] == ["x", "y"]

    def test_objectives_alone_are_checked(self):
        """
        What is asked of a finished study has as many titles, series and signs.
        """
        with pytest.raises(ValueError, match="got 2 of title, 1 of series, 1 of sign"):
            objectives_of(["a", "b"], "a", "min")
        with pytest.raises(ValueError, match=r"sign must be one of min, max, .* got 'minimum'"):
            objectives_of("a", "a", "minimum")

    def test_limits_are_minutes(self):
        """
        ClearML's limits are minutes, the study's and the trial's seconds.
        """
        found = read(optimization_time_limit=90, compute_time_limit=0.5, time_limit_per_job=10.0)

        assert found.budget.wall_clock_s == 5400
        assert found.budget.trial_time_s == 30
        assert found.trial.timeout_s == 600

    def test_concurrency_and_queue(self):
        """
        Ten run at a time where nothing is said, never more than there are.
        """
        assert read().execution.concurrency == 10
        assert read(total_max_jobs=4).execution.concurrency == 4
        assert read(max_number_of_concurrent_tasks=3).execution.concurrency == 3
        assert read(execution_queue="gpu").trial.steps[0].queue == "gpu"

    def test_pruning_is_as_in_optuna(self):
        """
        OptimizerOptuna ends jobs by the median, the others none; NopPruner switches it off.
        """
        assert read().pruner is None
        assert read(optimizer_class="OptimizerOptuna").pruner.name == "median"
        found = read(optimizer_class="OptimizerOptuna", min_iteration_per_job=7)
        assert found.pruner.options == {"warmup": 7}
        found = read(optimizer_class="OptimizerOptuna", optuna_pruner="NopPruner")
        assert found.pruner is None

    def test_a_name_is_made_of_task_or_file(self):
        """
        The study is called as our section says, else as the task, else as the file.
        """
        text = json.dumps(settings_of())

        (blueprint,) = parse_blueprints(text, file="folder/my file.json")

        assert blueprint.name == "my_file"
        assert read().name == "clearml"
        assert read(task_name="A task: %").name == "A_task"
        assert read(task_name="A task", airflow_hpo={"name": "mine"}).name == "mine"

    def test_bohb_spends_no_more_than_the_budget(self):
        """
        BOHB's rounds have at most as many iterations as all jobs at full length.
        """
        for jobs in (5, 10, 33):
            found = read(
                optimizer_class="OptimizerBOHB",
                total_max_jobs=jobs,
                min_iteration_per_job=10,
                max_iteration_per_job=30,
            )
            strategy = strategy_for(found)
            brackets = hyperband(strategy.scale(), iterations=found.strategy.options["iterations"])
            trials = [rung.trials * rung.resource for it in brackets for rung in it.rungs]
            assert sum(trials) <= jobs * 30
            assert total_spent(brackets) <= sum(trials)
            assert make_plan(found).trials == found.budget.trials


class TestCommands:
    """
    A base task is a script or a command; it gets its parameters.
    """

    def test_a_script_gets_options(self):
        """
        A script gets every parameter as an option, without its section.
        """
        blueprint = read(
            uniform("Args/lr"),
            uniform("General/lr"),
            {"type": "DiscreteParameterRange", "name": "note", "values": ["a b"]},
            uniform("deep/er/x"),
        )
        values = {"Args/lr": 0.1, "General/lr": 0.2, "note": "a b", "deep/er/x": 0.5}

        command = Template.parse(blueprint.trial.steps[0].command).render(values)

        assert command == ("python train.py --Args/lr=0.1 --General/lr=0.2 --note='a b' --x=0.5")

    @pytest.mark.parametrize(
        ("script", "start"),
        [
            ("jobs/run.sh", "sh jobs/run.sh "),
            ("a'b.py", "python 'a'\"'\"'b.py' "),
        ],
    )
    def test_kinds_of_scripts(self, script, start):
        """
        A script is run by what its name says, whatever else is in the name.
        """
        blueprint = read(base_task_id=script)

        command = Template.parse(blueprint.trial.steps[0].command).render({"x": 0.5})

        assert command == f"{start}--x=0.5"

    def test_names_without_sections(self):
        """
        A command may name a parameter without its section where no other is called so.
        """
        blueprint = read(
            uniform("Args/lr"), base_task_id="train {lr} {Args/lr:--lr} '{{lr}}' {parameters}"
        )

        command = Template.parse(blueprint.trial.steps[0].command).render({"Args/lr": 0.5})

        assert command == "train 0.5 --lr 0.5 '{lr}' --lr=0.5"

    def test_iterations_are_told(self):
        """
        The most iterations of a job are told to it.
        """
        assert read(max_iteration_per_job=30).trial.environment == {"HPO_MAX_ITERATIONS": "30"}


def test_problems_stand_where_they_are():
    """
    A value that is refused is shown at its own line and column.
    """
    text = (FOLDER / "good" / "clearml" / "optuna.yaml").read_text().replace("[30]", "[]")

    (problem,) = check_text(text)

    assert (problem.line, problem.column) == (7, 58)
    assert problem.path == "hyper_parameters.3.values"


@pytest.mark.parametrize("optimizer", ["cmaes", "OptimizerBOHB"])
def test_several_objectives_need_an_optimizer_that_can(optimizer):
    """
    An optimizer of one objective refuses several before anything runs.
    """
    found = messages(
        objective_metric_title=["a", "b"],
        objective_metric_series=["a", "b"],
        objective_metric_sign=["min", "max"],
        optimizer_class=optimizer,
        min_iteration_per_job=10,
        max_iteration_per_job=30,
    )

    assert any("cannot optimise several objectives, got 2" in message for _, message in found)


def test_many_combinations_are_read_quickly():
    """
    A file at its limits is read or refused, in no more time than any other of its size.
    """
    inner = {"type": "ParameterSet", "values": [{"a": place} for place in range(600)]}
    outer = {"type": "ParameterSet", "values": [{"b": inner}, {"b": inner}]}
    small = {"type": "ParameterSet", "values": [{"a": place} for place in range(100)]}

    assert "a name must be in 1000 combinations at most, got 1200" in str(messages(outer))
    assert len(read(small).space.parameters) == 101


def test_the_examples_of_the_manual():
    """
    The examples in the manual are read, and nothing is said about them.
    """
    page = (Path(__file__).parents[2] / "docs" / "clearml.md").read_text("utf-8")

    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)

    assert examples
    for example in examples:
        assert check_text(example) == ()


@pytest.mark.skipif(not THEIRS.is_file(), reason="facts about ClearML's examples are not here")
@pytest.mark.parametrize("name", ["hyper_parameter_optimizer", "docs_optuna", "issue_289"])
@pytest.mark.parametrize("optimizer", ["OptimizerOptuna", "RandomSearch", "GridSearch"])
def test_their_examples(name, optimizer):
    """
    Each space of ClearML's examples is read for each optimizer, and reads back the same.
    """
    facts = json.loads(THEIRS.read_text("utf-8"))[name]
    objective = facts.get("objective", {"title": "loss", "series": "loss", "sign": "min"})
    data = settings_of(
        *facts["hyper_parameters"],
        **{f"objective_metric_{part}": value for part, value in objective.items()},
        optimizer_class=optimizer,
        total_max_jobs=facts.get("total_max_jobs", 20),
    )

    (blueprint,) = parse_blueprints(json.dumps(data))

    (again,) = parse_blueprints(dump(blueprint))
    assert again.space == blueprint.space
    assert suggested(blueprint, 3)


ODD = odd_values("ParameterSet", "UniformParameterRange", "OptimizerBOHB", "a:b", "{x}")


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=changed_files(DATA, ODD))
def test_changed_structure(text):
    """
    A good file with one odd value is read or refused at a place in it; nothing else.
    """
    check_told(text)


NUMBERS = st.integers(-5, 5) | st.floats(-1e3, 1e3) | st.sampled_from([1e300, -1e300, 1e-300])
NAMES = st.sampled_from(["a", "General/a", "Args/b", "c", "c@1", "parameter_set", "parameters"])
RANGE = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "UniformParameterRange",
                "LogUniformParameterRange",
                "UniformIntegerParameterRange",
                "DiscreteParameterRange",
            ]
        )
    },
    optional={
        "name": NAMES,
        "min_value": NUMBERS,
        "max_value": NUMBERS,
        "step_size": NUMBERS | st.none(),
        "base": NUMBERS,
        "include_max": st.booleans(),
        "values": st.lists(NUMBERS | st.text(max_size=2), max_size=3),
    },
)
PARAMETER = st.recursive(
    RANGE,
    lambda inner: st.fixed_dictionaries(
        {
            "type": st.just("ParameterSet"),
            "values": st.lists(st.dictionaries(NAMES, inner | NUMBERS, max_size=3), max_size=3),
        }
    ),
    max_leaves=8,
)
FILE = st.fixed_dictionaries(
    {
        "base_task_id": st.sampled_from(["train.py", "train {a}", "train {parameters}"]),
        "hyper_parameters": st.lists(PARAMETER, min_size=1, max_size=4),
        "objective_metric_title": st.just("loss"),
        "objective_metric_series": st.just("loss"),
    },
    optional={
        "optimizer_class": st.sampled_from(
            ["OptimizerOptuna", "RandomSearch", "GridSearch", "OptimizerBOHB", "gp"]
        ),
        "total_max_jobs": st.integers(1, 200),
        "min_iteration_per_job": st.integers(0, 40),
        "max_iteration_per_job": st.integers(1, 40),
        "eta": NUMBERS,
        "optuna_pruner": st.sampled_from(["MedianPruner", "NopPruner", "X"]),
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=FILE)
def test_generated_files(data):
    """
    Whatever parameters and sets are in a file, it is read or refused; read, it reads back.
    """
    text = json.dumps(data)
    try:
        blueprints = parse_blueprints(text)
    except BlueprintError as error:
        refused = error.problems
    else:
        refused = ()
    assert all(problem.line >= 1 for problem in refused)
    if refused:
        return

    for blueprint in blueprints:
        (again,) = parse_blueprints(dump(blueprint))
        assert again.model_copy(update={"source": blueprint.source}) == blueprint
        (found,) = strategy_for(blueprint).suggest(blueprint.space, (), 1, seed=3)
        command = Template.parse(blueprint.trial.steps[0].command)
        needed = {blueprint.resource.name: 1} if blueprint.resource else {}
        assert command.render({**found.configuration, **needed})
        assert all(
            math.isfinite(value)
            for value in found.configuration.values()
            if isinstance(value, float)
        )
