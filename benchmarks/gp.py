"""
How good strategy gp is: settings that people copy from elsewhere, on known functions.

Thirty random trials, then fifteen single suggestions; the median of the best
loss over the seeds, beside as many trials of random search. A goal is marked
where the median reaches it. Rows with a factor have the first parameters'
range multiplied by it and the others' divided: the figures must be the same.

    .venv/bin/python benchmarks/gp.py [--seeds 5] [--settings ...] [--problems ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Float, Int
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.model.values import canonical, derive_seed
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import Setting

STARTUP, GUIDED = 30, 15

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "default": {},
    "ucb 1.2 matern 1.9": {"acquisition": "ucb", "kappa": 1.2, "nu": 1.9},
    "ucb 2.576 matern 1.9": {"acquisition": "ucb", "kappa": 2.576, "nu": 1.9},
    "ei 0 matern 1.5": {"acquisition": "ei", "eps": 0.0, "nu": 1.5},
    "ei 1.2 rbf": {"acquisition": "ei", "eps": 1.2, "kernel": "rbf"},
    "poi 0.01 matern 2.5": {"acquisition": "poi", "eps": 0.01},
}

_HARTMANN_A = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_HARTMANN_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)
_HARTMANN_C = (1.0, 1.2, 3.0, 3.2)


def branin(x: Sequence[float]) -> float:
    """
    Return Branin's function; three minima of 0.397887.
    """
    a, b = x
    bend = b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def hartmann(x: Sequence[float]) -> float:
    """
    Return Hartmann's function of six; minimum -3.32237, another one -3.2032.
    """
    return -sum(
        c * math.exp(-sum(a * (v - p) ** 2 for a, v, p in zip(row, x, middle, strict=True)))
        for c, row, middle in zip(_HARTMANN_C, _HARTMANN_A, _HARTMANN_P, strict=True)
    )


def rosenbrock(x: Sequence[float]) -> float:
    """
    Return Rosenbrock's valley of two; minimum 0.
    """
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def ackley(x: Sequence[float]) -> float:
    """
    Return Ackley's function; minimum 0 among many others.
    """
    root = math.sqrt(sum(v * v for v in x) / len(x))
    waves = sum(math.cos(2 * math.pi * v) for v in x) / len(x)
    return -20 * math.exp(-0.2 * root) - math.exp(waves) + 20 + math.e


def training(configuration: Mapping[str, object], noise: float) -> float:
    """
    Return what a small network's validation loss looks like, give or take.
    """
    rate = math.log10(float(str(configuration["rate"])))
    layers = int(str(configuration["layers"]))
    hidden = math.log2(int(str(configuration["hidden"])))
    best = {"relu": -2.5, "tanh": -2.0, "gelu": -3.0}[str(configuration["kind"])]
    penalty = {"relu": 0.02, "tanh": 0.08, "gelu": 0.0}[str(configuration["kind"])]
    bowl = 0.06 * (rate - best + 0.1 * (layers - 3)) ** 2 + 0.02 * (layers - 4) ** 2 / 4
    drop = 0.3 * (float(str(configuration["drop"])) - 0.2) ** 2
    return 0.2 + penalty + min(bowl, 1.5) + 0.01 * (hidden - 7) ** 2 + drop + noise


@dataclass(frozen=True)
class Problem:
    """
    A function to minimise.

    Args:
        space: Where.

        loss: Of a configuration.

        goal: What the median must reach; `None` where there is nothing to claim.

        noise: Deviation of what is added to each loss, but not to what is reported.
    """

    space: Space
    loss: Callable[[Mapping[str, object]], float]
    goal: float | None = None
    noise: float = 0.0


def box(
    function: Callable[[Sequence[float]], float],
    bounds: Sequence[tuple[float, float]],
    goal: float,
    factors: Sequence[float] = (),
) -> Problem:
    """
    Return *function* as a problem, each parameter in units of its own.
    """
    factors = factors or [1.0] * len(bounds)
    names = [f"x{place}" for place in range(len(bounds))]
    space = Space(
        parameters=tuple(
            Parameter(name=name, distribution=Float(low=low * factor, high=high * factor))
            for name, (low, high), factor in zip(names, bounds, factors, strict=True)
        )
    )

    def loss(configuration: Mapping[str, object]) -> float:
        pairs = zip(names, factors, strict=True)
        return function([float(str(configuration[name])) / factor for name, factor in pairs])

    return Problem(space, loss, goal)


def _mixed() -> Space:
    return Space(
        parameters=(
            Parameter(name="rate", distribution=Float(low=1e-5, high=1, log=True)),
            Parameter(name="layers", distribution=Int(low=1, high=8)),
            Parameter(name="hidden", distribution=Int(low=8, high=1024, log=True)),
            Parameter(name="kind", distribution=Categorical(choices=("relu", "tanh", "gelu"))),
            Parameter(name="drop", distribution=Float(low=0, high=0.9)),
        )
    )


BRANIN = ((-5.0, 10.0), (0.0, 15.0))

PROBLEMS: Mapping[str, Problem] = {
    "branin": box(branin, BRANIN, 0.3984),
    "branin x 1e-3/1e3": box(branin, BRANIN, 0.3984, (1e-3, 1e3)),
    "hartmann6": box(hartmann, [(0, 1)] * 6, -3.2),
    "rosenbrock2": box(rosenbrock, [(-2.048, 2.048)] * 2, 0.1),
    "ackley5": box(ackley, [(-5, 5)] * 5, 1.5),
    "training": Problem(_mixed(), lambda configuration: training(configuration, 0.0)),
    "training, noisy": Problem(
        _mixed(), lambda configuration: training(configuration, 0.0), noise=0.02
    ),
}


def search(problem: Problem, name: str, options: Mapping[str, object], seed: int) -> dict:
    """
    Return one study's best loss, what was tried twice, and what an ask took.
    """
    setting = Setting(
        objectives=(Objective(metric="loss", direction="minimize"),),
        trials=STARTUP + GUIDED,
        startup_trials=STARTUP,
    )
    strategy = create_strategy(StrategySpec(name=name, options=dict(options)), setting)
    trials: list[Trial] = []
    clean: list[float] = []
    spent = 0.0
    while len(trials) < setting.trials:
        count = STARTUP if not trials else 1
        began = time.process_time()
        found = strategy.suggest(problem.space, trials, count, seed=seed)
        spent += (time.process_time() - began) * (len(trials) > 0)
        for suggestion in found:
            number = len(trials)
            clean.append(problem.loss(suggestion.configuration))
            value = clean[-1] + problem.noise * _normal(seed, number)
            trials.append(
                Trial(number, suggestion.configuration, TrialState.COMPLETE, values=(value,))
            )
    chosen = min(trials, key=lambda trial: trial.values[0] if trial.values else math.inf)
    distinct = {canonical(trial.configuration) for trial in trials}
    return {
        "best": clean[chosen.number],
        "repeated": len(trials) - len(distinct),
        "ms": spent / GUIDED * 1000,
    }


def _normal(seed: int, number: int) -> float:
    unit = (derive_seed(seed, "noise", number) + 0.5) / 2**63
    return statistics.NormalDist().inv_cdf(unit)


def row(title: str, problem_title: str, seeds: Sequence[int]) -> dict:
    """
    Return the figures of one setting, or of ``random``, on one problem.
    """
    problem = PROBLEMS[problem_title]
    name = "random" if title == "random" else "gp"
    found = [search(problem, name, SETTINGS.get(title, {}), seed) for seed in seeds]
    median = statistics.median(item["best"] for item in found)
    return {
        "setting": title,
        "problem": problem_title,
        "seeds": list(seeds),
        "best": [item["best"] for item in found],
        "median": median,
        "goal": problem.goal,
        "reached": None if problem.goal is None else median <= problem.goal,
        "repeated": sum(item["repeated"] for item in found),
        "ms_per_ask": statistics.mean(item["ms"] for item in found),
    }


def main() -> None:
    """
    Print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--settings", nargs="+", choices=[*SETTINGS, "random"])
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    seeds = range(1, arguments.seeds + 1)
    print(
        f"{'problem':<19}{'setting':<22}{'median':>10}{'goal':>9}"
        f"{'reached':>9}{'repeated':>10}{'ms/ask':>8}"
    )
    rows = []
    for problem in arguments.problems or PROBLEMS:
        for setting in arguments.settings or [*SETTINGS, "random"]:
            found = row(setting, problem, seeds)
            rows.append(found)
            goal = "" if found["goal"] is None else f"{found['goal']:.4f}"
            reached = {True: "yes", False: "no", None: ""}[found["reached"]]
            print(
                f"{problem:<19}{setting:<22}{found['median']:>10.4f}{goal:>9}{reached:>9}"
                f"{found['repeated']:>10}{found['ms_per_ask']:>8.0f}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    if any(found["repeated"] for found in rows):
        sys.exit("a configuration was tried twice")


if __name__ == "__main__":
    main()
