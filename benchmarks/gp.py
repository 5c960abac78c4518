"""
How good strategy gp is: settings that people copy from elsewhere, on known functions.

Thirty random trials, then fifteen single suggestions; the figure is the median
of the best loss. Medians of five seeds differ much from one five to the next:
how many fives reach the goal stands beside the median of all seeds. Rows with
factors have the first parameter's range multiplied by a thousandth, the second
one's by a thousand, and so on: the figures must be about the same.

    .venv/bin/python benchmarks/gp.py [--seeds 20] [--settings ...] [--problems ...] [--unseeded]

Results are added to a JSON file as they come, as `search.py` does.
"""

from __future__ import annotations

import argparse
import math
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from functions import ackley, branin, hartmann, rosenbrock
from results import RESULTS, Results, digest_of, markdown, one_thread, own_code, write_block

from airflow_hpo.model.distribution import Categorical, Float, Int
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.strategy import StrategySpec
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.model.values import canonical, derive_seed
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import Setting

STARTUP, GUIDED, SEEDS = 30, 15, 20

# A goal is for the median of so many seeds.
GROUP = 5

SETTINGS: Mapping[str, Mapping[str, object]] = {
    "default": {},
    "default, qmc start": {"startup_draws": "qmc"},
    "ucb 1.2 matern 1.9": {"acquisition": "ucb", "kappa": 1.2, "nu": 1.9},
    "ucb 2.576 matern 1.9": {"acquisition": "ucb", "kappa": 2.576, "nu": 1.9},
    "ei 0 matern 1.5": {"acquisition": "ei", "eps": 0.0, "nu": 1.5},
    "ei 1.2 rbf": {"acquisition": "ei", "eps": 1.2, "kernel": "rbf"},
    "poi 0.01 matern 2.5": {"acquisition": "poi", "eps": 0.01},
}


def training(configuration: Mapping[str, object]) -> float:
    """
    Return what a small network's validation loss looks like.
    """
    rate = math.log10(float(str(configuration["rate"])))
    layers = int(str(configuration["layers"]))
    hidden = math.log2(int(str(configuration["hidden"])))
    best = {"relu": -2.5, "tanh": -2.0, "gelu": -3.0}[str(configuration["kind"])]
    penalty = {"relu": 0.02, "tanh": 0.08, "gelu": 0.0}[str(configuration["kind"])]
    bowl = 0.06 * (rate - best + 0.1 * (layers - 3)) ** 2 + 0.02 * (layers - 4) ** 2 / 4
    drop = 0.3 * (float(str(configuration["drop"])) - 0.2) ** 2
    return 0.2 + penalty + min(bowl, 1.5) + 0.01 * (hidden - 7) ** 2 + drop


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


@dataclass(frozen=True)
class Box:
    """
    A function of numbers, whose least loss is looked for between bounds.

    Args:
        function: Of the numbers.

        bounds: Of each.

        goal: What the median must reach.
    """

    function: Callable[[Sequence[float]], float]
    bounds: Sequence[tuple[float, float]]
    goal: float

    def problem(self, factors: Sequence[float]) -> Problem:
        """
        Return it as a problem, each parameter in units of its own.
        """
        names = [f"x{place}" for place in range(len(self.bounds))]
        parts = list(zip(names, self.bounds, factors, strict=True))

        def loss(configuration: Mapping[str, object]) -> float:
            found = [float(str(configuration[name])) / factor for name, _, factor in parts]
            return self.function(found)

        space = Space(
            parameters=tuple(
                Parameter(name=name, distribution=Float(low=low * factor, high=high * factor))
                for name, (low, high), factor in parts
            )
        )
        return Problem(space, loss, self.goal)


BOXES: Mapping[str, Box] = {
    "branin": Box(branin, ((-5.0, 10.0), (0.0, 15.0)), 0.398),
    "hartmann6": Box(hartmann, [(0.0, 1.0)] * 6, -3.2),
    "rosenbrock2": Box(rosenbrock, [(-2.048, 2.048)] * 2, 0.1),
    "ackley5": Box(ackley, [(-5.0, 5.0)] * 5, 1.5),
}

SCALED = ", x 1e-3/1e3"


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


def _problems() -> Iterator[tuple[str, Problem]]:
    for name, box in BOXES.items():
        yield name, box.problem([1.0] * len(box.bounds))
        factors = [1e3 if place % 2 else 1e-3 for place in range(len(box.bounds))]
        yield name + SCALED, box.problem(factors)
    mixed = Problem(_mixed(), training)
    yield from {"training": mixed, "training, noisy": replace(mixed, noise=0.02)}.items()


PROBLEMS: Mapping[str, Problem] = dict(_problems())


def search(problem: Problem, name: str, options: Mapping[str, object], seed: int) -> dict[str, Any]:
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
        "best": float(f"{clean[chosen.number]:.7g}"),
        "repeated": len(trials) - len(distinct),
        "ms": round(spent / GUIDED * 1000, 1),
    }


def _normal(seed: int, number: int) -> float:
    unit = (derive_seed(seed, "noise", number) + 0.5) / 2**63
    return statistics.NormalDist().inv_cdf(unit)


def measure(results: Results, arguments: argparse.Namespace) -> None:
    """
    Run what is asked for and not there yet.
    """
    here = Path(__file__)
    files = [here, here.with_name("functions.py"), *own_code("strategies", "model")]
    code = digest_of(files)
    for title in arguments.problems:
        for setting in arguments.settings:
            cell = results.cell([title, setting], code, again=arguments.again)
            for seed in map(str, _seeds(arguments, [key for key in cell if key != "code"])):
                if seed not in cell:
                    name = "random" if setting == "random" else "gp"
                    options = SETTINGS.get(setting, {})
                    cell[seed] = search(PROBLEMS[title], name, options, int(seed))
            results.save()
            print(f"{title:<26}{setting:<22}{_median(cell):.5f}", flush=True)


def _seeds(arguments: argparse.Namespace, there: Sequence[str]) -> Sequence[int]:
    if not arguments.unseeded:
        return range(1, arguments.seeds + 1)
    return [secrets.randbits(62) for _ in range(arguments.seeds - len(there))]


def _studies(cell: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [study for seed, study in cell.items() if seed != "code"]


def _median(cell: Mapping[str, Any]) -> float:
    return statistics.median(study["best"] for study in _studies(cell))


def table(cells: Mapping[str, Any]) -> str:
    """
    Return the figures as Markdown.
    """
    head = ["problem", "setting", "seeds", "median", f"of the first {GROUP}", "goal"]
    rows = [[*head, "fives that reach it", "tried twice", "ms a suggestion"]]
    for title, by_setting in cells.items():
        for setting, cell in by_setting.items():
            rows.append([title, setting, *_figures(cell, PROBLEMS[title].goal)])
    return markdown(rows)


def _figures(cell: Mapping[str, Any], goal: float | None) -> list[str]:
    studies = _studies(cell)
    best = [study["best"] for study in studies]
    fives = [best[k : k + GROUP] for k in range(0, len(best) - GROUP + 1, GROUP)]
    medians = [statistics.median(five) for five in fives]
    reach = "" if goal is None else f"{sum(item <= goal for item in medians)} of {len(medians)}"
    return [
        str(len(studies)),
        f"{statistics.median(best):.5g}",
        f"{medians[0]:.5g}" if medians else "",
        "" if goal is None else f"{goal:g}",
        reach,
        str(sum(study["repeated"] for study in studies)),
        f"{statistics.fmean(study['ms'] for study in studies):.0f}",
    ]


def main() -> None:
    """
    Measure, and print the table.
    """
    one_thread()
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    titles = [*SETTINGS, "random"]
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many, from 1 on")
    parser.add_argument("--unseeded", action="store_true", help="seeds drawn by chance")
    parser.add_argument("--settings", nargs="+", choices=titles, default=titles)
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--json", type=Path, default=RESULTS / "gp.json")
    parser.add_argument("--again", action="store_true", help="measure anew what is there")
    parser.add_argument("--report", action="store_true", help="measure nothing, show what is there")
    parser.add_argument("--page", action="store_true", help="write the table into docs")
    arguments = parser.parse_args()
    results = Results(arguments.json, {"random": STARTUP, "guided": GUIDED})
    if not arguments.report:
        measure(results, arguments)
    found = table(results.data["cells"])
    print(f"\n{found}")
    if arguments.page:
        write_block("gp", f"{results.where('benchmarks/gp.py')}\n\n{found}")
    if any(
        study["repeated"]
        for by_setting in results.data["cells"].values()
        for cell in by_setting.values()
        for study in _studies(cell)
    ):
        sys.exit("a configuration was tried twice")


if __name__ == "__main__":
    main()
