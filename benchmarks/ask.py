"""
How long an ask takes in short and long studies, beside the same engine used directly.

Each is asked for a batch by a study of six parameters with so many finished
trials, and nothing in its caches, as the task of a new round is:

* **ours**: `Study.ask` with a journal in a SQLite file: read, suggest, write;
  and of that, how long the strategy alone takes.
* **memory**: Optuna's study in memory, whose sampler was asked before.
* **sqlite**: Optuna's study in its own SQLite file, loaded and asked.

    .venv/bin/python benchmarks/ask.py [--trials 50 100 1000 5000 10000] [--batches 5 64]

The figures are the least of some turns (fewer where they take seconds), in
milliseconds, wall clock and CPU.
Filling Optuna's file takes minutes for long studies; ``--sqlite-trials`` limits it.
"""

from __future__ import annotations

import argparse
import gc
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engines import optuna_distribution
from results import RESULTS, Results, digest_of, markdown, one_thread, own_code, write_block

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.trial import Outcome, Suggestion, Trial, TrialState
from airflow_hpo.model.values import Configuration
from airflow_hpo.storage import open_storage
from airflow_hpo.strategies import strategy_for
from airflow_hpo.study import Study

TRIALS, BATCHES = (50, 100, 1_000, 5_000, 10_000), (5, 64)

SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler"}

BLUEPRINT = """
hpo: 1
name: asked
objective: {{metric: loss, direction: minimize}}
space:
  rate: {{float: [1e-5, 1e-1], log: true}}
  drop: {{float: [0.0, 0.9]}}
  hidden: {{int: [4, 512], log: true}}
  layers: {{int: [1, 8]}}
  kind: {{choice: [relu, tanh, gelu]}}
  decay: {{float: [0.0, 0.1]}}
strategy: {{name: {name}, seed: 1, startup_trials: 10}}
budget: {{trials: 100000}}
trial: {{command: "true"}}
"""


_UNITS = (
    "Milliseconds of wall clock, in parentheses of CPU; the ratio to memory compares CPU times, "
    "the one to SQLite wall clocks. The last column compares what reading and writing adds to "
    "the engine's own CPU time: SQLite less memory, over ours less the strategy."
)

# What took so many seconds of CPU in all is not measured once more.
_ENOUGH_S = 5.0


def blueprint_for(name: str) -> Blueprint:
    """
    Return the study with strategy *name*.
    """
    (found,) = parse_blueprints(BLUEPRINT.format(name=name))
    return found


def history(blueprint: Blueprint, count: int) -> list[tuple[Configuration, float]]:
    """
    Return *count* configurations with a loss.
    """
    spec = blueprint.strategy.model_copy(update={"name": "random"})
    drawn = strategy_for(blueprint.model_copy(update={"strategy": spec}))
    rng = random.Random(0)
    found = drawn.suggest(blueprint.space, [], count, seed=0)
    return [(suggestion.configuration, rng.random()) for suggestion in found]


def least(prepare: Callable[[], Callable[[], object]], turns: int) -> tuple[float, float]:
    """
    Return the least wall clock and CPU time of what *prepare* returns, in milliseconds.
    """
    found: list[tuple[float, float]] = []
    while len(found) < turns and sum(cpu for _, cpu in found) < _ENOUGH_S:
        run = prepare()
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    walls, cpus = zip(*found, strict=True)
    return round(min(walls) * 1000, 2), round(min(cpus) * 1000, 2)


class OurJournal:
    """
    A study of ours with a history, in a file that is copied for each turn.
    """

    def __init__(self, blueprint: Blueprint, past: Sequence[Any], folder: Path) -> None:
        self._blueprint, self._folder = blueprint, folder
        self._file = folder / f"ours-{len(past)}.db"
        storage = open_storage(f"sqlite:///{self._file}")
        study = Study.open(storage, "asked", blueprint)
        suggestions = [Suggestion(configuration, "random") for configuration, _ in past]
        storage.append(study.name, "past", lambda _: suggestions)
        for number, (_, loss) in enumerate(past):
            study.start(number, key="1")
            outcome = Outcome(TrialState.COMPLETE, values=(loss,), metrics={"loss": loss})
            study.tell(number, outcome, attempt=1)
        storage.close()

    def ask(self, count: int) -> Callable[[], object]:
        """
        Return an ask of a fresh copy.
        """
        copy = self._folder / "turn.db"
        shutil.copy(self._file, copy)

        def run() -> None:
            storage = open_storage(f"sqlite:///{copy}")
            assert len(Study(storage, "asked", self._blueprint).ask(count, key="now")) == count
            storage.close()

        return run


def strategy_alone(blueprint: Blueprint, past: Sequence[Any], count: int) -> Callable[[], object]:
    """
    Return an ask of the strategy, the history at hand.
    """
    trials = [
        Trial(number, configuration, TrialState.COMPLETE, values=(loss,), metrics={"loss": loss})
        for number, (configuration, loss) in enumerate(past)
    ]
    strategy = strategy_for(blueprint)
    return lambda: strategy.suggest(blueprint.space, trials, count, seed=1)


class Optuna:
    """
    The same study in Optuna.
    """

    def __init__(self, blueprint: Blueprint, past: Sequence[Any]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._sampler = getattr(optuna.samplers, SAMPLERS[blueprint.strategy.name])
        self._space = {
            parameter.name: optuna_distribution(parameter.distribution)
            for parameter in blueprint.space.parameters
        }
        self._trials = [
            optuna.trial.create_trial(
                params=dict(configuration), distributions=self._space, values=[loss]
            )
            for configuration, loss in past
        ]

    def in_memory(self, count: int) -> Callable[[], object]:
        """
        Return an ask of a study in memory, which was asked once before.
        """
        import optuna

        study = optuna.create_study(sampler=self._sampler(seed=1))
        study.add_trials(self._trials)
        study.tell(study.ask(self._space), 1.0)
        return lambda: [study.ask(self._space) for _ in range(count)]

    def in_file(self, folder: Path) -> Callable[[int], Callable[[], object]]:
        """
        Return what makes an ask of a study in a file, loaded anew.
        """
        import optuna

        file, copy = folder / f"optuna-{len(self._trials)}.db", folder / "optuna-turn.db"
        storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
        optuna.create_study(storage=storage, study_name="asked").add_trials(self._trials)
        storage.engine.dispose()

        def prepare(count: int) -> Callable[[], object]:
            shutil.copy(file, copy)
            return lambda: self._ask_file(copy, count)

        return prepare

    def _ask_file(self, file: Path, count: int) -> None:
        import optuna

        storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
        study = optuna.load_study(
            study_name="asked", storage=storage, sampler=self._sampler(seed=1)
        )
        for _ in range(count):
            study.ask(self._space)
        storage.engine.dispose()


def measure(
    blueprint: Blueprint, trials: int, batches: Sequence[int], *, sqlite: bool, turns: int
) -> dict[str, dict[str, tuple[float, float]]]:
    """
    Return the times of each way to ask, by batch.
    """
    past = history(blueprint, trials)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal, plain = OurJournal(blueprint, past, folder), Optuna(blueprint, past)
        in_file = plain.in_file(folder) if sqlite else None
        for batch in batches:
            ways: dict[str, Callable[[], Callable[[], object]]] = {
                "memory": lambda: plain.in_memory(batch),  # noqa: B023 - called at once
                "strategy": lambda: strategy_alone(blueprint, past, batch),  # noqa: B023
                "ours": lambda: journal.ask(batch),  # noqa: B023
            }
            if in_file is not None:
                ways["sqlite"] = lambda: in_file(batch)  # noqa: B023
            found[str(batch)] = {way: least(prepare, turns) for way, prepare in ways.items()}
    return found


def table(cells: Mapping[str, Any]) -> str:
    """
    Return the figures as Markdown.
    """
    rows = [
        [
            "strategy",
            "finished trials",
            "batch",
            "ours, all in all",
            "the strategy alone",
            "Optuna in memory",
            "Optuna through SQLite",
            "strategy ÷ memory",
            "SQLite ÷ ours",
            "storage ÷ storage",
        ]
    ]
    for name, by_trials in cells.items():
        for trials, cell in sorted(by_trials.items(), key=lambda item: int(item[0])):
            for batch, ways in cell["batches"].items():
                rows.append([f"`{name}`", trials, batch, *_cells(ways)])
    return markdown(rows)


def _cells(ways: Mapping[str, Sequence[float]]) -> list[str]:
    shown = [
        f"{ways[way][0]:.0f} ({ways[way][1]:.0f})" if way in ways else ""
        for way in ("ours", "strategy", "memory", "sqlite")
    ]
    # CPU against CPU where nothing waits; through files, what waiting costs counts.
    strategy = f"{ways['strategy'][1] / ways['memory'][1]:.2f}"
    file = f"{ways['sqlite'][0] / ways['ours'][0]:.1f}" if "sqlite" in ways else ""
    return [*shown, strategy, file, _storage(ways)]


def _storage(ways: Mapping[str, Sequence[float]]) -> str:
    """
    Return how much less our storage takes, beside the same engine's work.
    """
    if "sqlite" not in ways:
        return ""
    theirs = ways["sqlite"][1] - ways["memory"][1]
    return f"{theirs / max(ways['ours'][1] - ways['strategy'][1], 1.0):.0f}"


def main() -> None:
    """
    Measure, and print the table.
    """
    one_thread()
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--strategies", nargs="+", choices=list(SAMPLERS), default=list(SAMPLERS))
    parser.add_argument("--trials", type=int, nargs="+", default=list(TRIALS))
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--sqlite-trials", type=int, default=1_000, help="no longer in SQLite")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", type=Path, default=RESULTS / "ask.json")
    parser.add_argument("--again", action="store_true", help="measure anew what is there")
    parser.add_argument("--report", action="store_true", help="measure nothing, show what is there")
    parser.add_argument("--page", action="store_true", help="write the table into docs")
    arguments = parser.parse_args()
    results = Results(arguments.json, {"batches": arguments.batches})
    if not arguments.report:
        measure_all(results, arguments)
    print(table(results.data["cells"]))
    if arguments.page:
        text = f"{results.where('benchmarks/ask.py')} {_UNITS}"
        write_block("ask", f"{text}\n\n{table(results.data['cells'])}")


def measure_all(results: Results, arguments: argparse.Namespace) -> None:
    """
    Run what is asked for and not there yet.
    """
    code = digest_of([Path(__file__), *own_code("strategies", "storage", "model")])
    for name in arguments.strategies:
        for trials in arguments.trials:
            cell = results.cell([name, str(trials)], code, again=arguments.again)
            if "batches" not in cell:
                cell["batches"] = measure(
                    blueprint_for(name),
                    trials,
                    arguments.batches,
                    sqlite=trials <= arguments.sqlite_trials,
                    turns=arguments.turns,
                )
            results.save()
            print(name, trials, cell["batches"], flush=True)


if __name__ == "__main__":
    main()
