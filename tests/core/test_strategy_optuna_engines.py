"""
Optuna's engines: trial by trial what a study of Optuna's own would have tried.
"""

from __future__ import annotations

import math
import random
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import optuna  # noqa: TID253 - what it is compared with
import pytest
from optuna.samplers import (  # noqa: TID253 - what it is compared with
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    nsgaii,
)

from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Float, Int, Normal
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Measurement, Trial, TrialState
from airflow_hpo.model.values import derive_seed
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import Setting
from airflow_hpo.testing.spaces import SPACES

SEED = 11
LOSS = (Objective(metric="loss", direction="minimize"),)
TWO = (*LOSS, Objective(metric="accuracy", direction="maximize"))
FOUR = (*TWO, *(Objective(metric=name, direction="minimize") for name in ("size", "time")))

NUMBERS = Space(
    parameters=(
        Parameter(name="x", distribution=Float(low=-5, high=5)),
        Parameter(name="rate", distribution=Float(low=1e-5, high=1e-1, log=True)),
        Parameter(name="layers", distribution=Int(low=1, high=300)),
    )
)
MIXED = Space(
    parameters=(
        *NUMBERS.parameters,
        Parameter(name="kind", distribution=Categorical(choices=("relu", "tanh", "gelu"))),
    )
)
BRANCHES = Space(
    parameters=(
        Parameter(name="kind", distribution=Categorical(choices=("sgd", "adam"))),
        Parameter(name="momentum", distribution=Float(low=0, high=1), when={"kind": ("sgd",)}),
        Parameter(name="x", distribution=Float(low=-5, high=5)),
        Parameter(name="y", distribution=Float(low=-5, high=5)),
    )
)


def ask(space, trial):
    """
    Suggest the parameters of *space* as a person would write it.
    """
    found = {}
    for parameter in space.parameters:
        match parameter.distribution:
            case Float(low=low, high=high, log=log):
                found[parameter.name] = trial.suggest_float(parameter.name, low, high, log=log)
            case Int(low=low, high=high):
                found[parameter.name] = trial.suggest_int(parameter.name, low, high)
            case Categorical(choices=choices):
                found[parameter.name] = trial.suggest_categorical(parameter.name, choices)
    return found


def values_of(configuration, count):
    """
    Return made-up values that some configurations are better at than others.
    """
    x, layers = configuration["x"], configuration.get("layers", 7)
    rate = math.log10(configuration.get("rate", 1e-3))
    penalty = {"relu": 0.0, "tanh": 0.5}.get(configuration.get("kind"), 1.0)
    loss = (x - 1) ** 2 + (rate + 3) ** 2 + abs(layers - 30) / 100 + penalty
    return (loss, -((x + 1) ** 2) - penalty, layers + x, (rate + 2) ** 2)[:count]


def make(name, *, objectives=LOSS, startup_trials=0, trials=1000, **options):
    """
    Return the strategy called *name*.
    """
    setting = Setting(objectives=objectives, trials=trials, startup_trials=startup_trials)
    return create_strategy(StrategySpec(name=name, options=options), setting)


def fate(number):
    """
    Return how a trial ends, so that some end without values.
    """
    return TrialState.FAILED if number % 7 == 5 else TrialState.COMPLETE


def run_plain(space, count, *, name, make_sampler, objectives=LOSS, fate=fate):
    """
    Return what a study of Optuna's own tries, a sampler made anew for each trial.

    A trial that tries what was tried already is left running for ever, and the
    next one is asked for in its place.
    """
    study = optuna.create_study(directions=[item.direction for item in objectives])
    tried = []
    again = 0
    while len(tried) < count:
        parts = (len(tried), again) if again else (len(tried),)
        study.sampler = make_sampler(derive_seed(SEED, name, *parts) % 2**32)
        trial = study.ask()
        found = ask(space, trial)
        if found in tried:
            again += 1
            continue
        again = 0
        if fate(len(tried)) is TrialState.FAILED:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, values_of(found, len(objectives)))
        tried.append(found)
    return tried


def run_ours(space, count, *, name, objectives=LOSS, fate=fate, history=(), **options):
    """
    Return the history after *count* trials, each asked for by a strategy made anew.
    """
    trials = list(history)
    for number in range(len(trials), count):
        strategy = make(name, objectives=objectives, **options)
        (item,) = strategy.suggest(space, trials, 1, seed=SEED)
        trials.append(
            ended(Trial(number, item.configuration, labels=item.labels), objectives, fate)
        )
    return trials


def ended(trial, objectives=LOSS, fate=fate):
    """
    Return *trial* after it ended.
    """
    state = fate(trial.number)
    done = state is TrialState.COMPLETE
    values = values_of(trial.configuration, len(objectives)) if done else None
    return replace(trial, state=state, values=values)


def configurations(trials):
    """
    Return what was tried or suggested.
    """
    return [dict(trial.configuration) for trial in trials]


def plainly(sampler, **options):
    """
    Return a function that makes Optuna's sampler from a seed.
    """
    return lambda seed: sampler(seed=seed, **options)


quietly = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@quietly
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"popsize": 5},
        {"use_separable_cma": True},
        {"with_margin": True},
        {"lr_adapt": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("space", [NUMBERS, MIXED], ids=["numbers", "mixed"])
def test_cmaes_is_optunas(space, options):
    """
    Over many generations each trial is Optuna's, whose model lives in its storage.
    """
    plain = run_plain(
        space,
        50,
        name="cmaes",
        make_sampler=plainly(CmaEsSampler, warn_independent_sampling=False, **options),
    )

    ours = run_ours(space, 50, name="cmaes", **options)

    assert configurations(ours) == plain
    (label,) = ours[-1].labels.values()
    assert label["generation"] >= 4


def test_cmaes_maximises_as_optuna_does():
    """
    The direction is Optuna's too, and what was told is kept as a loss.
    """
    best = (Objective(metric="loss", direction="maximize"),)
    plain = run_plain(
        NUMBERS, 30, name="cmaes", objectives=best, make_sampler=plainly(CmaEsSampler)
    )

    ours = run_ours(NUMBERS, 30, name="cmaes", objectives=best)

    assert configurations(ours) == plain


NSGA = [
    {"population_size": 6},
    {"population_size": 6, "crossover_prob": 0.4, "swapping_prob": 0.2, "mutation_prob": 0.5},
]
CROSSOVERS = {
    "blxalpha": nsgaii.BLXAlphaCrossover,
    "sbx": nsgaii.SBXCrossover,
    "spx": nsgaii.SPXCrossover,
    "undx": nsgaii.UNDXCrossover,
    "vsbx": nsgaii.VSBXCrossover,
}


@pytest.mark.parametrize("objectives", [LOSS, TWO], ids=["one", "two"])
@pytest.mark.parametrize("options", NSGA, ids=str)
def test_nsga2_is_optunas(objectives, options):
    """
    Over many generations each trial is Optuna's, for one objective and for two.
    """
    plain = run_plain(
        MIXED,
        40,
        name="nsga2",
        objectives=objectives,
        make_sampler=plainly(NSGAIISampler, **options),
    )

    ours = run_ours(MIXED, 40, name="nsga2", objectives=objectives, **options)

    assert configurations(ours) == plain
    assert ours[-1].labels["nsga2"]["generation"] >= 5


@quietly
@pytest.mark.parametrize("crossover", CROSSOVERS)
def test_crossovers_and_mutation_are_optunas(crossover):
    """
    Each way to cross has the name of Optuna's class, and mutants can be near.
    """
    sampler = plainly(
        NSGAIISampler,
        population_size=6,
        crossover=CROSSOVERS[crossover](),
        mutation=nsgaii.PolynomialMutation(),
        mutation_prob=0.5,
    )
    plain = run_plain(MIXED, 20, name="nsga2", objectives=TWO, make_sampler=sampler)

    ours = run_ours(
        MIXED,
        20,
        name="nsga2",
        objectives=TWO,
        population_size=6,
        crossover=crossover,
        mutation="polynomial",
        mutation_prob=0.5,
    )

    assert configurations(ours) == plain


@quietly
@pytest.mark.parametrize("options", [{}, {"dividing_parameter": 2}], ids=str)
def test_nsga3_is_optunas(options):
    """
    With four objectives each trial is Optuna's, whose choice of parents is random.
    """
    plain = run_plain(
        MIXED,
        40,
        name="nsga3",
        objectives=FOUR,
        make_sampler=plainly(NSGAIIISampler, population_size=6, **options),
    )

    ours = run_ours(MIXED, 40, name="nsga3", objectives=FOUR, population_size=6, **options)

    assert configurations(ours) == plain


@quietly
@pytest.mark.parametrize("options", [{"scramble": True}, {"scramble": False}], ids=str)
@pytest.mark.parametrize("sequence", ["sobol", "halton"])
def test_qmc_is_optunas_without_its_random_first_trial(sequence, options):
    """
    Optuna draws the first trial at random, so that its next one is our first.
    """
    seed = derive_seed(SEED, "qmc") % 2**32
    study = optuna.create_study(
        sampler=QMCSampler(qmc_type=sequence, seed=seed, warn_independent_sampling=False, **options)
    )
    plain = []
    for _ in range(21):
        trial = study.ask()
        plain.append(ask(MIXED, trial))
        study.tell(trial, 0.0)

    ours = configurations(run_ours(MIXED, 20, name="qmc", sequence=sequence, **options))

    for one, other in zip(plain[1:], ours, strict=True):
        assert one.pop("kind") == other.pop("kind")
        assert one == pytest.approx(other)


@pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch")
@quietly
@pytest.mark.parametrize("objectives", [LOSS, TWO], ids=["one", "two"])
def test_gaussian_processes_are_optunas(objectives):
    """
    The suggestion after a history is Optuna's; its own start-up is random search.
    """
    trials = run_ours(MIXED, 12, name="random", objectives=objectives)
    study = optuna.create_study(directions=[item.direction for item in objectives])
    states = {
        TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
        TrialState.FAILED: optuna.trial.TrialState.FAIL,
    }
    probe = optuna.create_study().ask()
    ask(MIXED, probe)
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                state=states[trial.state],
                params=dict(trial.configuration),
                distributions=probe.distributions,
                values=trial.values,
            )
        )
    seed = derive_seed(SEED, "optuna_gp", 12) % 2**32
    study.sampler = GPSampler(seed=seed, n_startup_trials=0)

    (ours,) = make("optuna_gp", objectives=objectives).suggest(MIXED, trials, 1, seed=SEED)

    assert dict(ours.configuration) == ask(MIXED, study.ask())


SMALL = {
    "cmaes": {"popsize": 4},
    "qmc": {},
    "nsga2": {"population_size": 4},
    "nsga3": {"population_size": 4},
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("space", [MIXED, BRANCHES, SPACES["constrained"]], ids=["m", "b", "c"])
def test_batches_equal_one_by_one(name, space):
    """
    In the middle of generations too, asking again continues the batch.
    """

    def values(trial):
        return (random.Random(trial.number).random(),)

    together, alone = [], []
    for _ in range(6):
        found = make(name, **SMALL[name]).suggest(space, together, 5, seed=SEED)
        for _ in found:
            (item,) = make(name, **SMALL[name]).suggest(space, alone, 1, seed=SEED)
            alone.append(Trial(len(alone), item.configuration, labels=item.labels))
        assert configurations(alone[-5:]) == configurations(found)
        assert [dict(trial.labels) for trial in alone[-5:]] == [dict(item.labels) for item in found]
        alone = [replace(trial, state=TrialState.COMPLETE, values=values(trial)) for trial in alone]
        together = list(alone)


@pytest.mark.parametrize("name", ["cmaes", "nsga2", "nsga3"])
def test_a_generation_stays_as_it_was_begun(name):
    """
    What a trial is told later, after it was run again, changes no model of the past.
    """
    trials = run_ours(MIXED, 30, name=name, **SMALL[name])
    (before,) = make(name, **SMALL[name]).suggest(MIXED, trials, 1, seed=SEED)
    begun = next(
        trial.number
        for trial in reversed(trials)
        if {"told", "parents"} & set(next(iter(trial.labels.values()), {}))
    )
    late = next(
        place
        for place in reversed(range(begun))
        if trials[place].is_complete and _generation(trials[place]) < _generation(trials[begun])
    )
    if name == "cmaes":
        trials[late] = replace(trials[late], values=(1e9,))

    (after,) = make(name, **SMALL[name]).suggest(MIXED, trials, 1, seed=SEED)

    assert after == before


def _generation(trial):
    return next(iter(trial.labels.values()), {}).get("generation", -1)


def test_cmaes_learns_that_infeasible_is_worst():
    """
    A trial without a value is told as worse than any other, not passed over.
    """

    def fate(number):
        return TrialState.INFEASIBLE if number % 3 == 1 else TrialState.COMPLETE

    trials = run_ours(NUMBERS, 30, name="cmaes", fate=fate, popsize=4)
    told = [pair for trial in trials for pair in trial.labels.get("cma", {}).get("told", ())]

    assert {number for number, loss in told if loss is None} <= set(range(1, 30, 3))
    assert any(loss is None for _, loss in told)
    assert trials[-1].labels["cma"]["generation"] >= 5


def test_cmaes_learns_of_pruned_trials_if_asked_to():
    """
    What was ended early is told with its last value, and passed over otherwise.
    """

    def pruned(trial):
        if trial.number % 2 == 0:
            return trial
        steps = tuple(Measurement({"loss": 5.0 + step}, 0.0, resource=step) for step in (1, 2))
        return replace(trial, state=TrialState.PRUNED, values=None, measurements=steps)

    found = {}
    for considers in (True, False):
        trials = []
        for _ in range(24):
            strategy = make("cmaes", popsize=4, consider_pruned_trials=considers)
            (item,) = strategy.suggest(NUMBERS, trials, 1, seed=SEED)
            trial = Trial(len(trials), item.configuration, labels=item.labels)
            trials.append(pruned(ended(trial, fate=lambda _: TrialState.COMPLETE)))
        told = [pair for trial in trials for pair in trial.labels.get("cma", {}).get("told", ())]
        found[considers] = {number % 2: loss for number, loss in told}

    assert found[True][1] == 7.0
    assert 1 not in found[False]


def test_cmaes_finds_the_minimum():
    """
    After twenty generations it lies close to a parabola's lowest point.
    """
    space = Space(
        parameters=tuple(
            Parameter(name=name, distribution=Float(low=-5, high=5)) for name in ("x", "y", "z")
        )
    )
    trials = []
    for number in range(140):
        (item,) = make("cmaes").suggest(space, trials, 1, seed=SEED)
        loss = sum((value - 1) ** 2 for value in item.configuration.values())
        trials.append(
            Trial(
                number,
                item.configuration,
                TrialState.COMPLETE,
                values=(loss,),
                labels=item.labels,
            )
        )

    assert min(trial.values[0] for trial in trials) < 0.01


def test_cmaes_keeps_searching_where_a_branch_drops_out():
    """
    A conditional parameter that all first trials had does not end the search.
    """
    trials = run_ours(BRANCHES, 40, name="cmaes", popsize=4, fate=lambda _: TrialState.COMPLETE)

    assert trials[-1].labels["cma"]["generation"] >= 8


@pytest.mark.parametrize("name", ["cmaes", "nsga2"])
def test_points_of_a_person_belong_to_the_first_generation(name):
    """
    They are learned from, although no sampler labelled them.
    """
    points = [
        Trial(number, {"x": 1.0, "rate": 1e-3, "layers": 30 + number}, sampler="point")
        for number in range(3)
    ]
    trials = run_ours(NUMBERS, 12, name=name, history=map(ended, points), **SMALL[name], fate=fate)

    kept = [trial.labels for trial in trials]
    known = [label for labels in kept for label in labels.values()]
    used = [label.get("parents") or label.get("told") for label in known]
    first = next(each for each in used if each)
    numbers = {each[0] if isinstance(each, list) else each for each in first}
    assert {0, 1, 2} <= numbers


@pytest.mark.parametrize("name", SMALL)
def test_histories_without_labels_do(name):
    """
    Trials of another strategy, or with labels of another shape, do no harm.
    """
    trials = run_ours(MIXED, 12, name="random")
    strange = [
        replace(trial, labels={"qmc": "x", "nsga2": 1, "nsga3": None, "cma": []})
        for trial in trials
    ]

    for history in (trials, strange):
        found = make(name, **SMALL[name]).suggest(MIXED, history, 3, seed=SEED)
        assert len(found) == 3


def test_another_population_size_begins_anew():
    """
    A model that was told other generations is given up, not broken.
    """
    trials = run_ours(NUMBERS, 20, name="cmaes", popsize=4)

    later = run_ours(NUMBERS, 40, name="cmaes", history=trials, popsize=6)

    assert later[-1].labels["cma"]["generation"] >= 1


def test_qmc_passes_over_what_constraints_exclude():
    """
    The points that are left are those of the same sequence without constraints.
    """
    both = (
        Parameter(name="x", distribution=Float(low=0, high=1)),
        Parameter(name="y", distribution=Float(low=0, high=1)),
    )
    free = run_ours(Space(parameters=both), 40, name="qmc")
    bound = run_ours(Space(parameters=both, constraints=("x + y <= 1",)), 12, name="qmc")

    allowed = [each for each in configurations(free) if each["x"] + each["y"] <= 1]
    assert configurations(bound) == allowed[:12]


def test_qmc_skips_and_keeps_distributions():
    """
    Passing over the beginning is as if it had been tried; weights and bells hold.
    """
    space = Space(
        parameters=(
            Parameter(name="x", distribution=Normal(mean=3, deviation=2)),
            Parameter(name="y", distribution=Categorical(choices=("a", "b"), weights=(3, 1))),
        )
    )
    whole = configurations(run_ours(space, 64, name="qmc"))

    assert configurations(run_ours(space, 24, name="qmc", skip=40)) == whole[40:]
    assert sum(each["x"] < 3 for each in whole) == 32
    assert sum(each["y"] == "a" for each in whole) == 48
    (first,) = make("qmc", scramble=False).suggest(space, [], 1, seed=SEED)
    assert math.isfinite(first.configuration["x"])


def test_gaussian_processes_start_at_random():
    """
    Before the start-up is over nothing but random search is needed.
    """
    if find_spec("torch") is None:
        with pytest.raises(ImportError, match=r"needs the package torch.*\[torch\]"):
            make("optuna_gp").suggest(NUMBERS, [], 1, seed=SEED)
        return
    ours = make("optuna_gp", startup_trials=5).suggest(NUMBERS, [], 5, seed=SEED)

    assert ours == make("random").suggest(NUMBERS, [], 5, seed=SEED)


@pytest.mark.parametrize(
    ("name", "package"), [("cmaes", "cmaes"), ("optuna_gp", "torch")], ids=["cmaes", "torch"]
)
def test_a_missing_package_is_named_with_its_extra(name, package):
    """
    Checking says so before anything runs, and asking refuses with the same words.
    """
    program = (
        "import sys, importlib.util as util\n"
        f"find = util.find_spec\n"
        f"util.find_spec = lambda name: None if name == {package!r} else find(name)\n"
        "from airflow_hpo.strategies.support import strategy_problems\n"
        "from airflow_hpo.strategies import create_strategy\n"
        "from airflow_hpo.strategies.base import Setting\n"
        "from airflow_hpo.model.blueprint import StrategySpec\n"
        "from airflow_hpo.model.objective import Objective\n"
        "from airflow_hpo.testing.spaces import SPACES\n"
        "setting = Setting((Objective(metric='y', direction='minimize'),), 10)\n"
        f"spec = StrategySpec(name={name!r})\n"
        "for problem in strategy_problems(spec, setting, space=SPACES['ints']):\n"
        "    print(problem)\n"
        "assert 'optuna' not in sys.modules\n"
        "create_strategy(spec, setting).suggest(SPACES['ints'], [], 1, seed=1)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"strategy {name} needs the package {package}, which is not installed" in done.stdout
    assert f"hint: pip install 'airflow-provider-hpo[{package}]'" in done.stdout
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: strategy {name} needs")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cmaes", {"popsize": 1}, "greater than or equal to 2"),
        ("cmaes", {"with_margin": True, "lr_adapt": True}, "at most one of"),
        ("cmaes", {"sigma0": 1.0}, "sigma0"),
        ("qmc", {"sequence": "latin"}, "'sobol' or 'halton'"),
        ("qmc", {"skip": -1}, "greater than or equal to 0"),
        ("nsga2", {"population_size": 1}, "greater than or equal to 2"),
        ("nsga2", {"population_size": 2, "crossover": "spx"}, "at least 3 for spx"),
        ("nsga2", {"crossover_prob": 1.5}, "less than or equal to 1"),
        ("nsga3", {"dividing_parameter": 0}, "greater than or equal to 1"),
        ("optuna_gp", {"deterministic_objective": "maybe"}, "valid boolean"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(name, options, message):
    """
    Unknown names, wrong types and what does not go together are errors.
    """
    with pytest.raises(ValueError, match=message):
        make(name, **options)


def test_spaces_and_points_that_do_not_fit_are_told():
    """
    CMA-ES must have numbers, and reference points a number per objective.
    """
    choices = Space(parameters=(Parameter(name="a", distribution=Categorical(choices=(1, 2))),))

    (problem,) = make("cmaes").problems(choices)
    assert "must have a number to search" in problem.message
    (problem,) = make(
        "nsga3", objectives=TWO, reference_points=[[0, 1], [1, 0, 0], [1, 1]]
    ).problems(choices)
    assert str(problem).endswith("must have one number for each of 2 objectives, got 3")
    assert problem.path == "strategy.options.reference_points.1"


def test_checking_loads_no_engine():
    """
    Loading, making and checking every strategy imports nothing heavy.
    """
    program = (
        "import sys\n"
        "from airflow_hpo.strategies import STRATEGIES\n"
        "from airflow_hpo.strategies.base import Setting\n"
        "from airflow_hpo.model.objective import Objective\n"
        "from airflow_hpo.testing.spaces import SPACES\n"
        "from airflow_hpo.model.blueprint import Resource\n"
        "epochs = Resource(name='epochs', min=1, max=9)\n"
        "aim = Objective(metric='y', direction='minimize')\n"
        "setting = Setting((aim,), 100, resource=epochs)\n"
        "for name in STRATEGIES.entries:\n"
        "    found = STRATEGIES.load(name)\n"
        "    if name != 'manual':\n"
        "        made = found(found.options_class(), setting)\n"
        "        made.limit(SPACES['ints'])\n"
        "        getattr(made, 'problems', lambda space: ())(SPACES['ints'])\n"
        "heavy = {'optuna', 'hyperopt', 'scipy', 'numpy', 'torch', 'cmaes', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "[]\n"
