"""
How well strategies search: fifty trials in batches of five, beside the engines alone.

The figure is regret, the best loss after all trials less the least loss there
is: its median over the seeds, divided by random search's, and the geometric
mean of that over the problems. Regret below a thousandth counts as a
thousandth. Plain engines run in the same process, without any of our code.

    .venv/bin/python benchmarks/search.py [--problems ...] [--strategies ...] [--seeds 20]

Results are added to a JSON file as they come, so a run can be broken off or
done in parts; what was measured with other code is measured again. ``--page``
writes the tables into the documentation.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engines import Engine, Ours, PlainHyperopt, PlainOptuna
from problems import LCBENCH, LEAST, PROBLEMS, MissingError, Problem, load_problem
from results import RESULTS, Results, digest_of, markdown, one_thread, own_code, write_block

from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.values import canonical

TRIALS, BATCH, SEEDS = 50, 5, 20

# Regret below this is as good as none.
FLOOR = 1e-3

# The ratio of two runs of the same method is below this in 99 of 100 cases.
NOISE = 1.36


@dataclass(frozen=True)
class Row:
    """
    One way to search.

    Args:
        make: From a space and a seed.

        ours: Whether it is a strategy of ours; its results depend on our code.

        needs: Packages that it needs.

        goal: What its geometric mean should be at most.

        engine: The row of the engine that it is built on.
    """

    make: Callable[[Problem, int, int, int], Engine]
    ours: bool = True
    needs: tuple[str, ...] = ()
    goal: float | None = None
    engine: str | None = None


def _ours(
    name: str,
    startup: int | None = None,
    *,
    needs: tuple[str, ...] = (),
    goal: float | None = None,
    engine: str | None = None,
) -> Row:
    spec = StrategySpec(name=name, startup_trials=startup)

    def make(problem: Problem, seed: int, trials: int, batch: int) -> Engine:
        return Ours(problem.space, spec, seed=seed, trials=trials, batch=batch)

    return Row(make, needs=needs, goal=goal, engine=engine)


def _optuna(sampler: str, *, needs: tuple[str, ...] = (), **options: Any) -> Row:  # noqa: ANN401
    def make(problem: Problem, seed: int, _trials: int, _batch: int) -> Engine:
        return PlainOptuna(problem.space, sampler, seed=seed, **options)

    return Row(make, ours=False, needs=needs)


def _hyperopt(startup: int) -> Row:
    def make(problem: Problem, seed: int, _trials: int, _batch: int) -> Engine:
        return PlainHyperopt(problem.space, seed=seed, startup=startup)

    return Row(make, ours=False)


ROWS: Mapping[str, Row] = {
    "random": _ours("random"),
    "auto": _ours("auto", needs=("sklearn",), goal=0.08),
    "gp": _ours("gp", needs=("sklearn",), goal=0.10),
    "gp, 10 random": _ours("gp", 10, needs=("sklearn",), goal=0.10),
    "tpe": _ours("tpe"),
    "tpe, 10 random": _ours("tpe", 10, goal=0.37, engine="Optuna TPE"),
    "Optuna TPE": _optuna("TPESampler"),
    "Optuna TPE, 20 random": _optuna("TPESampler", n_startup_trials=20),
    "hyperopt_tpe": _ours("hyperopt_tpe", goal=0.61, engine="HyperOpt TPE"),
    "hyperopt_tpe, 10 random": _ours("hyperopt_tpe", 10, goal=0.61, engine="HyperOpt TPE"),
    "HyperOpt TPE": _hyperopt(20),
    "cmaes": _ours("cmaes", needs=("cmaes",)),
    "qmc": _ours("qmc"),
    "Optuna GP": _optuna("GPSampler", needs=("torch",)),
}


def search(problem: Problem, row: Row, seed: int, *, trials: int, batch: int) -> dict[str, Any]:
    """
    Return the best loss after each batch, what was tried twice, and what it took.
    """
    engine = row.make(problem, seed, trials, batch)
    losses: list[float] = []
    seen: set[str] = set()
    spent = 0.0
    while len(losses) < trials:
        began = time.process_time()
        asked = engine.ask(min(batch, trials - len(losses)))
        spent += time.process_time() - began
        found = [problem.loss(configuration) for configuration in asked]
        seen.update(map(canonical, asked))
        losses += found
        began = time.process_time()
        engine.tell(found)
        spent += time.process_time() - began
    curve = [min(losses[:end]) for end in range(batch, trials + batch, batch)]
    return {
        "curve": [float(f"{loss:.6g}") for loss in curve],
        "repeated": len(losses) - len(seen),
        "ms": round(spent / trials * 1000, 2),
    }


def measure(results: Results, arguments: argparse.Namespace) -> None:
    """
    Run what is asked for and not there yet.
    """
    here = Path(__file__).parent
    files = [here / name for name in ("problems.py", "engines.py", "functions.py")]
    theirs, ours = digest_of(files), digest_of([*files, *own_code("strategies", "model")])
    for name in arguments.problems:
        try:
            problem = load_problem(name, arguments.lcbench)
        except MissingError as error:
            print(f"{name} is left out: {error}", flush=True)
            continue
        for title in arguments.strategies:
            row = ROWS[title]
            missing = [package for package in row.needs if find_spec(package) is None]
            if missing:
                print(f"{title} is left out: {', '.join(missing)} is not installed", flush=True)
                continue
            code = ours if row.ours else theirs
            cell = results.cell([name, title], code, again=arguments.again)
            for seed in range(arguments.seeds):
                if str(seed) not in cell:
                    cell[str(seed)] = search(
                        problem, row, seed, trials=arguments.trials, batch=arguments.batch
                    )
                    results.save()
            bests = _bests(cell)
            print(f"{name:<14}{title:<24}{statistics.median(bests):>12.5g}", flush=True)


def _bests(cell: Mapping[str, Any]) -> list[float]:
    return [one["curve"][-1] for key, one in cell.items() if key != "code"]


@dataclass(frozen=True)
class Report:
    """
    Figures of what was measured.

    Args:
        medians: Of the best loss, by row and problem.

        ratios: Of the median regret to random search's, by row and problem.

        ms: CPU time a suggestion takes, by row; the mean over the problems.

        repeated: How often a configuration was tried twice, by row.

        seeds: How many there were of each row, on each problem at least.
    """

    medians: Mapping[str, Mapping[str, float]]
    ratios: Mapping[str, Mapping[str, float]]
    ms: Mapping[str, float]
    repeated: Mapping[str, int]
    seeds: Mapping[str, int]

    @property
    def means(self) -> dict[str, float]:
        """
        The geometric mean of each row's ratios, where it has them all.
        """
        problems = max(map(len, self.ratios.values()), default=0)
        return {
            row: math.exp(statistics.fmean(map(math.log, found.values())))
            for row, found in self.ratios.items()
            if found and len(found) == problems
        }

    def behind(self, row: str) -> dict[str, float]:
        """
        Return by what factor *row*'s regret is that of the best row, by problem.
        """
        return {
            problem: ratio
            / min(found[problem] for found in self.ratios.values() if problem in found)
            for problem, ratio in self.ratios.get(row, {}).items()
        }


def report(cells: Mapping[str, Any]) -> Report:
    """
    Return the figures of *cells*, by problem and row.
    """
    rows = [row for row in ROWS if any(row in found for found in cells.values())]
    problems = [problem for problem in PROBLEMS if cells.get(problem)]
    medians: dict[str, dict[str, float]] = {row: {} for row in rows}
    ratios: dict[str, dict[str, float]] = {row: {} for row in rows}
    for problem in problems:
        regrets = {}
        for row, cell in cells[problem].items():
            medians[row][problem] = statistics.median(_bests(cell))
            regrets[row] = max(medians[row][problem] - LEAST[problem], FLOOR)
        for row, regret in regrets.items():
            if "random" in regrets:
                ratios[row][problem] = regret / regrets["random"]
    parts = {
        row: [
            one
            for problem in problems
            for key, one in cells[problem].get(row, {}).items()
            if key != "code"
        ]
        for row in rows
    }
    return Report(
        medians,
        ratios,
        {row: statistics.fmean(one["ms"] for one in parts[row]) for row in rows},
        {row: sum(one["repeated"] for one in parts[row]) for row in rows},
        {row: min(len(found[row]) - 1 for found in cells.values() if row in found) for row in rows},
    )


def tables(found: Report) -> str:
    """
    Return the figures as Markdown.
    """
    problems = [name for name in PROBLEMS if any(name in each for each in found.ratios.values())]
    head = ["", *problems, "geometric mean", "goal", "ms a trial", "tried twice", "seeds"]
    body = [
        [
            f"`{row}`" if ROWS[row].ours else row,
            *(_cell(found.ratios[row].get(problem), "{:.3f}") for problem in problems),
            _cell(found.means.get(row), "**{:.3f}**"),
            _cell(ROWS[row].goal, "{:.2f}"),
            f"{found.ms[row]:.1f}",
            str(found.repeated[row]),
            str(found.seeds[row]),
        ]
        for row in found.ratios
    ]
    best = [["median of the best loss", *problems]] + [
        [
            f"`{row}`" if ROWS[row].ours else row,
            *(_cell(found.medians[row].get(problem), "{:.4g}") for problem in problems),
        ]
        for row in found.medians
    ]
    return f"{markdown([head, *body])}\n\n{markdown(best)}"


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def verdict(found: Report) -> list[str]:
    """
    Return in sentences which goals are reached.
    """
    said = [_against(row, goal, found.means) for row in found.means if (goal := ROWS[row].goal)]
    behind = found.behind("auto")
    if behind:
        worst = max(behind, key=lambda problem: behind[problem])
        word = "within" if behind[worst] <= NOISE else "NOT within"
        said.append(
            f"auto is at most {behind[worst]:.2f} times behind the best row (on {worst}): "
            f"{word} the noise of {NOISE}"
        )
    return said


def _against(name: str, goal: float, means: Mapping[str, float]) -> str:
    word = "reached" if means[name] <= goal else "MISSED"
    engine = ROWS[name].engine
    itself = f"; {engine} itself: {means[engine]:.3f}" if engine in means else ""
    return f"{name}: {means[name]:.3f}, goal {goal:.2f}: {word}{itself}"


def main() -> None:
    """
    Measure, and print the tables.
    """
    one_thread()
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--strategies", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many, from 0 on")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--lcbench", type=Path, default=LCBENCH, help="the surrogate's folder")
    parser.add_argument("--json", type=Path, default=RESULTS / "search.json")
    parser.add_argument("--again", action="store_true", help="measure anew what is there")
    parser.add_argument("--report", action="store_true", help="measure nothing, show what is there")
    parser.add_argument("--page", action="store_true", help="write the tables into docs")
    arguments = parser.parse_args()
    protocol = {"trials": arguments.trials, "batch": arguments.batch}
    results = Results(arguments.json, protocol)
    if not arguments.report:
        measure(results, arguments)
    found = report(results.data["cells"])
    text = tables(found)
    print(text, *verdict(found), sep="\n")
    if arguments.page:
        said = "\n".join(f"- {sentence}" for sentence in verdict(found))
        how = f"{arguments.trials} trials in batches of {arguments.batch}; seeds from 0 on."
        where = f"{results.where('benchmarks/search.py')} {how}"
        write_block("search", f"{where}\n\n{text}\n\n{said}")


if __name__ == "__main__":
    main()
