"""
HyperOpt's algorithms: the same as ``fmin``, value by value, and what we add.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import warnings
from functools import partial

import hyperopt  # noqa: TID253 - what it is compared with
import numpy as np  # noqa: TID253 - what it is compared with
import pytest
from hyperopt import anneal, hp, mix, rand, tpe  # noqa: TID253 - what it is compared with
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_hpo.errors import BlueprintError, SpaceExhaustedError
from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Float, Int, LogNormal, Normal
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Measurement, Trial, TrialState
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies._hyperopt_rules import expression_of
from airflow_hpo.strategies.base import Setting

pytestmark = [
    # HyperOpt's own code, where the tests call it themselves.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

STARTUP = 8
TRIALS = 26

MINIMIZE = Objective(metric="loss", direction="minimize")
MAXIMIZE = Objective(metric="score", direction="maximize")


def child(name, distribution, **when):
    """
    Return a parameter that waits for values of others.
    """
    return Parameter(name=name, distribution=distribution, when=when)


def space_of(*constraints, **distributions):
    """
    Return a space of distributions and parameters by name.
    """
    return Space(
        parameters=tuple(
            item if isinstance(item, Parameter) else Parameter(name=name, distribution=item)
            for name, item in distributions.items()
        ),
        constraints=constraints,
    )


# Every expression of HyperOpt, in both languages. Bounds of logarithms are
# such that taking the logarithm of the exponential loses the last digit.
EVERYTHING = space_of(
    uniform=Float(low=-5, high=5),
    quniform=Float(low=1, high=10, step=0.7, anchor="zero"),
    loguniform=Float(low=math.exp(-1.1), high=math.exp(0.3), log=True),
    small=Float(low=1e-5, high=0.1, log=True),
    qloguniform=Float(low=math.exp(-1.1), high=math.exp(3), step=0.3, log=True, anchor="zero"),
    normal=Normal(mean=5, deviation=2),
    qnormal=Normal(mean=0, deviation=3, step=0.1),
    lognormal=LogNormal(mean=0, deviation=1),
    qlognormal=LogNormal(mean=1, deviation=1, step=0.3),
    randint=Int(low=0, high=9),
    randint2=Int(low=5, high=14),
    uniformint=Int(low=1, high=100),
    logint=Int(low=1, high=1000, log=True),
    choice=Categorical(choices=("a", 1, None, 2.5)),
    pchoice=Categorical(choices=("u", "v", "w"), weights=(0.2, 0.5, 0.3)),
    optimizer=Categorical(choices=("sgd", "adam", "none")),
    momentum=child("momentum", Float(low=0.5, high=0.9), optimizer=("sgd",)),
    slow=child("slow", Categorical(choices=("on", "off"), weights=(0.3, 0.7)), optimizer=("sgd",)),
    rate=child("rate", Normal(mean=0, deviation=1), slow=("on",)),
    beta=child("beta", Int(low=1, high=30), optimizer=("adam",)),
    # Below two options, and so one node in both.
    decay=child("decay", Float(low=0, high=1), optimizer=("sgd", "adam")),
)
EXPRESSIONS = {"randint": "randint", "randint2": "randint"}


def everything_in_hyperopt():
    """
    Return the same space; where parameters hang below a choice, ``is`` is its value.
    """
    decay = hp.uniform("decay", 0, 1)
    slow = hp.pchoice("slow", [(0.3, {"is": "on", "rate": hp.normal("rate", 0, 1)}), (0.7, "off")])
    return {
        "uniform": hp.uniform("uniform", -5, 5),
        "quniform": hp.quniform("quniform", 1, 10, 0.7),
        "loguniform": hp.loguniform("loguniform", -1.1, 0.3),
        "small": hp.loguniform("small", math.log(1e-5), math.log(0.1)),
        "qloguniform": hp.qloguniform("qloguniform", -1.1, 3, 0.3),
        "normal": hp.normal("normal", 5, 2),
        "qnormal": hp.qnormal("qnormal", 0, 3, 0.1),
        "lognormal": hp.lognormal("lognormal", 0, 1),
        "qlognormal": hp.qlognormal("qlognormal", 1, 1, 0.3),
        "randint": hp.randint("randint", 10),
        "randint2": hp.randint("randint2", 5, 15),
        "uniformint": hp.uniformint("uniformint", 1, 100),
        "logint": hyperopt.pyll.scope.int(hp.qloguniform("logint", 0, math.log(1000), 1)),
        "choice": hp.choice("choice", ["a", 1, None, 2.5]),
        "pchoice": hp.pchoice("pchoice", [(0.2, "u"), (0.5, "v"), (0.3, "w")]),
        "optimizer": hp.choice(
            "optimizer",
            [
                {
                    "is": "sgd",
                    "momentum": hp.uniform("momentum", 0.5, 0.9),
                    "slow": slow,
                    "decay": decay,
                },
                {"is": "adam", "beta": hp.uniformint("beta", 1, 30), "decay": decay},
                "none",
            ],
        ),
    }


# A small one where that is enough.
FEW = space_of(
    kind=Categorical(choices=("p", "q")),
    x=Float(low=-5, high=5),
    n=Int(low=1, high=50),
    depth=child("depth", Int(low=1, high=9), kind=("q",)),
)


def few_in_hyperopt():
    """
    Return the same space.
    """
    return {
        "kind": hp.choice("kind", ["p", {"is": "q", "depth": hp.uniformint("depth", 1, 9)}]),
        "x": hp.uniform("x", -5, 5),
        "n": hp.uniformint("n", 1, 50),
    }


PARTS = {"random": rand.suggest, "anneal": anneal.suggest, "tpe": tpe.suggest}

ALGORITHMS = {
    "hyperopt_tpe": partial(tpe.suggest, n_startup_jobs=STARTUP),
    "hyperopt_random": rand.suggest,
    "hyperopt_anneal": anneal.suggest,
    "hyperopt_mix": partial(
        mix.suggest,
        p_suggest=[
            (0.1, rand.suggest),
            (0.2, anneal.suggest),
            (0.7, partial(tpe.suggest, n_startup_jobs=STARTUP)),
        ],
    ),
}


def flat(value):
    """
    Return what ``fmin`` hands to its function as one of our configurations.
    """
    found = {}
    for name, item in value.items():
        if isinstance(item, dict):
            found[name] = item["is"]
            found |= flat({key: below for key, below in item.items() if key != "is"})
        else:
            found[name] = item
    return found


def loss_of(configuration):
    """
    Return a loss to which every parameter adds, none of them too much.
    """
    total = 0.0
    for name, value in sorted(configuration.items()):
        place = float(value or 0) if not isinstance(value, (str, list)) else float(len(value))
        total += abs(math.tanh((place - len(name) / 4) / 10))
    return total


def ends_well(number):
    """
    Return that a trial ends well, whichever.
    """
    del number
    return TrialState.COMPLETE


def by_fmin(space, algorithm, *, trials=TRIALS, seed=0, points=None, end=ends_well, sign=1):
    """
    Return all configurations that ``fmin`` tries.
    """
    tried = []

    def function(value):
        number = len(tried)
        tried.append(flat(value))
        if end(number) is TrialState.FAILED:
            raise RuntimeError("as told")
        if end(number) is TrialState.INFEASIBLE:
            return {"status": hyperopt.STATUS_FAIL}
        return sign * loss_of(tried[-1])

    hyperopt.fmin(
        function,
        space,
        algo=algorithm,
        max_evals=trials,
        points_to_evaluate=points,
        rstate=np.random.default_rng(seed),
        catch_eval_exceptions=True,
        return_argmin=False,
        verbose=False,
        show_progressbar=False,
    )
    return tried


def make(name, *, options=None, startup=STARTUP, points=(), objective=MINIMIZE, trials=100):
    """
    Return the strategy of that name.
    """
    spec = StrategySpec(name=name, options=options or {})
    setting = Setting(objectives=(objective,), trials=trials, startup_trials=startup)
    return create_strategy(spec, setting, points=points)


def ended(number, suggestion, state=TrialState.COMPLETE, *, sign=1):
    """
    Return the trial that a suggestion became.
    """
    value = sign * loss_of(suggestion.configuration)
    return Trial(
        number,
        suggestion.configuration,
        state,
        sampler=suggestion.sampler,
        values=(value,) if state is TrialState.COMPLETE else None,
    )


def tried_one_by_one(space, strategy, *, trials=TRIALS, seed=0, end=ends_well, sign=1):
    """
    Return the trials of a study that runs one at a time.
    """
    history = []
    for number in range(trials):
        (suggestion,) = strategy.suggest(space, tuple(history), 1, seed=seed)
        history.append(ended(number, suggestion, end(number), sign=sign))
    return history


def replaced(trial, state):
    """
    Return *trial* in another state.
    """
    return Trial(trial.number, trial.configuration, state, sampler=trial.sampler)


def typed(configuration):
    """
    Return *configuration* so that ``1`` and ``1.0`` differ.
    """
    return {name: (type(value), value) for name, value in configuration.items()}


def assert_same(expected, trials):
    """
    Compare what ``fmin`` tried with ours, value by value, types included.
    """
    assert [typed(item) for item in expected] == [typed(trial.configuration) for trial in trials]


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("hyperopt_tpe", 0),
        ("hyperopt_tpe", 20190711),
        ("hyperopt_random", 2**40),
        ("hyperopt_anneal", 1),
        ("hyperopt_mix", 5),
    ],
)
def test_every_expression_as_fmin(name, seed):
    """
    With the same seed and losses, all that fmin tries is tried, in every expression.
    """
    expected = by_fmin(everything_in_hyperopt(), ALGORITHMS[name], seed=seed)

    strategy = make(name, options={"expressions": EXPRESSIONS})
    trials = tried_one_by_one(EVERYTHING, strategy, seed=seed)

    assert_same(expected, trials)
    assert {trial.sampler for trial in trials} == {name}


def test_defaults_are_fmins():
    """
    With no option given, TPE is what hyperopt.fmin does with tpe.suggest.
    """
    expected = by_fmin(few_in_hyperopt(), tpe.suggest, trials=32, seed=3)

    strategy = create_strategy(
        StrategySpec(name="hyperopt_tpe"), Setting(objectives=(MINIMIZE,), trials=32)
    )

    assert_same(expected, tried_one_by_one(FEW, strategy, trials=32, seed=3))


@pytest.mark.parametrize(
    ("name", "options", "algorithm"),
    [
        (
            "hyperopt_tpe",
            {"gamma": 0.9, "n_EI_candidates": 5, "prior_weight": 0.3},
            partial(
                tpe.suggest, gamma=0.9, n_EI_candidates=5, prior_weight=0.3, n_startup_jobs=STARTUP
            ),
        ),
        (
            "hyperopt_anneal",
            {"avg_best_idx": 1.5, "shrink_coef": 0.4},
            partial(anneal.suggest, avg_best_idx=1.5, shrink_coef=0.4),
        ),
        (
            "hyperopt_mix",
            {"p_suggest": [[0.5, "anneal"], [0.5, "random"]]},
            partial(mix.suggest, p_suggest=[(0.5, anneal.suggest), (0.5, rand.suggest)]),
        ),
        # No start-up at all: the first one is drawn from the prior.
        ("hyperopt_tpe", {"startup": "number"}, partial(tpe.suggest, n_startup_jobs=0)),
    ],
)
def test_options_are_hyperopts(name, options, algorithm):
    """
    Options of an algorithm do what they do in HyperOpt.
    """
    startup = 0 if "startup" in options else STARTUP
    expected = by_fmin(few_in_hyperopt(), algorithm, seed=5)

    trials = tried_one_by_one(FEW, make(name, options=options, startup=startup), seed=5)

    assert_same(expected, trials)


@pytest.mark.parametrize("count", [3, 10_000])  # instead of 25
def test_linear_forgetting(monkeypatch, count):
    """
    TPE forgets as HyperOpt would if its own constant were another.
    """
    trials = tried_one_by_one(
        FEW, make("hyperopt_tpe", options={"linear_forgetting": count}), trials=36
    )
    usual = tried_one_by_one(FEW, make("hyperopt_tpe"), trials=36)
    for function in (tpe.adaptive_parzen_normal, tpe.ap_randint_sampler):
        defaults = (*function.__defaults__[:-1], count)
        monkeypatch.setattr(function, "__defaults__", defaults)
    expected = by_fmin(few_in_hyperopt(), ALGORITHMS["hyperopt_tpe"], trials=36)

    assert_same(expected, trials)
    assert [trial.configuration for trial in usual] != [trial.configuration for trial in trials]


@pytest.mark.parametrize("name", ["hyperopt_tpe", "hyperopt_anneal"])
def test_trials_that_end_otherwise(name):
    """
    Failed trials are as if they had raised in fmin, infeasible ones as STATUS_FAIL.
    """

    def end(number):
        if number % 5 == 2:
            return TrialState.FAILED
        return TrialState.INFEASIBLE if number % 7 == 3 else TrialState.COMPLETE

    expected = by_fmin(few_in_hyperopt(), ALGORITHMS[name], trials=36, end=end)

    assert_same(expected, tried_one_by_one(FEW, make(name), trials=36, end=end))


@pytest.mark.parametrize("name", ["hyperopt_tpe", "hyperopt_anneal"])
def test_points_first(name):
    """
    After given points the algorithm goes on as fmin does, with its first seed.
    """
    points = [{"kind": "p", "x": 1.5, "n": 7}, {"kind": "q", "x": -2.0, "n": 3}]
    in_hyperopt = {
        "kind": hp.choice("kind", ["p", "q"]),
        "x": hp.uniform("x", -5, 5),
        "n": hp.uniformint("n", 1, 50),
    }
    places = [{**point, "kind": place} for place, point in enumerate(points)]
    expected = by_fmin(in_hyperopt, ALGORITHMS[name], points=places)

    space = FEW.model_copy(update={"parameters": FEW.parameters[:3]})
    trials = tried_one_by_one(space, make(name, points=points), trials=len(expected))

    assert [trial.sampler for trial in trials[:3]] == ["point", "point", name]
    assert_same(expected, trials)


def test_maximize():
    """
    What is maximised is minimised with the other sign.
    """
    expected = by_fmin(few_in_hyperopt(), ALGORITHMS["hyperopt_tpe"], sign=1)

    strategy = make("hyperopt_tpe", objective=MAXIMIZE)

    assert_same(expected, tried_one_by_one(FEW, strategy, sign=-1))


def test_pruned_trials_teach_their_last_value():
    """
    A pruned trial is shown with what it measured last, one that measured nothing is not.
    """
    strategy = make("hyperopt_tpe")
    complete = tried_one_by_one(FEW, strategy, trials=STARTUP + 8)
    measured = [
        Trial(
            trial.number,
            trial.configuration,
            TrialState.PRUNED,
            sampler=trial.sampler,
            attempt=1,
            measurements=tuple(
                Measurement({"loss": loss}, time=1.0) for loss in (9.0, trial.values[0])
            ),
        )
        for trial in complete
    ]
    silent = Trial(
        len(complete), dict(complete[0].configuration), TrialState.PRUNED, sampler="point"
    )

    expected = strategy.suggest(FEW, complete, 3, seed=0)

    assert expected == strategy.suggest(FEW, measured, 3, seed=0)
    assert strategy.suggest(
        FEW, [*complete, replaced(silent, TrialState.FAILED)], 1, seed=0
    ) == strategy.suggest(FEW, [*complete, silent], 1, seed=0)


_FRESH = """
import json, sys
from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Space
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import Setting

told = json.load(sys.stdin)
setting = Setting(
    objectives=(Objective(metric="loss", direction="minimize"),), trials=100, startup_trials=8
)
strategy = create_strategy(StrategySpec(name="hyperopt_tpe"), setting)
space = Space.model_validate(told["space"])
strategy.limit(space)
loaded = {"numpy", "scipy", "hyperopt"} & set(sys.modules)
trials = [
    Trial(number, item["configuration"], TrialState(item["state"]), sampler="hyperopt_tpe",
          values=item["values"])
    for number, item in enumerate(told["trials"])
]
found = strategy.suggest(space, trials, 2, seed=11)
print(json.dumps([sorted(loaded), [suggestion.configuration for suggestion in found]]))
"""


def test_another_process_goes_on():
    """
    A fresh process, told the history as JSON, suggests what fmin would; until then it is light.
    """

    def end(number):
        return TrialState.FAILED if number == 4 else TrialState.COMPLETE

    expected = by_fmin(few_in_hyperopt(), ALGORITHMS["hyperopt_tpe"], seed=11, end=end)
    history = tried_one_by_one(FEW, make("hyperopt_tpe"), trials=TRIALS - 1, seed=11, end=end)
    told = {
        "space": FEW.model_dump(mode="json"),
        "trials": [
            {
                "configuration": trial.configuration,
                "state": trial.state.value,
                "values": trial.values,
            }
            for trial in history
        ],
    }

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _FRESH],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "42", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    loaded, found = json.loads(done.stdout)

    assert loaded == []
    assert done.stderr == ""
    assert found[0] == expected[-1]


@pytest.mark.parametrize("name", ["hyperopt_tpe", "hyperopt_anneal", "hyperopt_mix"])
@pytest.mark.parametrize("finished", [0, STARTUP + 4])
def test_a_batch_is_asked_one_by_one(name, finished):
    """
    A batch is what the same trials are if asked one by one while all still run; all differ.
    """
    strategy = make(name)
    history = tried_one_by_one(FEW, strategy, trials=finished)

    batch = strategy.suggest(FEW, history, 12, seed=0)
    waiting = list(history)
    for suggestion in batch:
        assert [suggestion] == list(strategy.suggest(FEW, waiting, 1, seed=0))
        waiting.append(
            Trial(len(waiting), suggestion.configuration, TrialState.RUNNING, sampler=name)
        )

    assert len({json.dumps(suggestion.configuration) for suggestion in batch}) == 12


@pytest.mark.parametrize("name", ["hyperopt_tpe", "hyperopt_anneal", "hyperopt_mix"])
def test_running_trials_can_be_ignored(name):
    """
    With ``running: ignore`` the algorithm sees nothing of what has no outcome yet.
    """
    history = tried_one_by_one(FEW, make(name), trials=STARTUP + 12)
    where = {"kind": "p", "x": 4.9, "n": 50}
    states = (TrialState.WAITING, TrialState.RUNNING, TrialState.PAUSED)
    pending = [
        Trial(len(history) + place, {**where, "n": 50 - place}, state, sampler="point")
        for place, state in enumerate(states)
    ]
    gone = [replaced(trial, TrialState.FAILED) for trial in pending]

    strategy = make(name, options={"running": "ignore"})

    assert strategy.suggest(FEW, [*history, *pending], 6, seed=0) == strategy.suggest(
        FEW, [*history, *gone], 6, seed=0
    )
    assert make(name).suggest(FEW, [*history, *pending], 6, seed=0) != strategy.suggest(
        FEW, [*history, *pending], 6, seed=0
    )


def test_startup_of_a_wide_batch():
    """
    A wide first batch is random as a whole; by number only its first trials are.
    """
    wide = STARTUP + 6
    chance = make("hyperopt_random").suggest(FEW, (), wide, seed=0)

    finished = make("hyperopt_tpe").suggest(FEW, (), wide, seed=0)
    by_number = make("hyperopt_tpe", options={"startup": "number"}).suggest(FEW, (), wide, seed=0)

    drawn = [suggestion.configuration for suggestion in chance]
    assert drawn == [suggestion.configuration for suggestion in finished]
    assert drawn[:STARTUP] == [suggestion.configuration for suggestion in by_number[:STARTUP]]
    assert drawn[STARTUP:] != [suggestion.configuration for suggestion in by_number[STARTUP:]]


WHOLE = space_of(n=Int(low=0, high=3), kind=Categorical(choices=("a", "b")))


def test_repeats_as_fmin():
    """
    Where repeats are allowed, a small space is searched as by fmin, without end.
    """
    in_hyperopt = {"n": hp.uniformint("n", 0, 3), "kind": hp.choice("kind", ["a", "b"])}
    expected = by_fmin(in_hyperopt, ALGORITHMS["hyperopt_tpe"])

    strategy = make("hyperopt_tpe", options={"repeats": True})

    assert strategy.limit(WHOLE) is None
    assert_same(expected, tried_one_by_one(WHOLE, strategy))


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_nothing_twice(name):
    """
    Otherwise all configurations are tried once, the last ones by chance, and then none.
    """
    strategy = make(name)
    found = strategy.suggest(WHOLE, (), 20, seed=0)

    assert len(found) == strategy.limit(WHOLE) == 8
    assert len({json.dumps(suggestion.configuration) for suggestion in found}) == 8
    assert found[0].sampler == name
    assert {suggestion.sampler for suggestion in found} <= {name, "random"}


def test_rounding_is_no_difference():
    """
    0.30000000000000004, as HyperOpt computes it, is 0.3 where nothing may be tried twice.
    """
    space = space_of(x=Float(low=0, high=1.0, step=0.1, anchor="zero"))
    history = [Trial(0, {"x": 0.3}, TrialState.FAILED), Trial(1, {"x": 0.7}, TrialState.FAILED)]

    found = make("hyperopt_tpe").suggest(space, history, 20, seed=0)

    tenths = {round(suggestion.configuration["x"] * 10) for suggestion in found}
    assert len(found) == 9
    assert tenths == {0, 1, 2, 4, 5, 6, 8, 9, 10}


def test_rounding_stays_within_bounds():
    """
    Steps from the lower bound never leave the bounds and are equally likely; from zero they do.
    """
    inside = space_of(x=Float(low=1, high=10, step=4))
    beyond = space_of(x=Float(low=1, high=10, step=4, anchor="zero"))
    strategy = make("hyperopt_random", options={"repeats": True})

    def drawn(space):
        found = strategy.suggest(space, (), 400, seed=0)
        return [suggestion.configuration["x"] for suggestion in found]

    shares = {value: drawn(inside).count(value) / 400 for value in (1.0, 5.0, 9.0)}

    # A third each, within five standard deviations.
    assert all(abs(share - 1 / 3) < 5 * math.sqrt(2 / 9 / 400) for share in shares.values())
    assert set(drawn(beyond)) == {0.0, 4.0, 8.0}


def test_labels_decide_the_order():
    """
    A parameter draws in the place of its label, so a name need not be HyperOpt's.
    """
    space = space_of(**{"z.train": Float(low=0, high=1), "a.create": Float(low=0, high=1)})
    in_hyperopt = {"z.train": hp.uniform("alpha", 0, 1), "a.create": hp.uniform("omega", 0, 1)}
    expected = by_fmin(in_hyperopt, ALGORITHMS["hyperopt_tpe"], trials=STARTUP + 4)

    labels = {"z.train": "alpha", "a.create": "omega"}
    strategy = make("hyperopt_tpe", options={"labels": labels})
    trials = tried_one_by_one(space, strategy, trials=STARTUP + 4)
    others = tried_one_by_one(space, make("hyperopt_tpe"), trials=1)

    assert_same(expected, trials)
    assert others[0].configuration != trials[0].configuration


def test_drift_can_be_limited():
    """
    TPE runs away from the mean of a normal parameter, as in fmin, but for a limit.
    """
    space = space_of(x=Normal(mean=5, deviation=2), y=LogNormal(mean=0, deviation=1, step=0.5))

    def furthest(options):
        history = []
        strategy = make("hyperopt_tpe", options=options)
        for number in range(45):
            (suggestion,) = strategy.suggest(space, history, 1, seed=0)
            x, y = suggestion.configuration.values()
            history.append(
                Trial(
                    number,
                    suggestion.configuration,
                    TrialState.COMPLETE,
                    sampler=suggestion.sampler,
                    values=(-x - y,),
                )
            )
        configurations = [trial.configuration for trial in history]
        return max(
            *(abs(item["x"] - 5) / 2 for item in configurations),
            *(math.log(max(item["y"], 0.25)) for item in configurations),
        )

    assert furthest({}) > 9
    assert furthest({"max_deviations": 8}) <= 8


def test_constraints_are_kept():
    """
    What breaks a constraint is proposed again; where nothing helps, chance finds it.
    """
    space = space_of("x + n < 3", x=Float(low=-5, high=5), n=Int(low=1, high=50))
    narrow = space_of("n == 17", n=Int(low=1, high=5000), x=Float(low=0, high=1))
    strategy = make("hyperopt_tpe")

    history = tried_one_by_one(space, strategy)
    found = strategy.suggest(narrow, (), 3, seed=0)

    assert all(sum(trial.configuration.values()) < 3 for trial in history)
    assert {trial.sampler for trial in history} >= {"hyperopt_tpe"}
    assert [suggestion.configuration["n"] for suggestion in found] == [17] * 3
    with pytest.raises(SpaceExhaustedError, match="n > 50"):
        strategy.suggest(space_of("n > 50", n=Int(low=1, high=50)), (), 1, seed=0)


def test_it_learns():
    """
    TPE and annealing come nearer to the minimum than chance does with as many trials.
    """
    space = space_of(x=Float(low=-5, high=5), y=Float(low=-5, high=5))

    def best(name, seed):
        history = []
        strategy = make(name)
        for number in range(30):
            (suggestion,) = strategy.suggest(space, history, 1, seed=seed)
            x, y = suggestion.configuration.values()
            value = (x - 1) ** 2 + (y + 2) ** 2
            history.append(
                Trial(number, suggestion.configuration, TrialState.COMPLETE, values=(value,))
            )
        return min(trial.values[0] for trial in history)

    medians = {
        name: statistics.median(best(name, seed) for seed in range(5))
        for name in ("hyperopt_random", "hyperopt_tpe", "hyperopt_anneal")
    }

    assert medians["hyperopt_tpe"] < medians["hyperopt_random"]
    assert medians["hyperopt_anneal"] < medians["hyperopt_random"]


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"expressions": {"xx": "uniform"}}, "expressions.xx", "no parameter.*did you mean 'x'"),
        ({"expressions": {"x": "randint"}}, "expressions.x", "randint stands for an int"),
        ({"expressions": {"q": "quniform"}}, "expressions.q", "multiples of its step"),
        ({"expressions": {"big": "randint"}}, "expressions.big", "at most 1000000 values"),
        ({"expressions": {"n": "qloguniform"}}, "expressions.n", "above 0"),
        ({"expressions": {"n": "choice"}}, "expressions.n", "choice stands for a choice"),
        ({"labels": {"x": "n"}}, "labels", "labels must be different, got 'n' for x and n"),
    ],
)
def test_options_that_do_not_fit(options, path, message):
    """
    An option that does not fit the space is refused with its place and the rule.
    """
    space = space_of(
        x=Float(low=0, high=1),
        q=Float(low=0.5, high=1, step=0.2),
        n=Int(low=0, high=9),
        big=Int(low=0, high=10**7),
    )
    strategy = make("hyperopt_tpe", options=options)

    for refused in (
        partial(strategy.limit, space),
        partial(strategy.suggest, space, (), 1, seed=0),
    ):
        with pytest.raises(BlueprintError, match=f"strategy.options.{path}: .*{message}"):
            refused()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expressions": {"x": "eval"}}, "expressions.x"),
        ({"gamma": 0}, "gamma"),
        ({"n_EI_candidates": 0}, "n_EI_candidates"),
        ({"max_deviations": 3}, "max_deviations"),
        ({"startup": "native"}, "startup"),
        ({"avg_best_idx": 2}, "avg_best_idx"),
    ],
)
def test_options_are_typed(options, message):
    """
    Values that HyperOpt would choke on, and names that it does not know, are refused.
    """
    with pytest.raises(ValueError, match=message):
        make("hyperopt_tpe", options=options)


def test_probabilities_of_a_mixture():
    """
    The probabilities of a mixture must sum to 1.
    """
    with pytest.raises(ValueError, match=r"sum to 1, got \[0.5, 0.2\]"):
        make("hyperopt_mix", options={"p_suggest": [[0.5, "tpe"], [0.2, "random"]]})


EXTREMES = {
    "far apart": Float(low=-1.7e308, high=1.7e308),
    "neighbours": Float(low=1.0, high=math.nextafter(1.0, 2.0)),
    "same logarithm": Float(low=1e-5, high=1e-5 * (1 + 4e-16), log=True),
    "tiny": Float(low=5e-324, high=1e-300, log=True),
    "huge ints": Int(low=2**62, high=2**62 + 9),
    "huge log ints": Int(low=2**62, high=2**62 + 9, log=True),
    "log steps": Float(low=3, high=9.5, step=0.7, log=True),
    "int log steps": Int(low=2, high=50, step=3, log=True),
    "int steps": Int(low=-7, high=50, step=3),
    "one of two": Categorical(choices=("a", [1, {"b": 2}]), weights=(1e-300, 1)),
    "uneven shares": Categorical(choices=("a", "b", "c"), weights=(1, 1, 1)),
}


@pytest.mark.parametrize("name", ["hyperopt_tpe", "hyperopt_anneal"])
def test_extreme_distributions(name):
    """
    Bounds at the edges of what numbers can be are searched like any other.
    """
    space = space_of(
        x=Float(low=0, high=1), **{key.replace(" ", "_"): item for key, item in EXTREMES.items()}
    )

    history = tried_one_by_one(space, make(name), trials=STARTUP + 4)

    assert {trial.sampler for trial in history} == {name}
    for trial in history:
        assert list(space.problems(trial.configuration)) == []
        assert json.loads(json.dumps(trial.configuration)) == trial.configuration


def test_trials_of_another_space_are_passed_over():
    """
    A history that does not fit the space teaches nothing and breaks nothing.
    """
    strategy = make("hyperopt_tpe")
    own = tried_one_by_one(FEW, strategy, trials=STARTUP + 4)
    wrong = [
        {"kind": "p", "x": "far", "n": 3},
        {"kind": "other", "x": 0.5, "n": 3},
        {"kind": "p", "x": 77.0, "n": 3},
        {"kind": "p", "x": None, "n": 3},
        {"x": 0.5},
        {},
    ]
    foreign = [
        Trial(len(own) + place, item, TrialState.COMPLETE, values=(-99.0,), sampler="point")
        for place, item in enumerate(wrong)
    ]
    gone = [replaced(trial, TrialState.FAILED) for trial in foreign]

    found = strategy.suggest(FEW, [*own, *foreign], 3, seed=0)

    assert found == strategy.suggest(FEW, [*own, *gone], 3, seed=0)


steps = st.sampled_from([0.1, 0.25, 0.7, 3.0])
distributions = st.one_of(
    st.builds(
        lambda low, span, step, log, anchor: Float(
            low=low, high=low + span, step=step, log=log, anchor=anchor if step else "low"
        ),
        st.sampled_from([0.15, 0.5, 1.0, 7.3]),
        st.sampled_from([0.9, 1.0, 12.5]),
        st.one_of(st.none(), steps),
        st.booleans(),
        st.sampled_from(["low", "zero"]),
    ),
    st.builds(
        lambda low, span, step, log: Int(low=low, high=low + span, step=step, log=log),
        st.integers(1, 9),
        st.integers(1, 60),
        st.integers(1, 4),
        st.booleans(),
    ),
    st.builds(
        lambda weights: Categorical(choices=("a", 1, [2], None)[: len(weights)], weights=weights),
        st.lists(st.sampled_from([0.0, 0.3, 2.0]), min_size=2, max_size=4).filter(any).map(tuple),
    ),
    st.builds(Normal, mean=st.just(1.5), deviation=st.just(2.0), step=st.none() | steps),
    st.builds(LogNormal, mean=st.just(1.5), deviation=st.just(0.5), step=st.none() | steps),
)


@given(distributions, st.floats(0, 1))
def test_values_go_there_and_back(distribution, unit):
    """
    Each value has a place in HyperOpt's space, and reading that gives the value again.
    """
    expression = expression_of(distribution)
    value = distribution.from_unit(unit)
    assume(expression is not None)

    assert expression.read(expression.show(value)) == value


def test_warnings_stay_inside():
    """
    HyperOpt's own warnings reach nobody, even where they would be errors.
    """
    strategy = make("hyperopt_anneal", options={"expressions": EXPRESSIONS})
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        assert len(tried_one_by_one(EVERYTHING, strategy, trials=4)) == 4
