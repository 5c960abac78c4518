"""
How far strategies come that give many trials little and few trials much.

Each is run alone, a rung at a time, with budgets of 2, 5, 10, 20 and 50 times
the epochs of one full training; a promoted trial resumes, so it costs what
comes on top. The figure is the loss that the best trial so far (the best of
those on the most epochs) has when it is trained in full: the median over the
seeds.

Problems: LCBench tasks as YAHPO's surrogate has learned them (looked for in
``--lcbench``, needs onnxruntime), and learning curves of small networks on
scikit-learn's digits, which ``--make-digits`` computes (some minutes) and the
next run finds. Figures of other tools that were recorded with the same rules
are read from ``--peers``.

    .venv/bin/python benchmarks/fidelity.py [--seeds 20] [--problems ...] [--strategies ...]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from problems import LCBENCH, MissingError, lcbench_curve
from results import RESULTS, Results, digest_of, markdown, one_thread, own_code

from airflow_hpo.model.blueprint import Resource, StrategySpec
from airflow_hpo.model.distribution import Categorical, Float, Int
from airflow_hpo.model.ladder import Place, place_of
from airflow_hpo.model.objective import Objective, best_trial
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Suggestion, Trial, TrialState
from airflow_hpo.model.values import Configuration
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import Setting

BUDGETS = (2, 5, 10, 20, 50)
AIM = Objective(metric="loss", direction="minimize")
DIGITS = RESULTS / "digits_curves.json"
PEERS = LCBENCH.parent / "peers"
SHARED_DIGITS = LCBENCH.parent / "digits_mlp_table.json"

# What is asked of the epochs needed for random search's result at 20 R.
GOALS: Mapping[str, float] = {"halving": 0.5, "asha": 0.5, "bohb": 0.5, "hyperband": 0.75}


@dataclass(frozen=True)
class Curves:
    """
    A problem whose loss is known after any number of epochs.

    Args:
        space: What is searched.

        low: Epochs of the lowest rung.

        high: Epochs of a full training.

        loss: Of a configuration after so many epochs.
    """

    space: Space
    low: int
    high: int
    loss: Callable[[Configuration, int], float]


def _lcbench(task: str) -> Callable[[argparse.Namespace], Curves]:
    def load(arguments: argparse.Namespace) -> Curves:
        space, loss = lcbench_curve(arguments.lcbench, task)
        return Curves(space, low=2, high=52, loss=loss)

    return load


_DIGITS_SPACE = Space(
    parameters=tuple(
        Parameter(name=name, distribution=distribution)
        for name, distribution in {
            "learning_rate_init": Float(low=1e-4, high=1e-1, log=True),
            "alpha": Float(low=1e-6, high=1e-1, log=True),
            "batch_size": Int(low=16, high=256, log=True),
            "hidden": Int(low=16, high=256, log=True),
            "n_layers": Int(low=1, high=3),
            "activation": Categorical(choices=("relu", "tanh", "logistic")),
            "solver": Categorical(choices=("sgd", "adam")),
        }.items()
    )
)


def _digits(_: argparse.Namespace) -> Curves:
    """
    Return the digits' curves; a configuration is the nearest of those in the table.
    """
    found = next((path for path in (DIGITS, SHARED_DIGITS) if path.exists()), None)
    if found is None:
        raise MissingError(f"{DIGITS.name} is not there: --make-digits computes it")
    rows = json.loads(found.read_text("utf-8"))["rows"]
    places = [_place(row["config"]) for row in rows]
    curves = [row["val_logloss"] for row in rows]

    def loss(configuration: Configuration, epochs: int) -> float:
        place = _place(configuration)
        return float(min(zip(map(place.distance, places), curves, strict=True))[1][epochs - 1])

    return Curves(_DIGITS_SPACE, low=1, high=len(curves[0]), loss=loss)


@dataclass(frozen=True)
class _Place:
    """
    A configuration as numbers in the unit cube and as choices.
    """

    numbers: tuple[float, ...]
    choices: tuple[Any, ...]

    def distance(self, other: _Place) -> float:
        """
        Return how far another one is; a choice that differs counts as a whole side.
        """
        apart = sum(a != b for a, b in zip(self.choices, other.choices, strict=True))
        return apart + sum((a - b) ** 2 for a, b in zip(self.numbers, other.numbers, strict=True))


def _place(configuration: Configuration) -> _Place:
    numbers, choices = [], []
    for parameter in _DIGITS_SPACE.parameters:
        value, known = configuration[parameter.name], parameter.distribution
        if isinstance(known, Categorical):
            choices.append(value)
        else:
            log = math.log if getattr(known, "log", False) else float
            numbers.append((log(value) - log(known.low)) / (log(known.high) - log(known.low)))
    return _Place(tuple(numbers), tuple(choices))


def make_digits(path: Path, *, count: int = 300, epochs: int = 27) -> None:
    """
    Train *count* random networks on the digits and keep their learning curves.
    """
    import warnings

    from sklearn.datasets import load_digits
    from sklearn.metrics import log_loss
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    images, labels = load_digits(return_X_y=True)
    train, held, target, expected = train_test_split(
        images / 16, labels, test_size=0.2, stratify=labels, random_state=0
    )
    random = create_strategy(
        StrategySpec(name="random"), Setting(objectives=(AIM,), trials=count)
    ).suggest(_DIGITS_SPACE, [], count, seed=0)
    rows = []
    for number, suggestion in enumerate(random):
        given = dict(suggestion.configuration)
        layers = (given.pop("hidden"),) * given.pop("n_layers")
        model = MLPClassifier(hidden_layer_sizes=layers, random_state=0, **given)
        curve = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(epochs):
                model.partial_fit(train, target, classes=range(10))
                curve.append(round(float(log_loss(expected, model.predict_proba(held))), 5))
        rows.append({"config": dict(suggestion.configuration), "val_logloss": curve})
        if number % 20 == 0:
            print(f"digits: {number} of {count} networks", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": rows}) + "\n", "utf-8")


PROBLEMS: Mapping[str, Callable[[argparse.Namespace], Curves]] = {
    "lcbench_3945": _lcbench("3945"),
    "lcbench_167104": _lcbench("167104"),
    "lcbench_189866": _lcbench("189866"),
    "digits": _digits,
}

# Options that repeat until the greatest budget is spent.
STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "random": {},
    "halving": {"start": 27, "iterations": 100},
    "hyperband": {"iterations": 100},
    "bohb": {"iterations": 100},
    "asha": {},
}

# Recorded ones that figures are set beside, by the name of their files.
RECORDED: Mapping[str, str] = {
    "HpBandSter BOHB": "hpbandster_bohb",
    "Syne Tune ASHA": "syne_asha",
    "Optuna TPE + Hyperband pruner": "optuna_tpe_hbpruner",
}


def trajectory(problem: Curves, name: str, seed: int) -> list[float]:
    """
    Return the full loss of the best trial after each of the budgets.
    """
    resource = Resource(name="epochs", min=problem.low, max=problem.high)
    setting = Setting(objectives=(AIM,), trials=100_000, resource=resource)
    strategy = create_strategy(StrategySpec(name=name, options=dict(STRATEGIES[name])), setting)
    trials: list[Trial] = []
    limits = [budget * problem.high for budget in BUDGETS]
    spent, reached = 0.0, list[float]()
    # As a DAG asks: a whole rung at once; slots one by one.
    together = 1 if name == "asha" else 10_000 if strategy.support.multi_fidelity else 1
    while len(reached) < len(limits):
        for trial, cost in _ran(problem, strategy, trials, together, seed):
            while len(reached) < len(limits) and spent + cost > limits[len(reached)]:
                reached.append(_full_loss(problem, trials))
            spent += cost
            trials.append(trial)
    return reached


def _ran(
    problem: Curves,
    strategy: Any,  # noqa: ANN401 - a strategy that may know rungs
    trials: list[Trial],
    count: int,
    seed: int,
) -> Iterator[tuple[Trial, float]]:
    """
    Yield the next trials as they end, and what each costs.
    """
    more = {}
    if count > 1:
        more["only"] = _next_rung(strategy, problem.space, trials)
    asked: Sequence[Suggestion] = strategy.suggest(
        problem.space, tuple(trials), count, seed=seed, **more
    )
    for suggestion in asked:
        epochs = int(suggestion.resource or problem.high)
        before = 0 if suggestion.parent is None else trials[suggestion.parent].resource or 0
        trial = Trial(
            len(trials),
            suggestion.configuration,
            TrialState.COMPLETE,
            sampler=suggestion.sampler,
            resource=suggestion.resource,
            parent=suggestion.parent,
            labels=suggestion.labels,
            values=(problem.loss(suggestion.configuration, epochs),),
            attempt=1,
        )
        yield trial, epochs - before


def _next_rung(strategy: Any, space: Space, trials: list[Trial]) -> Any:  # noqa: ANN401
    """
    Return the first rung that is not whole yet: bracket after bracket.
    """
    last = place_of(trials[-1]) if trials else None
    if last is None:
        first = strategy.brackets(space)[0]
        return Place(first.iteration, first.bracket, 0)
    if last.rung < last.bracket:
        return last.above()
    brackets = strategy.brackets(space)
    places = [(bracket.iteration, bracket.bracket) for bracket in brackets]
    return Place(*places[places.index(last[:2]) + 1], 0)


def _full_loss(problem: Curves, trials: Sequence[Trial]) -> float:
    best = best_trial([AIM], trials)
    return math.inf if best is None else problem.loss(best.configuration, problem.high)


def needed(curve: Sequence[float], goal: float) -> float:
    """
    Return by which share of 20 R a median reaches *goal*, on the grid of budgets.
    """
    for budget, value in zip(BUDGETS, curve, strict=True):
        if value <= goal:
            return budget / 20
    return math.inf


def recorded(folder: Path, problem: str, method: str) -> list[float] | None:
    """
    Return another tool's medians; `None` where nobody recorded them.
    """
    path = folder / f"mf__{problem}__{method}.json"
    if not path.exists():
        return None
    found: list[float] = json.loads(path.read_text("utf-8"))[
        "median_full_fidelity_loss_of_incumbent"
    ]
    return found


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """
    Return medians by problem and strategy, measuring what is not there yet.
    """
    results = Results(arguments.json, {"budgets": list(BUDGETS), "seeds": arguments.seeds})
    code = digest_of([*own_code("strategies", "model"), Path(__file__)])
    found: dict[str, dict[str, list[float]]] = {}
    for name in arguments.problems:
        try:
            problem = PROBLEMS[name](arguments)
        except MissingError as error:
            print(f"{name} is left out: {error}")
            continue
        found[name] = {}
        for strategy in arguments.strategies:
            cell = results.cell([name, strategy], code)
            if "losses" not in cell:
                cell["losses"] = [
                    trajectory(problem, strategy, seed) for seed in range(arguments.seeds)
                ]
                results.save()
            medians = [statistics.median(column) for column in zip(*cell["losses"], strict=True)]
            found[name][strategy] = medians
            print(f"{name:<16} {strategy:<10}", *(f"{x:.4f}" for x in medians), flush=True)
    return found


def compare(found: Mapping[str, Mapping[str, list[float]]], peers: Path) -> None:
    """
    Print losses beside recorded ones, and the epochs needed for random search's result.
    """
    budgets = [f"{budget} R" for budget in BUDGETS]
    for problem, rows in found.items():
        others = {name: recorded(peers, problem, method) for name, method in RECORDED.items()}
        known = {name: curve for name, curve in others.items() if curve is not None}
        table = [
            [name, *(f"{value:.4f}" for value in curve)]
            for name, curve in {**rows, **known}.items()
        ]
        print(f"\n{problem}\n\n{markdown([['', *budgets], *table])}")
    print()
    for strategy, goal in GOALS.items():
        shares = [
            needed(rows[strategy], rows["random"][BUDGETS.index(20)])
            for rows in found.values()
            if {strategy, "random"} <= rows.keys()
        ]
        if shares:
            print(
                f"{strategy}: {statistics.median(shares):.3g} of the epochs for random search's "
                f"result at 20 R (goal {goal:g}; by problem {', '.join(f'{x:g}' for x in shares)})"
            )
    for name, method in RECORDED.items():
        ratios = [
            rows["bohb"][-1] / other[-1]
            for problem, rows in found.items()
            if "bohb" in rows and (other := recorded(peers, problem, method)) is not None
        ]
        if ratios:
            print(f"bohb at 50 R by {name}: {statistics.geometric_mean(ratios):.3f}")


def main() -> None:
    """
    Measure what is asked for and print it.
    """
    one_thread()
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--lcbench", type=Path, default=LCBENCH)
    parser.add_argument("--peers", type=Path, default=PEERS)
    parser.add_argument("--json", type=Path, default=RESULTS / "fidelity.json")
    parser.add_argument("--make-digits", action="store_true", help="compute the digits' curves")
    arguments = parser.parse_args()
    if arguments.make_digits:
        make_digits(DIGITS)
    compare(measure(arguments), arguments.peers)


if __name__ == "__main__":
    main()
