"""
GP: what the model learns from a history, and where it then looks.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np  # noqa: TID253 - what the model is made of
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor  # noqa: TID253 - ours compared with
from sklearn.gaussian_process.kernels import (  # noqa: TID253 - what ours is compared with
    ConstantKernel,
    Matern,
    WhiteKernel,
)

from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Float, Int, LogNormal, Normal
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Measurement, Trial, TrialState
from airflow_hpo.model.values import canonical
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies._gp_cube import Cube
from airflow_hpo.strategies._gp_kernels import AnyMatern, Shape
from airflow_hpo.strategies._gp_losses import scalings
from airflow_hpo.strategies._gp_model import GpModel
from airflow_hpo.strategies._gp_search import Acquisition
from airflow_hpo.strategies._gp_surface import LENGTH_BOUNDS, _Climb, fit_surface
from airflow_hpo.strategies.base import Setting
from airflow_hpo.strategies.gp import GpOptions
from airflow_hpo.strategies.support import strategy_problems

MINIMIZE = Objective(metric="loss", direction="minimize")
SEED = 7
BRANIN_MINIMUM = 0.397887

SHAPES = [
    Shape("rbf", 2.5, None, 0),
    Shape("matern", 0.5, None, 0),
    Shape("matern", 1.5, None, 0),
    Shape("matern", 1.9, None, 0),
    Shape("matern", 2.5, None, 0),
    Shape("matern", 7.0, None, 0),
]


def space_of(*constraints, **distributions):
    """
    Return a space of always active parameters.
    """
    parameters = tuple(Parameter(name=n, distribution=d) for n, d in distributions.items())
    return Space(parameters=parameters, constraints=constraints)


SQUARE = space_of(x=Float(low=-5, high=10), y=Float(low=0, high=15))
MIXED = space_of(
    rate=Float(low=1e-5, high=1e-1, log=True),
    layers=Int(low=1, high=8),
    hidden=Int(low=4, high=512, log=True),
    kind=Categorical(choices=("relu", "tanh", "gelu")),
)


def branin(x, y):
    """
    Return Branin's function.
    """
    bend = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def mixed_loss(configuration):
    """
    Return a loss that is least for gelu, five layers, a rate of 1e-3, 64 hidden.
    """
    penalty = {"relu": 0.5, "tanh": 1.0, "gelu": 0.0}[configuration["kind"]]
    return (
        (math.log10(configuration["rate"]) + 3) ** 2
        + (configuration["layers"] - 5) ** 2 / 8
        + (math.log2(configuration["hidden"]) - 6) ** 2 / 8
        + penalty
    )


def make(
    *, objectives=(MINIMIZE,), trials=1000, startup_trials=0, together=1, name="gp", **options
):
    """
    Return the strategy, by default without start-up trials.
    """
    setting = Setting(
        objectives=objectives, trials=trials, startup_trials=startup_trials, together=together
    )
    return create_strategy(StrategySpec(name=name, options=options), setting)


def random_trials(space, count, loss, *, seed=1):
    """
    Return *count* complete trials of *space*.
    """
    found = make(name="random").suggest(space, [], count, seed=seed)
    return [
        Trial(n, item.configuration, TrialState.COMPLETE, values=(loss(item.configuration),))
        for n, item in enumerate(found)
    ]


def model_of(space, trials, **options):
    """
    Return the model behind the strategy.
    """
    setting = Setting(objectives=(MINIMIZE,), trials=1000, startup_trials=0)
    return GpModel(space, setting, GpOptions(**options), trials)


def configurations(suggestions):
    """
    Return what was suggested, without who did.
    """
    return [dict(suggestion.configuration) for suggestion in suggestions]


def guided(space, loss, *, startup, count, seed, **options):
    """
    Return the trials of a study that asks for one at a time.
    """
    strategy = make(startup_trials=startup, **options)
    trials = random_trials(space, startup, loss, seed=seed)
    for number in range(startup, startup + count):
        (found,) = strategy.suggest(space, trials, 1, seed=seed)
        values = (loss(found.configuration),)
        trials.append(Trial(number, found.configuration, TrialState.COMPLETE, values=values))
    return trials


def branin_at(configuration):
    """
    Return Branin's function of a configuration.
    """
    return branin(configuration["x"], configuration["y"])


BRANIN_TRIALS = random_trials(SQUARE, 25, branin_at)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("ard", [False, True])
def test_slopes_are_those_of_the_prediction(shape, ard):
    """
    Mean and deviation change by what central differences say.
    """
    rng = np.random.default_rng(0)
    features = rng.random((20, 3))
    losses = np.sin(5 * features.sum(axis=1))
    surface = fit_surface(features, losses, shape=shape, ard=ard, columns=3)
    row, step = rng.random(3), 1e-5

    mean, deviation, mean_slopes, deviation_slopes = surface.slope(row)

    assert surface.predict(row[None]) == (pytest.approx(mean), pytest.approx(deviation))
    for axis, move in enumerate(np.eye(3) * step):
        ahead, behind = surface.predict((row + move)[None]), surface.predict((row - move)[None])
        # The error of a central difference is of the order of step squared.
        assert (ahead[0] - behind[0]) / (2 * step) == pytest.approx(mean_slopes[axis], rel=1e-3)
        assert (ahead[1] - behind[1]) / (2 * step) == pytest.approx(
            deviation_slopes[axis], rel=1e-2, abs=1e-4
        )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("lengths", [[0.4], [0.2, 0.5, 0.9]], ids=str)
def test_likelihood_is_the_usual_one(shape, lengths):
    """
    What the fit climbs is what scikit-learn computes, and so is its slope.
    """
    features = np.random.default_rng(0).random((12, 3))
    losses = np.sin(5 * features.sum(axis=1))
    begin = np.array(lengths) if len(lengths) > 1 else lengths[0]
    kernel = ConstantKernel(1.0) * shape.kernel_over(begin, LENGTH_BOUNDS) + WhiteKernel()
    usual = GaussianProcessRegressor(
        kernel + ConstantKernel(4.0, "fixed"), alpha=1e-9, optimizer=None
    ).fit(features, losses)
    theta = np.log([1.3, *lengths, 1e-3])

    ours, slope = _Climb(features, losses, shape=shape, length=0.5, spread=1.0).likelihood(theta)
    value, gradient = usual.log_marginal_likelihood(theta, eval_gradient=True)

    assert ours == pytest.approx(value)
    np.testing.assert_allclose(slope, gradient, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("lengths", [0.4, [0.2, 0.5, 0.9]], ids=str)
@pytest.mark.parametrize("nu", [0.7, 1.9, 3.3])
def test_any_matern_is_the_usual_one_with_an_exact_gradient(nu, lengths):
    """
    The kernel is scikit-learn's, and so is its gradient but for the rounding.
    """
    features = np.random.default_rng(0).random((12, 3))

    ours, slope = AnyMatern(lengths, nu=nu)(features, eval_gradient=True)
    theirs, differences = Matern(lengths, nu=nu)(features, eval_gradient=True)

    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    # Theirs are forward differences with a step of 1e-10.
    np.testing.assert_allclose(slope, differences, atol=1e-4)


@pytest.mark.parametrize(
    "gain",
    [Acquisition("ei"), Acquisition("ei", margin=1.2), Acquisition("poi"), Acquisition("ucb", 2.0)],
    ids=str,
)
@pytest.mark.parametrize("mean", [-2.0, 0.3, 5.0, 40.0])
@pytest.mark.parametrize("deviation", [0.05, 1.0])
def test_gains_rise_with_hope_and_their_slopes_are_exact(gain, mean, deviation):
    """
    Finite even where improvement is out of sight, and as differences say.
    """

    def value(mean, deviation):
        return float(gain(np.array([mean]), np.array([deviation]))[0])

    step = 1e-5 * deviation
    by_mean, by_deviation = gain.slopes(mean, deviation)

    assert math.isfinite(value(mean, deviation))
    assert by_mean <= 0
    slope = (value(mean + step, deviation) - value(mean - step, deviation)) / (2 * step)
    assert slope == pytest.approx(by_mean, rel=1e-3)
    slope = (value(mean, deviation + step) - value(mean, deviation - step)) / (2 * step)
    assert slope == pytest.approx(by_deviation, rel=1e-3, abs=1e-6)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_scaled_losses_are_finite_and_in_order(values):
    """
    Whatever was measured, no better loss becomes a worse one.
    """
    losses = np.array(values)
    order = np.argsort(losses, kind="stable")

    for scaled in scalings(losses):
        assert np.all(np.isfinite(scaled.losses))
        assert math.isfinite(scaled.log_density)
        assert np.all(np.diff(scaled.losses[order]) >= 0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_fit_does_not_collapse(shape, seed):
    """
    Thirty points are not explained as noise: length scales stay off their
    lower bound, and new points are predicted better than by the mean.
    """
    trials = random_trials(SQUARE, 30, branin_at, seed=seed)
    cube = Cube(SQUARE)
    features = cube.features(np.array([cube.show(trial.configuration) for trial in trials]))
    losses = np.array([trial.values[0] for trial in trials])
    standard = (losses - losses.mean()) / losses.std()

    surface = fit_surface(features, standard, shape=shape, ard=False, columns=2)

    assert np.all(surface.length_scales > 2 * LENGTH_BOUNDS[0])
    fresh = np.random.default_rng(seed).random((200, 2))
    truth = np.array([branin(15 * x - 5, 15 * y) for x, y in fresh])
    truth = (truth - losses.mean()) / losses.std()
    error = np.sqrt(np.mean((surface.predict(fresh)[0] - truth) ** 2))
    assert error < 0.6 * np.std(truth)


@pytest.mark.parametrize("factors", [(1e-3, 1e3), (1e6, 1e-6)])
def test_units_do_not_matter(factors):
    """
    With parameters in other units the same places are suggested.
    """
    across, up = factors
    scaled = space_of(x=Float(low=-5 * across, high=10 * across), y=Float(low=0, high=15 * up))
    trials = [
        replace(
            trial,
            configuration={
                "x": trial.configuration["x"] * across,
                "y": trial.configuration["y"] * up,
            },
        )
        for trial in BRANIN_TRIALS
    ]

    here = configurations(make().suggest(SQUARE, BRANIN_TRIALS, 3, seed=SEED))
    there = configurations(make().suggest(scaled, trials, 3, seed=SEED))

    # The search for the top ends within the tolerance of its last step.
    for one, other in zip(here, there, strict=True):
        assert other["x"] / across == pytest.approx(one["x"], abs=15e-3)
        assert other["y"] / up == pytest.approx(one["y"], abs=15e-3)


def test_neither_do_the_losses_units_nor_their_sign():
    """
    A thousandfold metric, or one to be maximised, leads to the same places.
    """
    larger = [replace(t, values=(1e3 * t.values[0] - 7,)) for t in BRANIN_TRIALS]
    mirrored = [replace(t, values=(-t.values[0],)) for t in BRANIN_TRIALS]
    maximize = Objective(metric="loss", direction="maximize")

    plain = configurations(make().suggest(SQUARE, BRANIN_TRIALS, 2, seed=SEED))
    scaled = configurations(make().suggest(SQUARE, larger, 2, seed=SEED))
    upwards = configurations(make(objectives=(maximize,)).suggest(SQUARE, mirrored, 2, seed=SEED))

    assert upwards == plain
    for one, other in zip(plain, scaled, strict=True):
        assert other == {key: pytest.approx(value, abs=15e-3) for key, value in one.items()}


@pytest.mark.parametrize(
    ("trials", "together", "same"),
    [(31, 1, True), (26, 1, True), (1000, 1, False), (25, 1, False), (31, 4, False)],
    ids=["in the last third", "the very last", "in the middle", "beyond the end", "in batches"],
)
def test_last_trials_exploit_whatever_the_acquisition(trials, together, same):
    """
    What is attracted by uncertainty above all still ends where little loss is expected.
    """
    # Trial 25 is an even one after the start-up.
    plan = {"trials": trials, "together": together, "startup_trials": 11}

    found = [
        configurations(
            make(**plan, acquisition="ucb", kappa=kappa).suggest(
                SQUARE, BRANIN_TRIALS, 1, seed=SEED
            )
        )
        for kappa in (0.0, 50.0)
    ]

    assert (found[0] == found[1]) is same


def test_exploiting_can_be_left_out():
    """
    Without exploiting trials the last ones follow the acquisition, too.
    """
    plan = {"trials": 26, "startup_trials": 11, "exploit_every": 0, "acquisition": "ucb"}

    calm = make(**plan, kappa=0.0).suggest(SQUARE, BRANIN_TRIALS, 1, seed=SEED)
    curious = make(**plan, kappa=50.0).suggest(SQUARE, BRANIN_TRIALS, 1, seed=SEED)

    assert configurations(calm) != configurations(curious)


def test_last_batch_is_spread():
    """
    Members of a study's last batch differ from each other.
    """
    strategy = make(trials=33, startup_trials=9, together=8)

    found = strategy.suggest(SQUARE, BRANIN_TRIALS, 8, seed=SEED)

    assert len({canonical(item.configuration) for item in found}) == 8
    assert {item.sampler for item in found} == {"gp"}


def test_startup_can_be_quasi_random():
    """
    Its first trials are then those of the strategy qmc, in one batch with guided ones or not.
    """
    strategy = make(startup_trials=6, startup_draws="qmc")
    first = strategy.suggest(MIXED, [], 4, seed=SEED)
    trials = [
        Trial(
            number,
            item.configuration,
            TrialState.COMPLETE,
            values=(mixed_loss(item.configuration),),
            sampler=item.sampler,
            labels=item.labels,
        )
        for number, item in enumerate(first)
    ]
    second = strategy.suggest(MIXED, trials, 4, seed=SEED)

    qmc = configurations(make(name="qmc").suggest(MIXED, [], 6, seed=SEED))
    assert configurations([*first, *second])[:6] == qmc
    assert [item.sampler for item in second] == ["qmc", "qmc", "gp", "gp"]


@pytest.mark.parametrize("seed", range(1, 4))
def test_beats_chance_on_branin(seed):
    """
    Ten guided trials come closer than thirty random ones, for every seed.
    """
    trials = guided(SQUARE, branin_at, startup=20, count=10, seed=seed)
    chance = random_trials(SQUARE, 30, branin_at, seed=seed)

    best = min(trial.values[0] for trial in trials)
    assert best < min(trial.values[0] for trial in chance)
    # One part in a hundred of random search's median regret, about 1.
    assert best - BRANIN_MINIMUM < 0.05


@pytest.mark.parametrize(
    "options",
    [
        {"acquisition": "ucb", "kappa": 1.2, "nu": 1.9},
        {"acquisition": "ei", "eps": 1.2, "kernel": "rbf"},
        {"acquisition": "poi", "eps": 0.01},
        {"exploit_every": 0, "n_restarts": 0, "length_scale": 1.0},
    ],
    ids=str,
)
def test_mixed_space_is_learned(options):
    """
    Whatever the options, fifteen guided trials find the good kind and rate.
    """
    trials = guided(MIXED, mixed_loss, startup=20, count=15, seed=SEED, **options)

    best = min(trials, key=lambda trial: trial.values[0])
    assert best.configuration["kind"] == "gelu"
    assert 1e-4 < best.configuration["rate"] < 1e-2
    assert len({canonical(trial.configuration) for trial in trials}) == 35


def test_good_branch_is_preferred():
    """
    Parameters that are inactive do not hide which branch is better.
    """
    space = Space(
        parameters=(
            Parameter(name="kind", distribution=Categorical(choices=("sgd", "adam"))),
            Parameter(name="momentum", distribution=Float(low=0, high=1), when={"kind": ("sgd",)}),
            Parameter(name="beta", distribution=Int(low=1, high=50), when={"kind": ("adam",)}),
        )
    )

    def loss(configuration):
        if configuration["kind"] == "sgd":
            return 2 + configuration["momentum"]
        return abs(configuration["beta"] - 30) / 30

    found = configurations(
        make(exploit_every=0).suggest(space, random_trials(space, 20, loss), 6, seed=SEED)
    )

    assert all(item["kind"] == "adam" for item in found)
    assert sum(20 <= item["beta"] <= 40 for item in found) >= 4


@pytest.mark.parametrize("liar", ["believer", "min", "mean", "max"])
def test_batch_is_spread(liar):
    """
    Members of a batch differ by more than rounding, and not all lie together.
    """
    found = make(liar=liar).suggest(SQUARE, BRANIN_TRIALS, 8, seed=SEED)

    cube = Cube(SQUARE)
    points = np.array([cube.show(item.configuration) for item in found])
    apart = np.abs(points[:, None] - points[None]).max(axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert apart.min() > 1e-4
    assert np.ptp(points, axis=0).max() > 0.2


def test_running_trials_push_away():
    """
    What is waiting or running is not suggested again, nor its surroundings.
    """
    (first,) = make(exploit_every=0).suggest(SQUARE, BRANIN_TRIALS, 1, seed=SEED)
    running = Trial(25, first.configuration, TrialState.RUNNING)

    (second,) = make(exploit_every=0).suggest(SQUARE, [*BRANIN_TRIALS, running], 1, seed=SEED)

    cube = Cube(SQUARE)
    apart = np.abs(cube.show(first.configuration) - cube.show(second.configuration)).max()
    assert apart > 0.01


def test_one_by_one_is_as_in_a_batch():
    """
    Who is asked for after another that waits is who would follow in a batch.
    """
    together = configurations(make().suggest(SQUARE, BRANIN_TRIALS, 3, seed=SEED))
    trials = list(BRANIN_TRIALS)
    for number in range(25, 28):
        (found,) = make().suggest(SQUARE, trials, 1, seed=SEED)
        trials.append(Trial(number, found.configuration, TrialState.WAITING))

    for one, other in zip(together, trials[25:], strict=True):
        assert other.configuration == {k: pytest.approx(v, abs=15e-3) for k, v in one.items()}


def test_infeasible_region_is_left():
    """
    Where trials had no value the model expects none of the best.
    """
    line = space_of(x=Float(low=0, high=1), y=Float(low=0, high=1))
    trials = [
        replace(trial, state=TrialState.INFEASIBLE, values=None)
        if trial.configuration["x"] > 0.5
        else trial
        for trial in random_trials(line, 30, lambda item: -item["x"])
    ]

    found = configurations(make().suggest(line, trials, 6, seed=SEED))

    assert sum(item["x"] < 0.6 for item in found) >= 5


def test_failed_trials_teach_nothing_but_are_not_repeated():
    """
    A crash says nothing about its configuration.
    """
    (next_one,) = configurations(make().suggest(SQUARE, BRANIN_TRIALS, 1, seed=SEED))
    lost = [
        Trial(25 + n, trial.configuration, TrialState.FAILED)
        for n, trial in enumerate(random_trials(SQUARE, 5, branin_at, seed=9))
    ]

    plain = model_of(SQUARE, BRANIN_TRIALS)
    model = model_of(SQUARE, [*BRANIN_TRIALS, *lost])

    np.testing.assert_array_equal(model.surface.features, plain.surface.features)
    failed = Trial(25, next_one, TrialState.FAILED)
    assert configurations(make().suggest(SQUARE, [*BRANIN_TRIALS, failed], 1, seed=SEED)) != [
        next_one
    ]


def test_pruned_trials_are_no_better_than_the_median():
    """
    A good start that was ended early does not pass for the best trial.
    """
    pruned = Trial(
        25,
        {"x": 0.0, "y": 0.0},
        TrialState.PRUNED,
        measurements=(Measurement({"loss": -1e6}, time=1.0, resource=1),),
    )

    surface = model_of(SQUARE, [*BRANIN_TRIALS, pruned]).surface

    assert surface.losses[-1] == pytest.approx(np.median(surface.losses), abs=0.1)


@pytest.mark.parametrize("states", [[TrialState.INFEASIBLE], [TrialState.RUNNING], []], ids=str)
def test_nothing_learned_leaves_it_to_chance(states):
    """
    Without a single loss there is no model.
    """
    trials = [
        replace(trial, state=states[n % len(states)], values=None)
        for n, trial in enumerate(BRANIN_TRIALS if states else [])
    ]

    found = make().suggest(SQUARE, trials, 2, seed=SEED)

    assert [item.sampler for item in found] == ["random", "random"]


def test_equal_losses_and_repeated_points_do_no_harm():
    """
    Neither a flat objective nor a noisy one breaks the fit.
    """
    flat = [replace(trial, values=(1.0,)) for trial in BRANIN_TRIALS]
    noisy = [
        replace(trial, configuration=BRANIN_TRIALS[n % 3].configuration)
        for n, trial in enumerate(BRANIN_TRIALS)
    ]

    for trials in (flat, noisy, flat[:1]):
        found = make().suggest(SQUARE, trials, 2, seed=SEED)
        assert [item.sampler for item in found] == ["gp", "gp"]


def test_long_history_is_cut_to_the_best_and_the_latest():
    """
    The model never sees more than 500 trials, the best one always.
    """
    trials = random_trials(SQUARE, 700, branin_at)
    best = min(trials, key=lambda trial: trial.values[0])

    model = model_of(SQUARE, trials, n_restarts=0)

    assert len(model.surface.features) == 500
    cube = Cube(SQUARE)
    for trial in (best, trials[-1]):
        row = cube.features(cube.show(trial.configuration)[None])
        assert np.any(np.all(model.surface.features == row, axis=1))


@pytest.mark.parametrize(
    "distribution",
    [
        Float(low=-1.7e308, high=1.7e308),
        Float(low=1e-300, high=1e300, log=True),
        Int(low=-(2**63), high=2**63 - 1),
        Int(low=1, high=2**63 - 1, log=True),
        LogNormal(mean=-900, deviation=40),
        Normal(mean=1e300, deviation=1e-3),
        Categorical(choices=tuple(range(150))),
    ],
    ids=lambda item: item.kind,
)
@pytest.mark.filterwarnings("error")
def test_extreme_numbers_stay_in_their_distribution(distribution):
    """
    Neither a range too wide to be subtracted nor one too narrow breaks the model.
    """
    space = space_of(n=distribution, x=Float(low=0, high=1))
    trials = random_trials(space, 12, lambda item: item["x"] * 1e300)

    found = make().suggest(space, trials, 3, seed=SEED)

    assert [item.sampler for item in found] == ["gp"] * 3
    assert all(distribution.contains(item.configuration["n"]) for item in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"acquisition": "lcb"}, "'ei', 'ucb' or 'poi'"),
        ({"kernel": "linear"}, "'matern' or 'rbf'"),
        ({"kappa": -1}, "kappa"),
        ({"eps": math.inf}, "eps"),
        ({"nu": 0}, "nu"),
        ({"length_scale": 0}, "length_scale"),
        ({"n_restarts": 1.5}, "n_restarts"),
        ({"liar": "truth"}, "liar"),
        ({"numWarmup": 5}, "numWarmup"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options, message):
    """
    The message names the option or its rule.
    """
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_missing_scikit_learn_is_told(monkeypatch):
    """
    The check and the first ask say what to install.
    """
    monkeypatch.setitem(sys.modules, "sklearn", None)
    setting = Setting(objectives=(MINIMIZE,), trials=10)

    (problem,) = strategy_problems(StrategySpec(name="gp"), setting, space=SQUARE)

    assert (problem.path, problem.severity) == ("strategy.name", "error")
    assert "sklearn" in problem.message
    assert "[gp]" in (problem.hint or "")
    with pytest.raises(ImportError, match="sklearn"):
        make().suggest(SQUARE, [], 1, seed=SEED)


def test_importing_loads_no_engine():
    """
    Making the strategy loads no heavy library.
    """
    code = (
        "import sys, json\n"
        "import airflow_hpo.strategies.gp\n"
        "heavy = {'optuna', 'numpy', 'scipy', 'sklearn', 'airflow'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )

    assert json.loads(done.stdout) == []
