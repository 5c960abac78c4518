"""
Constraints on outcomes: who is feasible, who is told, and what the report says.
"""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_hpo.blueprint import check_text, parse_blueprints
from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Float
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.outcomes import Outcomes
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Outcome, Trial, TrialState
from airflow_hpo.report import trial_rows, write_report
from airflow_hpo.storage import open_storage
from airflow_hpo.strategies import STRATEGIES, create_strategy
from airflow_hpo.strategies.base import Setting
from airflow_hpo.strategies.support import able_to
from airflow_hpo.study import Study

LOSS = Objective(metric="loss", direction="minimize")
GAIN = Objective(metric="gain", direction="maximize")

TEXT = """
hpo: 1
name: digits
objective: OBJECTIVE
outcome_constraints: ["ms <= 20", "parameter.x < 0.5 or metadata.size < 9"]
space: {x: {float: [0, 1]}}
strategy: {name: NAME}
budget: {trials: 5}
trial: {command: "python train.py {x}"}
"""


def blueprint_of(name="random", objective="{metric: loss, direction: minimize}"):
    """
    Return a blueprint with constraints on outcomes.
    """
    (found,) = parse_blueprints(TEXT.replace("NAME", name).replace("OBJECTIVE", objective))
    return found


def trial_of(values, *, number=0, x=0.1, **metrics):
    """
    Return a complete trial.
    """
    return Trial(number, {"x": x}, TrialState.COMPLETE, values=values, metrics=metrics)


class TestFeasible:
    """
    A trial is feasible if it measured what every constraint asks for.
    """

    @pytest.mark.parametrize(
        ("trial", "expected"),
        [
            (trial_of((1.0,), ms=20), True),
            (trial_of((1.0,), ms=20.5), False),
            (trial_of((1.0,)), False),
            (trial_of((1.0,), ms="19"), True),
            (trial_of((1.0,), ms=math.nan), False),
            (trial_of((1.0,), ms=1, x=0.7, size=9), False),
            (trial_of((1.0,), ms=1, x=0.7, size=8), True),
        ],
    )
    def test_by_metrics_and_parameters(self, trial, expected):
        """
        What is missing, or no number, satisfies nothing.
        """
        outcomes = blueprint_of().outcomes

        assert outcomes.allow(trial) is expected
        assert all(value <= 0 for value in outcomes.violations(trial)) is expected

    def test_objectives_count_by_their_value(self):
        """
        Of an objective it is the value that counts, not the last one measured.
        """
        outcomes = Outcomes([LOSS], ["loss < 1"])

        assert outcomes.allow(trial_of((0.5,), loss=3))
        assert not outcomes.allow(trial_of((1.0,), loss=0))
        assert Outcomes([LOSS], []).allow(trial_of((9.0,)))

    @given(
        st.sampled_from(["a <= b", "a < b", "not a > b", "a < b and b < 9", "a < b or b < a - 1"]),
        st.floats(-1e6, 1e6),
        st.floats(-1e6, 1e6),
    )
    def test_violation_agrees_with_the_truth(self, text, a, b):
        """
        It is above 0 exactly where the expression does not hold.
        """
        rule, known = Expression.parse(text), {"a": a, "b": b}.__getitem__

        assert (rule.violation(known) <= 0) == rule.holds(known)

    def test_violation_is_a_distance(self):
        """
        Of a comparison the difference, of several the farthest or the nearest.
        """
        known = {"a": 5, "b": 2, "text": "x"}.__getitem__

        for text, expected in {
            "a <= 3": 2,
            "3 >= a": 2,
            "a <= 7": -2,
            "a <= 3 and b < 1": 2,
            "a <= 3 or b < 1": 1,
            "not a > 3": 2,
            "a == 4": 1,
            "a == 5": 0,
            "missing < 3": 1,
            "text < 3": 1,
            "a < 5": 1e-9,
        }.items():
            assert Expression.parse(text).violation(known) == pytest.approx(expected), text


def told(name, constraints, *, several=False, count=40):
    """
    Return the trials of a search in which good losses come with a bad latency.
    """
    objectives = (LOSS, GAIN) if several else (LOSS,)
    options = {"population_size": 10} if name.startswith("nsga") else {}
    setting = Setting(
        objectives, trials=count, startup_trials=10, outcome_constraints=tuple(constraints)
    )
    strategy = create_strategy(StrategySpec(name=name, options=options), setting)
    space = Space(
        parameters=tuple(Parameter(name=n, distribution=Float(low=0, high=1)) for n in "xy")
    )
    trials = []
    for number in range(count):
        (found,) = strategy.suggest(space, trials, 1, seed=1)
        x, y = found.configuration["x"], found.configuration["y"]
        values = (x + y, -y) if several else (x + y,)
        trials.append(
            Trial(
                number,
                found.configuration,
                TrialState.COMPLETE,
                sampler=found.sampler,
                values=values,
                metrics={"ms": 10 * (1 - x)},
                labels=found.labels,
            )
        )
    return trials


class TestTeaching:
    """
    Engines are told which trials are not feasible, each in its own way.
    """

    @pytest.mark.parametrize(
        "name", ["tpe", "nsga2", "nsga3", "cmaes", "hyperopt_tpe", "hyperopt_anneal"]
    )
    def test_engines_move_to_where_it_is_feasible(self, name):
        """
        The better half of the space breaks the constraint; they leave it.
        """
        if name == "cmaes":
            pytest.importorskip("cmaes")
        share = {}
        for constraints in ((), ("ms <= 3",)):
            late = told(name, constraints)[20:]
            share[constraints] = sum(trial.metrics["ms"] <= 3 for trial in late)

        assert share["ms <= 3",] >= 9 > share[()]

    def test_gaussian_processes_too(self):
        """
        A few guided trials are enough to see it.
        """
        pytest.importorskip("sklearn")

        guided = told("gp", ["ms <= 3"], count=16)[10:]

        assert sum(trial.metrics["ms"] <= 3 for trial in guided) >= 3

    @pytest.mark.parametrize("name", ["tpe", "nsga2"])
    def test_several_objectives(self, name):
        """
        With several objectives likewise.
        """
        share = {}
        for constraints in ((), ("ms <= 3",)):
            late = told(name, constraints, several=True)[20:]
            share[constraints] = sum(trial.metrics["ms"] <= 3 for trial in late)

        assert share["ms <= 3",] > share[()]

    def test_nothing_feasible_yet(self):
        """
        As long as no trial is feasible, the least far one leads the way.
        """
        trials = told("tpe", ["ms <= 0.1"])

        late = [trial.metrics["ms"] for trial in trials[25:]]
        assert sum(late) / len(late) < 4
        assert "tpe" in {trial.sampler for trial in trials}

    @pytest.mark.parametrize("name", STRATEGIES.entries)
    def test_refused_at_check_time_or_kept(self, name):
        """
        A strategy that cannot is refused where the constraints stand.
        """
        text = TEXT.replace("NAME", name).replace(
            "OBJECTIVE", "{metric: loss, direction: minimize}"
        )
        found = [problem for problem in check_text(text) if "outcomes" in problem.message]

        if name in able_to("outcome_constraints"):
            assert found == []
        else:
            (problem,) = found
            assert (problem.line, problem.column) == (5, 1)
            assert problem.message == f"strategy {name} cannot keep constraints on outcomes"
            assert "these can: " in problem.hint

    @pytest.mark.parametrize("name", STRATEGIES.entries)
    def test_histories_likewise(self, name):
        """
        A strategy that cannot learn from a warm start is refused where that stands.
        """
        text = TEXT.replace("NAME", name).replace(
            "OBJECTIVE", "{metric: loss, direction: minimize}"
        )
        text += "warm_start: {from: other}\n"
        found = [problem for problem in check_text(text) if problem.path == "warm_start"]

        if name in able_to("history"):
            assert found == []
        else:
            (problem,) = found
            assert problem.message.startswith(f"strategy {name} cannot learn from a history")
            assert (problem.line, problem.hint) == (10, "write as: points")


def ended(blueprint, rows, *, name):
    """
    Return a study whose trials ended with these values, latencies and sizes.
    """
    study = Study.open(open_storage(f"memory://outcomes-{name}"), "s", blueprint)
    for trial, (values, ms, size) in zip(study.ask(len(rows), key="a"), rows, strict=True):
        study.start(trial.number, key="k")
        metrics = {"ms": ms, "size": size}
        study.tell(trial.number, Outcome(TrialState.COMPLETE, values, metrics), attempt=1)
    return study


class TestReport:
    """
    The best trial and the front are of feasible trials only.
    """

    def test_best_is_feasible(self, tmp_path):
        """
        A better one that is not feasible is shown as such.
        """
        rows = [((0.1,), 30, 1), ((0.4,), 20, 1), ((0.5,), 10, 1)]
        study = ended(blueprint_of(), rows, name="best")
        record = study.record()

        files = write_report(record, study.blueprint, tmp_path)

        summary = json.loads(files.summary.read_text())
        assert study.best().number == summary["best"]["number"] == 1
        assert summary["feasible"] == 2
        assert "2 satisfy the outcome constraints: ms <= 20, " in files.markdown.read_text()
        feasible = [row["feasible"] for row in trial_rows(record, study.blueprint)]
        assert feasible == [False, True, True]

    def test_none_feasible(self, tmp_path):
        """
        That is said, and there is no best.
        """
        study = ended(blueprint_of(), [((0.1,), 30, 1)], name="none")

        files = write_report(study.record(), study.blueprint, tmp_path)

        assert study.best() is None
        assert "No trial satisfies the outcome constraints." in files.markdown.read_text()

    def test_front_and_hypervolume(self, tmp_path):
        """
        The volume is measured from the references, or from the worst seen.
        """
        objective = (
            "[{metric: a, direction: minimize, reference: 4}, {metric: b, direction: maximize}]"
        )
        rows = [((1, 5), 1, 1), ((2, 9), 1, 1), ((3, 3), 1, 1), ((0, 99), 30, 1)]
        study = ended(blueprint_of(objective=objective), rows, name="front")

        files = write_report(study.record(), study.blueprint, tmp_path)

        summary = json.loads(files.summary.read_text())
        assert [trial["number"] for trial in summary["front"]] == [0, 1]
        # Of a in [1, 4] by b in [3, 5], and of a in [2, 4] by b in [5, 9].
        assert summary["hypervolume"] == {"value": 3 * 2 + 2 * 4, "reference": {"a": 4, "b": 3}}
        assert "Hypervolume: 14 from a = 4, b = 3." in files.markdown.read_text()

    def test_command_line(self, hpo):
        """
        ``hpo top`` has feasible trials first, ``hpo status`` says how many there are.
        """
        blueprint = blueprint_of()
        study = Study.open(open_storage(), "s", blueprint)
        rows = [((0.1,), 30, 1), ((0.5,), 20, 1), ((0.4,), 10, 1)]
        for trial, (values, ms, size) in zip(study.ask(3, key="a"), rows, strict=True):
            study.start(trial.number, key="k")
            metrics = {"ms": ms, "size": size}
            study.tell(trial.number, Outcome(TrialState.COMPLETE, values, metrics), attempt=1)

        top = hpo.json("top", "s")

        assert [(line["number"], line["feasible"]) for line in top] == [
            (2, True),
            (1, True),
            (0, False),
        ]
        status = hpo("status", "s").stdout
        assert "feasible: 2 (ms <= 20, parameter.x < 0.5 or metadata.size < 9)" in status
        assert "best: #2 with loss = 0.4" in status
