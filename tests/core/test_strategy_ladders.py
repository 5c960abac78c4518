"""
Hyperband, halving, BOHB and ASHA: who starts, who moves up, and on what.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import count as counting

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_hpo.model.blueprint import Resource, StrategySpec
from airflow_hpo.model.decision import decide
from airflow_hpo.model.distribution import Categorical, Float, Int
from airflow_hpo.model.ladder import Place, place_of, total_spent, total_trials
from airflow_hpo.model.objective import Objective, best_trial
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.stop import Budget, PlateauRule
from airflow_hpo.model.trial import Failure, Trial, TrialState
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import Setting
from airflow_hpo.strategies.support import strategy_problems

AIM = Objective(metric="loss", direction="minimize")
SPACE = Space(
    parameters=tuple(Parameter(name=name, distribution=Float(low=0, high=1)) for name in ("x", "y"))
)
TWELVE = Space(
    parameters=(
        Parameter(name="a", distribution=Int(low=1, high=4)),
        Parameter(name="b", distribution=Categorical(choices=("u", "v", "w"))),
    )
)
SYNC = ("halving", "hyperband", "bohb")
ALL = (*SYNC, "asha")


def make(name, high=9, trials=1000, points=(), resource=None, **options):
    """
    Return a strategy over up to *high* epochs.
    """
    resource = resource or Resource(name="epochs", min=1, max=high)
    setting = Setting(objectives=(AIM,), trials=trials, resource=resource)
    return create_strategy(StrategySpec(name=name, options=options), setting, points=points)


def value_of(trial):
    """
    Return a loss that is better with more of the resource, and differs between trials.
    """
    return trial.configuration.get("x", trial.configuration.get("a", 0)) + 1 / trial.resource


class Study:
    """
    A history that grows as a study's does.
    """

    def __init__(self, strategy, space=SPACE, seed=1):
        self.strategy = strategy
        self.space = space
        self.seed = seed
        self.trials = []

    def ask(self, count=1, **more):
        """
        Return the trials that the strategy wants next.
        """
        found = self.strategy.suggest(self.space, self.trials, count, seed=self.seed, **more)
        first = len(self.trials)
        self.trials += [
            Trial(
                number,
                each.configuration,
                sampler=each.sampler,
                resource=each.resource,
                parent=each.parent,
                labels=each.labels,
                attempt=1,
            )
            for number, each in enumerate(found, first)
        ]
        return self.trials[first:]

    def end(self, trial, state=TrialState.COMPLETE, **more):
        """
        End a trial with its value, or otherwise.
        """
        values = (value_of(trial),) if state is TrialState.COMPLETE else None
        more.setdefault("failure", Failure.CODE if state is TrialState.FAILED else None)
        self.trials[trial.number] = replace(trial, state=state, values=values, **more)

    def run(self, slots=1, ending=lambda _: TrialState.COMPLETE, limit=2000, choose=None):
        """
        Run the study to its end, *slots* trials at a time.
        """
        running = []
        for _ in range(limit):
            while len(running) < slots and (new := self.ask(1)):
                running += new
            if not running:
                return self
            trial = running.pop(0 if choose is None else choose(len(running)))
            self.end(trial, ending(trial))
        return self

    def at(self, iteration, bracket, rung):
        """
        Return the trials of one rung.
        """
        return [t for t in self.trials if place_of(t) == Place(iteration, bracket, rung)]


def counts(study):
    """
    Return the number of trials by bracket and rung.
    """
    return Counter(place_of(trial)[1:] for trial in study.trials)


@pytest.mark.parametrize("name", SYNC)
@pytest.mark.parametrize("slots", [1, 3, 50])
def test_study_is_the_table(name, slots):
    """
    However many trials run at once, each rung gets exactly the trials of its table.
    """
    study = Study(make(name, trials=40)).run(slots)
    brackets = study.strategy.brackets(SPACE)

    assert counts(study) == {
        (bracket.bracket, rung.rung): rung.trials for bracket in brackets for rung in bracket.rungs
    }
    for bracket in brackets:
        for rung in bracket.rungs:
            members = study.at(0, bracket.bracket, rung.rung)
            assert {trial.resource for trial in members} == {rung.resource}


@pytest.mark.parametrize("name", SYNC)
def test_the_best_of_the_rung_itself_move_up(name):
    """
    Promoted are the best of exactly the rung below, with their configurations, as their children.
    """
    study = Study(make(name, 27, trials=60)).run(4)

    for bracket in study.strategy.brackets(SPACE):
        for rung in bracket.rungs[1:]:
            below = study.at(0, bracket.bracket, rung.rung - 1)
            best = sorted(below, key=lambda trial: trial.values)[: rung.trials]
            promoted = study.at(0, bracket.bracket, rung.rung)
            assert {trial.parent for trial in promoted} == {trial.number for trial in best}
            for trial in promoted:
                assert trial.configuration == study.trials[trial.parent].configuration
                assert trial.labels["from"] == trial.parent


def test_brackets_draw_from_streams_of_their_own():
    """
    No configuration begins twice, and a bracket's do not depend on when it began.
    """
    together, reversed_order = Study(make("hyperband")), Study(make("hyperband"))
    for bracket in (2, 1, 0):
        together.ask(100, only=Place(0, bracket, 0))
        reversed_order.ask(100, only=Place(0, 2 - bracket, 0))

    for bracket in (2, 1, 0):
        one, other = (
            [trial.configuration for trial in study.at(0, bracket, 0)]
            for study in (together, reversed_order)
        )
        assert one == other
    tried = [tuple(trial.configuration.values()) for trial in together.trials]
    assert len(set(tried)) == len(tried) == 9 + 5 + 3


def test_brackets_do_not_wait_for_each_other():
    """
    While one rung runs, the next bracket begins.
    """
    study = Study(make("hyperband"))

    assert [trial.labels["bracket"] for trial in study.ask(12)] == [2] * 9 + [1] * 3


def test_a_rung_waits_for_all_its_trials():
    """
    Nobody is promoted before the whole rung has ended.
    """
    study = Study(make("halving", trials=13))
    rung = study.ask(50)
    assert len(rung) == 9
    for trial in rung[:-1]:
        study.end(trial)
    assert study.ask(50) == []

    study.end(rung[-1])

    assert len(study.ask(50)) == 3


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.INFEASIBLE, TrialState.PRUNED])
@pytest.mark.parametrize("name", ["halving", "asha"])
def test_failed_trials_rank_last(name, state):
    """
    A trial without a value is never promoted, however few others there are.
    """
    bad = {0, 1, 2, 3, 4, 5, 6}
    study = Study(make(name, trials=13))
    for trial in study.ask(9):
        study.end(trial, state if trial.number in bad else TrialState.COMPLETE)

    promoted = study.ask(3)

    parents = [trial.parent for trial in promoted if trial.parent is not None]
    assert sorted(parents) == [7, 8]


def test_a_rung_of_failures_ends_its_bracket():
    """
    Where nobody can move up, the bracket is over and the others go on.
    """
    study = Study(make("hyperband"))
    study.run(3, lambda t: TrialState.FAILED if t.labels["bracket"] == 2 else TrialState.COMPLETE)

    assert counts(study) == {(2, 0): 9, (1, 0): 5, (1, 1): 1, (0, 0): 3}


@pytest.mark.parametrize("name", ALL)
def test_without_resume_there_is_no_parent(name):
    """
    A trial that starts afresh resumes nothing; where it comes from stays on record.
    """
    study = Study(make(name, trials=20, resume=False)).run(2, limit=20)
    promoted = [trial for trial in study.trials if trial.labels["rung"] > 0]

    assert promoted
    assert all(trial.parent is None for trial in promoted)
    for trial in promoted:
        assert trial.configuration == study.trials[trial.labels["from"]].configuration


@pytest.mark.parametrize("name", ALL)
def test_points_begin_the_first_bracket(name):
    """
    Points are tried first, once each, and may be promoted as any other.
    """
    points = [{"x": 0.0, "y": 0.5}, {"x": 0.25}]
    study = Study(make(name, trials=30, points=points)).run(3, limit=30)

    first = study.trials[:2]
    assert [trial.sampler for trial in first] == ["point", "point"]
    assert first[0].configuration == points[0]
    assert first[1].configuration["x"] == 0.25
    assert sum(trial.sampler == "point" for trial in study.trials) == 2
    assert any(trial.labels.get("from") == 0 for trial in study.trials)


@pytest.mark.parametrize("name", SYNC)
def test_small_spaces_end_well(name):
    """
    Twelve configurations are each begun once, and the rungs above are still climbed.
    """
    strategy = make(name, 27, trials=100)
    study = Study(strategy, TWELVE).run(4)
    begun = [tuple(t.configuration.values()) for t in study.trials if t.labels["rung"] == 0]

    assert len(begun) == len(set(begun)) == 12
    assert len(study.trials) == total_trials(strategy.brackets(TWELVE)) == strategy.limit(TWELVE)
    assert max(trial.resource for trial in study.trials) == 27


def test_a_space_that_cannot_be_counted_may_end():
    """
    Where the end of the space was not foreseen, the rung that it cut short is a whole one.
    """
    strategy = make("hyperband", trials=22)
    strategy.configurations = lambda _: None
    study = Study(strategy, TWELVE).run(3)

    begun = [trial for trial in study.trials if trial.labels["rung"] == 0]
    assert len(begun) == 12
    assert max(trial.resource for trial in study.trials) == 9


def test_iterations_are_told_apart():
    """
    A second iteration has rungs of its own and other configurations.
    """
    study = Study(make("hyperband", 3, iterations=2)).run(2)

    assert len(study.trials) == 2 * 6
    begun = [tuple(t.configuration.values()) for t in study.trials if t.labels["rung"] == 0]
    assert len(set(begun)) == len(begun)


def test_float_resources():
    """
    A resource that is no whole number is divided as it is.
    """
    resource = Resource(name="share", min=0.1, max=0.9)
    study = Study(make("hyperband", resource=resource)).run(3)

    assert sorted({trial.resource for trial in study.trials}) == pytest.approx([0.1, 0.3, 0.9])


def test_trials_of_others_are_not_ranked():
    """
    Trials that no ladder suggested are known as tried, and neither promoted nor counted.
    """
    study = Study(make("halving", trials=13))
    study.trials = [
        Trial(0, {"x": 0.0, "y": 0.0}, TrialState.COMPLETE, values=(-1.0,), attempt=1),
    ]
    study.run(3)

    assert counts_of_rungs(study) == {0: 9, 1: 3, 2: 1}
    assert all(trial.labels.get("from") != 0 for trial in study.trials)


def counts_of_rungs(study):
    """
    Return the number of the ladder's trials by rung.
    """
    places = (place_of(trial) for trial in study.trials)
    return Counter(place.rung for place in places if place is not None)


def test_a_trial_that_is_run_again_holds_its_rung():
    """
    While a trial of a rung runs again, its rung is not whole; who moved up stays there.
    """
    study = Study(make("halving", trials=13))
    rung = study.ask(9)
    for trial in rung:
        study.end(trial)
    promoted = study.ask(1)
    study.trials[0] = replace(study.trials[0], state=TrialState.RUNNING)
    assert study.ask(9) == []

    study.end(study.trials[0])
    rest = study.ask(9)

    assert len({trial.parent for trial in [*promoted, *rest]}) == 3


class TestAsha:
    """
    Promotion without waiting.
    """

    def test_a_free_slot_promotes_if_any_is_due(self):
        """
        With three trials ended the best of them is promoted; with two, a new one begins.
        """
        study = Study(make("asha"))
        first = study.ask(2)
        for trial in first:
            study.end(trial)
        (third,) = study.ask(1)
        assert third.labels["rung"] == 0
        study.end(third)

        (fourth,) = study.ask(1)

        assert fourth.labels["rung"] == 1
        assert fourth.parent == min(study.trials[:3], key=value_of).number
        assert fourth.resource == 3

    def test_the_highest_rung_is_looked_at_first(self):
        """
        Where two rungs have one that is due, the higher one goes on.
        """
        study = Study(make("asha", trials=20))
        for trial in study.ask(9):
            study.end(trial)
        for trial in study.ask(3):
            assert trial.labels["rung"] == 1
            study.end(trial)
        (last,) = study.ask(1)
        assert last.labels["rung"] == 2

    def test_better_ones_that_come_late_do_not_promote_more(self):
        """
        Where every new trial beats all before it, still no more than a third moves up.
        """
        study = Study(make("asha", trials=100))
        better = counting()
        for _ in range(60):
            (trial,) = study.ask(1)
            value = 1000 - next(better)
            study.trials[trial.number] = replace(
                trial, state=TrialState.COMPLETE, values=(float(value),)
            )

        rungs = counts_of_rungs(study)
        assert rungs[1] <= rungs[0] // 3
        assert rungs[2] <= rungs[1] // 3

    @settings(deadline=None)
    @given(
        slots=st.integers(1, 12),
        trials=st.integers(1, 60),
        eta=st.integers(2, 4),
        data=st.data(),
    )
    def test_never_more_than_its_share(self, slots, trials, eta, data):
        """
        In whatever order trials end, well or badly, at most 1/eta of a rung's ended trials move up.
        """
        strategy = make("asha", 27, trials=trials, eta=eta)
        study, running = Study(strategy), []
        states = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAILED]
        while len(study.trials) < trials or running:
            if len(running) < slots and len(study.trials) < trials:
                running += study.ask(1)
                self.check(study, eta)
                continue
            trial = running.pop(data.draw(st.integers(0, len(running) - 1)))
            study.end(trial, data.draw(st.sampled_from(states)))

        spent = sum(step_of(trial, study) for trial in study.trials)
        assert spent <= total_spent(strategy.brackets(SPACE))

    @staticmethod
    def check(study, eta):
        """
        Compare each rung with the one above.
        """
        rungs = counts_of_rungs(study)
        for rung in range(max(rungs, default=0)):
            ended = [t for t in study.trials if place_of(t).rung == rung]
            assert rungs[rung + 1] <= sum(trial.is_final for trial in ended) // eta


def step_of(trial, study):
    """
    Return what a trial spends on top of its parent.
    """
    return trial.resource - (0 if trial.parent is None else study.trials[trial.parent].resource)


class TestBohb:
    """
    Configurations from a model of one rung.
    """

    def run_brackets(self, **options):
        """
        Return a study over 27 epochs, bracket after bracket.
        """
        study = Study(make("bohb", 27, trials=100, **options))
        for bracket in study.strategy.brackets(SPACE):
            for rung in bracket.rungs:
                for trial in study.ask(100, only=Place(0, bracket.bracket, rung.rung)):
                    study.end(trial)
        return study

    def test_chance_begins_and_the_model_goes_on(self):
        """
        The first bracket is random; later ones are mostly the model's, with a share of chance.
        """
        study = self.run_brackets()
        samplers = {
            bracket: Counter(trial.sampler for trial in study.at(0, bracket, 0))
            for bracket in (3, 2, 1, 0)
        }

        assert samplers[3] == {"random": 27}
        later = sum((samplers[bracket] for bracket in (2, 1, 0)), Counter())
        assert later["bohb"] > later["random"] > 0

    def test_chance_can_be_left_out(self):
        """
        With a share of zero everything is the model's as soon as there is one.
        """
        study = self.run_brackets(random_fraction=0)

        assert {trial.sampler for trial in study.at(0, 2, 0)} == {"bohb"}

    def test_the_model_finds_the_good_corner(self):
        """
        What it proposes is better on average than what chance draws.
        """
        study = self.run_brackets(random_fraction=0)
        later = [trial.configuration["x"] for b in (2, 1, 0) for trial in study.at(0, b, 0)]

        assert sum(later) / len(later) < 0.35

    def test_only_one_rung_teaches(self):
        """
        The model sees the trials of the highest resource with enough of them, and no others.
        """
        from airflow_hpo.strategies.bohb import _highest_rung

        rng = random.Random(0)
        trials = [
            Trial(n, {"x": rng.random()}, TrialState.COMPLETE, values=(0.0,), resource=resource)
            for n, resource in enumerate([1] * 9 + [3] * 6 + [9] * 2)
        ]

        assert {trial.resource for trial in _highest_rung(trials, 6)} == {3}
        assert {trial.resource for trial in _highest_rung(trials, 2)} == {9}
        assert _highest_rung(trials, 10) == []


class TestProblems:
    """
    What is refused before anything runs.
    """

    def problems(self, name, *, trials=100, resource=True, **options):
        """
        Return what is wrong, as text.
        """
        setting = Setting(
            objectives=(AIM,),
            trials=trials,
            resource=Resource(name="epochs", min=1, max=81) if resource else None,
        )
        spec = StrategySpec(name=name, options=options)
        found = strategy_problems(spec, setting, space=SPACE)
        return [(problem.path, problem.message) for problem in found]

    @pytest.mark.parametrize("name", ALL)
    def test_resource_is_needed(self, name):
        """
        A ladder without a resource says so.
        """
        assert self.problems(name, resource=False) == [
            ("resource", f"must be given for strategy {name}")
        ]

    def test_budget_must_hold_all_brackets(self):
        """
        A budget that the table does not fit into is refused with the number that is needed.
        """
        ((path, message),) = self.problems("hyperband")

        assert path == "budget.trials"
        assert message == (
            "must be at least 206 for strategy hyperband with eta=3 and epochs from 1 to 81, "
            "got 100"
        )
        assert self.problems("hyperband", trials=206) == []
        assert self.problems("halving", trials=4)[0][0] == "budget.trials"
        assert self.problems("halving", trials=5) == []
        assert self.problems("halving", trials=50, start=50)[0][0] == "budget.trials"
        assert self.problems("asha", trials=1) == []

    @pytest.mark.parametrize("eta", [1, 0, -3, "many"])
    def test_eta_is_checked(self, eta):
        """
        A factor below two makes no ladder.
        """
        ((path, _),) = self.problems("hyperband", eta=eta)

        assert path == "strategy.options.eta"


def test_best_is_the_best_of_those_that_were_given_most():
    """
    A low rung's lucky value does not make a trial the best; who has no limit has all.
    """
    trials = [
        Trial(0, {}, TrialState.COMPLETE, values=(0.1,), resource=1),
        Trial(1, {}, TrialState.COMPLETE, values=(0.3,), resource=9),
        Trial(2, {}, TrialState.COMPLETE, values=(0.2,), resource=9),
        Trial(3, {}, TrialState.FAILED, resource=27),
    ]

    assert best_trial([AIM], trials).number == 2
    full = Trial(4, {}, TrialState.COMPLETE, values=(0.9,))
    assert best_trial([AIM], [*trials, full]).number == 4


def test_a_plateau_is_one_of_the_highest_resource():
    """
    Trials on little are worse than the best on much, and that is no plateau.
    """
    trials = [
        Trial(n, {}, TrialState.COMPLETE, values=(value,), resource=resource, finished=float(n))
        for n, (value, resource) in enumerate([(0.5, 9), (0.9, 1), (0.9, 1), (0.9, 1), (0.4, 9)])
    ]
    rule, budget = PlateauRule(trials=2), Budget(trials=100)

    assert decide(budget, [rule], [AIM], trials, now=9.0) is None
    worse = [replace(trials[0], number=n, values=(0.6,), finished=float(n)) for n in range(5, 7)]
    assert decide(budget, [rule], [AIM], [*trials, *worse], now=9.0).rule == "plateau"
