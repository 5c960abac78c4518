"""
TPE: the same as Optuna's where it can be, and what we add around it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import random
import statistics
import subprocess
import sys
import warnings
from dataclasses import replace

import optuna  # noqa: TID253 - what it is compared with
import pytest
from optuna.distributions import (  # noqa: TID253 - what it is compared with
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Float, Int, LogNormal, Normal
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Measurement, Trial, TrialState
from airflow_hpo.model.values import canonical, derive_seed
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import Setting

MINIMIZE = Objective(metric="loss", direction="minimize")
SEED = 7

MIXED = Space(
    parameters=(
        Parameter(name="rate", distribution=Float(low=1e-5, high=1e-1, log=True)),
        Parameter(name="x", distribution=Float(low=-5, high=5)),
        Parameter(name="hidden", distribution=Int(low=4, high=512, log=True)),
        Parameter(name="layers", distribution=Int(low=1, high=8)),
        Parameter(name="kind", distribution=Categorical(choices=("relu", "tanh", "gelu"))),
    )
)
MIXED_IN_OPTUNA = {
    "rate": FloatDistribution(1e-5, 1e-1, log=True),
    "x": FloatDistribution(-5, 5),
    "hidden": IntDistribution(4, 512, log=True),
    "layers": IntDistribution(1, 8),
    "kind": CategoricalDistribution(("relu", "tanh", "gelu")),
}

BRANCHES = Space(
    parameters=(
        Parameter(name="kind", distribution=Categorical(choices=("sgd", "adam"))),
        Parameter(name="momentum", distribution=Float(low=0, high=1), when={"kind": ("sgd",)}),
        Parameter(name="beta", distribution=Int(low=1, high=50), when={"kind": ("adam",)}),
        Parameter(name="x", distribution=Float(low=-1, high=1)),
    )
)
LINE = Space(parameters=(Parameter(name="x", distribution=Float(low=0, high=1)),))


def make(*, objectives=(MINIMIZE,), startup_trials=0, name="tpe", **options):
    """
    Return TPE, by default without start-up trials.
    """
    setting = Setting(objectives=objectives, trials=1000, startup_trials=startup_trials)
    return create_strategy(StrategySpec(name=name, options=options), setting)


def random_trials(space, count, *, seed=0):
    """
    Return *count* complete trials of *space* with made-up losses.
    """
    found = make(name="random").suggest(space, [], count, seed=seed)
    rng = random.Random(seed)
    return [
        Trial(number, item.configuration, TrialState.COMPLETE, values=(rng.uniform(-1, 1),))
        for number, item in enumerate(found)
    ]


def configurations(suggestions):
    """
    Return what was suggested, without who did.
    """
    return [dict(suggestion.configuration) for suggestion in suggestions]


def plain_study(trials, distributions, *, directions=("minimize",)):
    """
    Return the history as a person would tell it to Optuna.
    """
    study = optuna.create_study(directions=directions)
    states = {
        TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
        TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
        TrialState.RUNNING: optuna.trial.TrialState.RUNNING,
        TrialState.FAILED: optuna.trial.TrialState.FAIL,
    }
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                state=states[trial.state],
                params=dict(trial.configuration),
                distributions={name: distributions[name] for name in trial.configuration},
                values=trial.values,
                intermediate_values={
                    int(item.resource): item.metrics["loss"] for item in trial.measurements
                },
            )
        )
    return study


def plain_ask(study, number, ask, **options):
    """
    Return what Optuna's own sampler suggests for trial *number*.
    """
    seed = derive_seed(SEED, "tpe", number) % 2**32
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, **options)
    return ask(study.ask())


def ask_mixed(trial):
    """
    Suggest the parameters of the mixed space.
    """
    return {
        "rate": trial.suggest_float("rate", 1e-5, 1e-1, log=True),
        "x": trial.suggest_float("x", -5, 5),
        "hidden": trial.suggest_int("hidden", 4, 512, log=True),
        "layers": trial.suggest_int("layers", 1, 8),
        "kind": trial.suggest_categorical("kind", ("relu", "tanh", "gelu")),
    }


def ask_branches(trial):
    """
    Suggest the parameters of the conditional space as a person would.
    """
    found = {"kind": trial.suggest_categorical("kind", ("sgd", "adam"))}
    # Every parameter is drawn before its children, the unconditional first.
    x = trial.suggest_float("x", -1, 1)
    if found["kind"] == "sgd":
        found["momentum"] = trial.suggest_float("momentum", 0, 1)
    else:
        found["beta"] = trial.suggest_int("beta", 1, 50)
    return {**found, "x": x}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"multivariate": False},
        {"constant_liar": False},
        {"n_ei_candidates": 7, "multivariate": True},
        {"multivariate": True, "group": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [1, 12, 60])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_suggests_what_optuna_does(options, count):
    """
    With the same history, options and seed the suggestion is Optuna's, exactly.
    """
    trials = random_trials(MIXED, count)
    study = plain_study(trials, MIXED_IN_OPTUNA)

    ours = make(**options).suggest(MIXED, trials, 1, seed=SEED)

    assert configurations(ours) == [plain_ask(study, count, ask_mixed, **options)]
    assert ours[0].sampler == "tpe"


def test_batch_is_what_optuna_asks_in_a_row():
    """
    Members of a batch see the ones before as running, as in Optuna's study.
    """
    trials = random_trials(MIXED, 30)
    study = plain_study(trials, MIXED_IN_OPTUNA)

    ours = make().suggest(MIXED, trials, 5, seed=SEED)

    assert configurations(ours) == [plain_ask(study, 30 + i, ask_mixed) for i in range(5)]


@pytest.mark.parametrize("space", [MIXED, BRANCHES], ids=["mixed", "branches"])
def test_batch_equals_one_by_one(space):
    """
    Asking again while the first ones wait continues the batch.
    """
    trials = random_trials(space, 25)

    together = make().suggest(space, trials, 6, seed=SEED)
    for _ in range(6):
        (item,) = make().suggest(space, trials, 1, seed=SEED)
        trials = [*trials, Trial(len(trials), item.configuration)]

    assert configurations(together) == [dict(trial.configuration) for trial in trials[25:]]


def test_running_pruned_and_failed_are_shown_as_optuna_knows_them():
    """
    A history of those states gives Optuna's suggestion too.
    """
    trials = random_trials(MIXED, 60)
    for place in range(0, 60, 4):
        steps = [Measurement({"loss": place / 60}, 0.0, resource=step) for step in (1, place)]
        trials[place] = replace(
            trials[place], state=TrialState.PRUNED, values=None, measurements=tuple(steps)
        )
        trials[place + 1] = replace(trials[place + 1], state=TrialState.RUNNING, values=None)
        trials[place + 2] = replace(trials[place + 2], state=TrialState.FAILED, values=None)
    study = plain_study(trials, MIXED_IN_OPTUNA)

    ours = make().suggest(MIXED, trials, 1, seed=SEED)

    assert configurations(ours) == [plain_ask(study, 60, ask_mixed)]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_conditional_space_is_searched_in_groups():
    """
    Where there are conditions, Optuna's groups are used without being asked for.
    """
    trials = random_trials(BRANCHES, 40)
    in_optuna = {
        "kind": CategoricalDistribution(("sgd", "adam")),
        "momentum": FloatDistribution(0, 1),
        "beta": IntDistribution(1, 50),
        "x": FloatDistribution(-1, 1),
    }
    study = plain_study(trials, in_optuna)

    ours = make().suggest(BRANCHES, trials, 1, seed=SEED)

    plain = plain_ask(study, 40, ask_branches, multivariate=True, group=True)
    assert configurations(ours) == [plain]


def test_steps_are_suggested_as_optuna_does():
    """
    Searching the places of steps is searching the steps, without their noise.
    """
    space = Space(
        parameters=(
            Parameter(name="drop", distribution=Float(low=0.1, high=0.9, step=0.1)),
            Parameter(name="width", distribution=Int(low=16, high=128, step=16)),
        )
    )
    in_optuna = {
        "drop": FloatDistribution(0.1, 0.9, step=0.1),
        "width": IntDistribution(16, 128, step=16),
    }

    for count in (5, 15, 30):
        trials = random_trials(space, count)
        (ours,) = configurations(make().suggest(space, trials, 1, seed=SEED))
        study = plain_study(trials, in_optuna)
        plain = plain_ask(
            study,
            count,
            lambda trial: {
                "drop": trial.suggest_float("drop", 0.1, 0.9, step=0.1),
                "width": trial.suggest_int("width", 16, 128, step=16),
            },
        )
        # What was tried already is not suggested again, as Optuna might.
        if canonical({**plain, "drop": round(plain["drop"], 9)}) not in {
            canonical(trial.configuration) for trial in trials
        }:
            assert ours == pytest.approx(plain)
        assert ours["drop"] in {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}


def test_maximising_is_optunas_maximising():
    """
    Losses to be minimised give the suggestion of a maximised metric.
    """
    trials = random_trials(MIXED, 30)
    study = plain_study(trials, MIXED_IN_OPTUNA, directions=["maximize"])
    objective = Objective(metric="loss", direction="maximize")

    ours = make(objectives=(objective,)).suggest(MIXED, trials, 1, seed=SEED)

    assert configurations(ours) == [plain_ask(study, 30, ask_mixed)]


def test_target_is_a_distance_to_be_minimised():
    """
    Both sides of a target count as worse.
    """
    trials = random_trials(MIXED, 30)
    far = [replace(trial, values=(abs(trial.values[0] - 0.25),)) for trial in trials]
    target = Objective(metric="loss", target=0.25)

    ours = make(objectives=(target,)).suggest(MIXED, trials, 2, seed=SEED)

    assert configurations(ours) == configurations(make().suggest(MIXED, far, 2, seed=SEED))


def test_several_objectives_are_optunas():
    """
    With two objectives it is Optuna's multi-objective TPE.
    """
    rng = random.Random(1)
    trials = [
        replace(trial, values=(rng.random(), rng.random())) for trial in random_trials(MIXED, 40)
    ]
    study = plain_study(trials, MIXED_IN_OPTUNA, directions=["minimize", "maximize"])
    objectives = (MINIMIZE, Objective(metric="accuracy", direction="maximize"))

    ours = make(objectives=objectives).suggest(MIXED, trials, 1, seed=SEED)

    assert configurations(ours) == [plain_ask(study, 40, ask_mixed)]


def test_startup_is_random_search_by_number():
    """
    The first trials are those of random search, also where a batch goes beyond.
    """
    alone = make(name="random").suggest(MIXED, [], 6, seed=SEED)
    failed = [
        Trial(number, item.configuration, TrialState.FAILED)
        for number, item in enumerate(alone[:4])
    ]
    complete = random_trials(MIXED, 1)[0]

    first = make(startup_trials=6).suggest(MIXED, [], 6, seed=SEED)
    # Failed trials count as start-up trials all the same.
    trials = [*failed, replace(complete, number=4)]
    beyond = make(startup_trials=6).suggest(MIXED, trials, 3, seed=SEED)

    assert configurations(first) == configurations(alone)
    assert [item.sampler for item in first] == ["random"] * 6
    assert configurations(beyond)[0] == configurations(alone)[5]
    assert [item.sampler for item in beyond] == ["random", "tpe", "tpe"]


def test_startup_may_wait_for_complete_trials():
    """
    With ``startup_counts: complete``, failed trials are made up for.
    """
    trials = random_trials(MIXED, 10)
    trials[3] = replace(trials[3], state=TrialState.FAILED, values=None)
    by_number = make(startup_trials=10)
    by_outcome = make(startup_trials=10, startup_counts="complete")

    assert by_number.suggest(MIXED, trials, 1, seed=SEED)[0].sampler == "tpe"
    assert by_outcome.suggest(MIXED, trials, 1, seed=SEED)[0].sampler == "random"
    trials = random_trials(MIXED, 11)
    trials[3] = replace(trials[3], state=TrialState.FAILED, values=None)
    assert by_outcome.suggest(MIXED, trials, 1, seed=SEED)[0].sampler == "tpe"


@pytest.mark.parametrize(
    "state", [TrialState.FAILED, TrialState.INFEASIBLE, TrialState.RUNNING, TrialState.PRUNED]
)
def test_nothing_to_learn_from_is_answered_at_random(state):
    """
    Where no trial has a value there is no model, and nothing pretends so.
    """
    trials = [replace(trial, state=state, values=None) for trial in random_trials(MIXED, 30)]

    found = make(startup_trials=5).suggest(MIXED, trials, 2, seed=SEED)

    assert [item.sampler for item in found] == ["random", "random"]


def test_failed_trials_teach_nothing():
    """
    Where a trial failed does not move what is suggested.
    """
    trials = random_trials(MIXED, 30)
    others = random_trials(MIXED, 30, seed=5)
    here, there = list(trials), list(trials)
    for place in range(0, 30, 3):
        here[place] = replace(trials[place], state=TrialState.FAILED, values=None)
        there[place] = replace(others[place], state=TrialState.FAILED, values=None)

    first = make().suggest(MIXED, here, 2, seed=SEED)

    assert configurations(first) == configurations(make().suggest(MIXED, there, 2, seed=SEED))


def _line(loss, state_of, *, count=40):
    rng = random.Random(3)
    trials = []
    for number in range(count):
        x = rng.random()
        state = state_of(x)
        values = (loss(x),) if state is TrialState.COMPLETE else None
        trials.append(Trial(number, {"x": x}, state, values=values))
    return trials


def test_infeasible_regions_are_avoided():
    """
    Losses fall towards 0.6, but nothing above exists: what is tried stays below.
    """

    def state_of(x):
        return TrialState.COMPLETE if x < 0.6 else TrialState.INFEASIBLE

    trials = _line(lambda x: -x, state_of)
    hidden = [trial for trial in trials if trial.is_complete]
    hidden = [replace(trial, number=number) for number, trial in enumerate(hidden)]

    taught = [c["x"] for c in configurations(make().suggest(LINE, trials, 30, seed=SEED))]
    untaught = [c["x"] for c in configurations(make().suggest(LINE, hidden, 30, seed=SEED))]

    assert sum(x >= 0.65 for x in taught) < sum(x >= 0.65 for x in untaught)
    assert statistics.median(taught) < 0.65


def test_a_few_good_trials_among_many_infeasible_are_still_the_good_ones():
    """
    However many are infeasible, none of them is taken for a good trial.
    """

    def state_of(x):
        return TrialState.COMPLETE if x < 0.02 else TrialState.INFEASIBLE

    trials = _line(lambda x: x, state_of, count=200)
    assert sum(trial.is_complete for trial in trials) in range(1, 10)

    found = [c["x"] for c in configurations(make().suggest(LINE, trials, 20, seed=SEED))]

    assert statistics.median(found) < 0.3


def test_pruned_trials_teach_by_what_they_measured():
    """
    Of pruned trials the ones that measured well attract.
    """
    trials = [
        Trial(
            number,
            {"x": number / 40},
            TrialState.PRUNED,
            measurements=(Measurement({"loss": (number / 40 - 0.2) ** 2}, 0.0, resource=3),),
        )
        for number in range(40)
    ]
    # Without measurements the last value of the metric stands for them.
    bare = [
        replace(trial, measurements=(), metrics=trial.measurements[-1].metrics, resource=3)
        for trial in trials
    ]

    found = configurations(make().suggest(LINE, trials, 20, seed=SEED))

    assert abs(statistics.median(item["x"] for item in found) - 0.2) < 0.15
    assert found == configurations(make().suggest(LINE, bare, 20, seed=SEED))


def test_running_trials_push_away_unless_told_not_to():
    """
    The constant liar spreads a batch; without it running trials are not seen.
    """
    trials = _line(lambda x: (x - 0.5) ** 2, lambda _: TrialState.COMPLETE)
    running = [
        *trials,
        *(Trial(40 + i, {"x": 0.5 + i / 1000}, TrialState.RUNNING) for i in range(30)),
    ]
    away = [*trials, *(replace(trial, configuration={"x": 0.0}) for trial in running[40:])]

    liar = configurations(make().suggest(LINE, running, 5, seed=SEED))
    honest = make(constant_liar=False)

    assert liar != configurations(make().suggest(LINE, away, 5, seed=SEED))
    assert configurations(honest.suggest(LINE, running, 5, seed=SEED)) == configurations(
        honest.suggest(LINE, away, 5, seed=SEED)
    )


def test_trials_of_another_space_are_not_shown():
    """
    A value out of range, an unknown choice or a missing parameter hides the trial.
    """
    trials = random_trials(MIXED, 30)
    strange = [
        {**trials[0].configuration, "x": 99.0},
        {**trials[0].configuration, "kind": "swish"},
        {**trials[0].configuration, "rate": "fast"},
        {"x": 1.0},
    ]
    more = [
        *trials,
        *(
            Trial(30 + i, values, TrialState.COMPLETE, values=(-9.0,))
            for i, values in enumerate(strange)
        ),
    ]
    # The same numbers, so that the seeds are the same.
    failed = [
        *trials,
        *(replace(trial, state=TrialState.FAILED, values=None) for trial in more[30:]),
    ]

    found = configurations(make().suggest(MIXED, more, 2, seed=SEED))

    assert found == configurations(make().suggest(MIXED, failed, 2, seed=SEED))


def test_normal_parameters_are_searched_on_their_own_scale():
    """
    The model finds an optimum two deviations away, and stays within four.
    """
    space = Space(
        parameters=(
            Parameter(name="width", distribution=Normal(mean=64, deviation=16, step=0.5)),
            Parameter(name="decay", distribution=LogNormal(mean=-3, deviation=1)),
        )
    )
    trials = [
        replace(trial, values=(abs(trial.configuration["width"] - 96),))
        for trial in random_trials(space, 60)
    ]
    # A point far outside counts as lying on the edge.
    trials[5] = replace(trials[5], configuration={"width": 500.0, "decay": 1e-9})

    found = configurations(make().suggest(space, trials, 30, seed=SEED))

    assert abs(statistics.median(item["width"] for item in found) - 96) < 16
    assert all(0 <= item["width"] <= 128 for item in found)
    assert all(item["width"] * 2 == int(item["width"] * 2) for item in found)


def test_steps_on_a_logarithmic_scale():
    """
    Optuna has no such thing; values are on the grid and follow the losses.
    """
    space = Space(
        parameters=(
            Parameter(name="n", distribution=Int(low=2, high=4002, step=4, log=True)),
            Parameter(name="r", distribution=Float(low=0.5, high=900.5, step=0.5, log=True)),
        )
    )
    trials = [
        replace(trial, values=(float(trial.configuration["n"]),))
        for trial in random_trials(space, 60)
    ]

    found = configurations(make().suggest(space, trials, 20, seed=SEED))

    assert all((item["n"] - 2) % 4 == 0 for item in found)
    assert statistics.median(item["n"] for item in found) < 60


@pytest.mark.parametrize(
    "distribution",
    [
        Float(low=-1.7e308, high=1.7e308),
        Float(low=1e-300, high=1e300, log=True),
        Int(low=-(2**63), high=2**63 - 1),
        Int(low=1, high=2**63 - 1, log=True),
        Int(low=1, high=2**30, log=True),
        Float(low=0, high=2**30 - 1, step=1),
        LogNormal(mean=-900, deviation=40),
        Normal(mean=1e300, deviation=1e-3),
        Normal(mean=0, deviation=1e300),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("error")
def test_extreme_numbers_stay_in_their_distribution(distribution):
    """
    Neither a range too wide to be subtracted nor one too narrow breaks the model.
    """
    space = Space(
        parameters=(
            Parameter(name="n", distribution=distribution),
            Parameter(name="x", distribution=Float(low=0, high=1)),
        )
    )
    trials = random_trials(space, 20)

    found = make().suggest(space, trials, 5, seed=SEED)

    assert [item.sampler for item in found] == ["tpe"] * 5
    assert all(distribution.contains(item.configuration["n"]) for item in found)


def test_choice_of_weight_zero_is_never_tried():
    """
    Not even where the history holds it and it was the best.
    """
    choices = Categorical(choices=("a", "never", "b"), weights=(1, 0, 1))
    space = Space(
        parameters=(
            Parameter(name="kind", distribution=choices),
            Parameter(name="x", distribution=Float(low=0, high=1)),
        )
    )
    trials = random_trials(space, 20)
    trials[4] = replace(trials[4], configuration={"kind": "never", "x": 0.5}, values=(-99.0,))

    found = configurations(make().suggest(space, trials, 20, seed=SEED))

    assert {item["kind"] for item in found} <= {"a", "b"}


def test_constraints_hold_where_the_model_would_break_them():
    """
    The losses pull across the border; what is suggested stays inside.
    """
    space = Space(
        parameters=(
            Parameter(name="x", distribution=Float(low=0, high=1)),
            Parameter(name="y", distribution=Float(low=0, high=1)),
        ),
        constraints=("x + y <= 1",),
    )
    trials = [
        replace(trial, values=(-trial.configuration["x"] - trial.configuration["y"],))
        for trial in random_trials(space, 30)
    ]

    found = make().suggest(space, trials, 20, seed=SEED)

    assert all(sum(item.values()) <= 1 for item in configurations(found))
    assert sum(item.sampler == "tpe" for item in found) > 10


def test_finds_a_valley_faster_than_chance():
    """
    After 60 trials its regret is less than half of random search's, on average.
    """

    def loss(configuration):
        return (configuration["x"] - 2) ** 2 + (math.log10(configuration["rate"]) + 3) ** 2

    def best(strategy, seed):
        trials = []
        for number in range(0, 60, 4):
            for place, item in enumerate(strategy.suggest(MIXED, trials, 4, seed=seed)):
                values = (loss(item.configuration),)
                trial = Trial(number + place, item.configuration, TrialState.COMPLETE)
                trials.append(replace(trial, values=values))
        return min(trial.values[0] for trial in trials)

    tpe = statistics.mean(best(make(startup_trials=10), seed) for seed in range(5))
    chance = statistics.mean(best(make(name="random"), seed) for seed in range(5))

    assert tpe < chance / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multivariate": False, "group": True}, "group must not be true"),
        ({"n_ei_candidates": 0}, "greater than or equal to 1"),
        ({"startup_counts": "some"}, "'all' or 'complete'"),
        ({"gamma": 0.2}, "gamma"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options, message):
    """
    The message names the option or its rule.
    """
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_optuna_is_left_as_it_was():
    """
    Neither its log level nor any warning filter is changed, and it is silent.
    """
    logger = logging.getLogger("optuna")
    logger.setLevel(logging.DEBUG)
    filters = list(warnings.filters)
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            make().suggest(BRANCHES, random_trials(BRANCHES, 20), 2, seed=SEED)
    finally:
        logger.removeHandler(handler)

    assert (caught, records) == ([], [])
    assert logger.level == logging.DEBUG
    assert warnings.filters == filters


def test_importing_loads_no_engine():
    """
    Making a strategy and drawing its start-up trials loads no heavy library.
    """
    code = (
        "import sys, json\n"
        "import airflow_hpo.strategies.tpe, airflow_hpo.strategies.support\n"
        "heavy = {'optuna', 'numpy', 'scipy', 'sqlalchemy', 'hyperopt', 'airflow'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_env()
    )

    assert json.loads(done.stdout) == []


def _env():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
