"""
The start-up rule, the same for every strategy: the first trials are random.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Float, Int
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.strategies import STRATEGIES, create_strategy, strategy_for
from airflow_hpo.strategies.base import Setting

SPACE = Space(
    parameters=(
        Parameter(name="rate", distribution=Float(low=1e-4, high=1, log=True)),
        Parameter(name="width", distribution=Int(low=1, high=99)),
        Parameter(name="kind", distribution=Categorical(choices=("a", "b", "c"))),
    )
)
LOSS = (Objective(metric="loss", direction="minimize"),)

# Which option says whether failed trials count, and how.
BY_NUMBER = {"tpe": {}, "gp": {}, "optuna_gp": {}, "hyperopt_tpe": {"startup": "number"}}
BY_OUTCOME = {
    "tpe": {"startup_counts": "complete"},
    "gp": {"startup_counts": "complete"},
    "optuna_gp": {"startup_counts": "complete"},
    "hyperopt_tpe": {"startup": "finished"},
}
CHANCE = {"hyperopt_tpe": "hyperopt_random"}


@pytest.fixture(name="engine", params=BY_NUMBER)
def _engine(request):
    extra = STRATEGIES.load(request.param).support.extra
    if extra is not None and find_spec(extra.package) is None:
        pytest.skip(f"{extra.package} is not installed")
    return request.param


def make(name, *, first=6, **options):
    """
    Return a strategy with so many start-up trials.
    """
    setting = Setting(objectives=LOSS, trials=100, startup_trials=first)
    return create_strategy(StrategySpec(name=name, options=options), setting)


def run(strategy, count, *, failed=(), seed=11):
    """
    Return the trials of a study in which one runs at a time; the loss is the rate.
    """
    trials = []
    for number in range(count):
        (found,) = strategy.suggest(SPACE, trials, 1, seed=seed)
        state = TrialState.FAILED if number in failed else TrialState.COMPLETE
        values = None if number in failed else (found.configuration["rate"],)
        trials.append(
            Trial(number, found.configuration, state, sampler=found.sampler, values=values)
        )
    return trials


def by_chance(engine, count, **run_options):
    """
    Return the configurations that random search of the same kind tries.
    """
    chance = make(CHANCE.get(engine, "random"))
    return [trial.configuration for trial in run(chance, count, **run_options)]


def differs_from(engine, trials, **options):
    """
    Return the number of the first trial that is not random search's.
    """
    chance = by_chance(engine, len(trials), **options)
    return next(
        trial.number
        for trial, other in zip(trials, chance, strict=True)
        if trial.configuration != other
    )


class TestEngines:
    """
    Every engine with a start-up begins as random search with the same seed.
    """

    @pytest.mark.parametrize("startup", [0, 3, 6])
    def test_so_many_are_random(self, engine, startup):
        """
        The setting says how many; one is needed to learn from.
        """
        strategy = make(engine, first=startup, **BY_NUMBER[engine])

        trials = run(strategy, 8)

        # HyperOpt's model without a history is its own.
        least = 0 if engine == "hyperopt_tpe" else 1
        assert differs_from(engine, trials) == max(startup, least)

    def test_by_number_failed_trials_count(self, engine):
        """
        Trial 6 is the first that is modelled, whatever became of the ones before.
        """
        failed = (0, 2, 3)

        trials = run(make(engine, **BY_NUMBER[engine]), 9, failed=failed)

        assert differs_from(engine, trials, failed=failed) == 6

    def test_by_outcome_failed_trials_are_made_up_for(self, engine):
        """
        Three failed trials make the start-up longer by three.
        """
        failed = (0, 2, 3)

        trials = run(make(engine, **BY_OUTCOME[engine]), 11, failed=failed)

        assert differs_from(engine, trials, failed=failed) == 9

    def test_trials_of_a_warm_start_count(self, engine):
        """
        What is known already need not be found out by chance.
        """
        given = [
            Trial(number - 4, trial.configuration, TrialState.COMPLETE, values=trial.values)
            for number, trial in enumerate(run(make("random"), 4, seed=5))
        ]
        strategy = make(engine, **BY_NUMBER[engine])

        found = strategy.suggest(SPACE, given, 4, seed=11)

        chance = by_chance(engine, 4)
        same = [item.configuration == other for item, other in zip(found, chance, strict=True)]
        assert same == [True, True, False, False]

    def test_a_batch_across_the_border(self, engine):
        """
        A batch that reaches beyond the start-up is modelled from there on.
        """
        strategy = make(engine, **BY_NUMBER[engine])
        trials = run(strategy, 4)

        found = strategy.suggest(SPACE, trials, 4, seed=11)

        chance = by_chance(engine, 8)[4:]
        same = [item.configuration == other for item, other in zip(found, chance, strict=True)]
        assert same == [True, True, False, False]


TASK = """
- step:
    name: train
    image: python:3.12
    command: python train.py {parameters}
    parameters: [{name: rate, type: float}, {name: width, type: integer}]
- task:
    name: search
    step: train
    type: bayesian_tpe
    execution-count: 30
    execution-batch-size: 5
    engine: ENGINE
    optimization-target-metric: loss
    optimization-target-value: 0
    parameters:
      - {name: rate, style: random, rules: {min: 0, max: 1, distribution: uniform}}
      - {name: width, style: random, rules: {min: 1, max: 99, distribution: integer}}
"""


@pytest.mark.parametrize(
    ("engine", "chance"), [("optuna", "random"), ("hyperopt", "hyperopt_random")]
)
def test_valohai_runs_twenty_at_random(engine, chance):
    """
    With either engine: the first 20 executions by number, failed ones included.
    """
    (blueprint,) = parse_blueprints(TASK.replace("ENGINE", engine))
    strategies = [
        strategy_for(blueprint),
        create_strategy(StrategySpec(name=chance), Setting(LOSS, trials=30)),
    ]
    found = []
    for strategy in strategies:
        trials = []
        while len(trials) < 25:
            for item in strategy.suggest(blueprint.space, trials, 5, seed=3):
                number = len(trials)
                failed = number % 3 == 0
                trials.append(
                    Trial(
                        number,
                        item.configuration,
                        TrialState.FAILED if failed else TrialState.COMPLETE,
                        sampler=item.sampler,
                        values=None if failed else (item.configuration["rate"],),
                    )
                )
        found.append([trial.configuration for trial in trials])

    same = [one == other for one, other in zip(*found, strict=True)]
    assert same == [True] * 20 + [False] * 5
