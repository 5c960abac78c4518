"""
Whether a study asks what its engine would: batch by batch, each in a fresh process.

Each round is a new process with a hash seed of its own, which asks every study
for a batch through a SQLite journal, and tells the losses. The same trials are
then asked for in one process: by Optuna's TPE and HyperOpt's, without our code,
and by our own strategies without a study. All must be the same, and none tried
twice.

    .venv/bin/python benchmarks/parity.py [--strategies ...] [--seeds 3] [--trials 50]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engines import Engine, Ours, PlainHyperopt, optuna_distribution
from results import one_thread

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.trial import Outcome, TrialState
from airflow_hpo.model.values import Configuration, canonical, derive_seed
from airflow_hpo.storage import open_storage
from airflow_hpo.strategies import STRATEGIES
from airflow_hpo.study import Study

BATCH, STARTUP = 5, 10

BLUEPRINT = """
hpo: 1
name: parity
objective: {{metric: loss, direction: minimize}}
space:
  rate: {{float: [1e-5, 1e-1], log: true}}
  x: {{float: [-5, 5]}}
  layers: {{int: [1, 8]}}
  kind: {{choice: [relu, tanh, gelu]}}
strategy: {{name: {name}, seed: {seed}, startup_trials: 10}}
budget: {{trials: {trials}}}
trial: {{command: "true"}}
"""

NAMES = (
    "tpe",
    "hyperopt_tpe",
    "hyperopt_anneal",
    "random",
    "qmc",
    "gp",
    "cmaes",
    "auto",
)


def blueprint_for(name: str, *, seed: int, trials: int) -> Blueprint:
    """
    Return the study of strategy *name*.
    """
    (found,) = parse_blueprints(BLUEPRINT.format(name=name, seed=seed, trials=trials))
    return found


def loss(configuration: Mapping[str, Any]) -> float:
    """
    Return a bowl with a kink.
    """
    kind = {"relu": 0.0, "tanh": 0.3, "gelu": 0.1}[configuration["kind"]]
    return (
        abs(configuration["x"] - 1.5)
        + 0.2 * (configuration["layers"] - 3) ** 2
        + 20 * abs(configuration["rate"] - 0.01)
        + kind
    )


class PlainOptunaTpe:
    """
    Optuna's TPE in one process, given a new sampler with our seed for each trial.

    Args:
        blueprint: The study.

        start: The start-up trials, which are drawn by us.
    """

    def __init__(self, blueprint: Blueprint, start: Sequence[Configuration]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._seed = blueprint.strategy.seed
        self._space = {
            item.name: optuna_distribution(item.distribution) for item in blueprint.space.parameters
        }
        self._study = optuna.create_study()
        for configuration in start:
            self._study.enqueue_trial(dict(configuration))

    def ask(self, count: int) -> Sequence[Configuration]:
        """
        Return the next batch.
        """
        import optuna

        self._asked = []
        for _ in range(count):
            number = len(self._study.trials)
            seed = derive_seed(self._seed or 0, "tpe", number) % 2**32
            self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=0)
            self._asked.append(self._study.ask(self._space))
        return [trial.params for trial in self._asked]

    def tell(self, losses: Sequence[float]) -> None:
        """
        Tell what became of the batch.
        """
        for trial, value in zip(self._asked, losses, strict=True):
            self._study.tell(trial, value)


def engine_for(blueprint: Blueprint, asked: Sequence[Configuration]) -> tuple[str, Engine]:
    """
    Return what a study is compared with, and its name.
    """
    spec, trials = blueprint.strategy, blueprint.budget.trials
    if spec.name == "tpe":
        return "Optuna", PlainOptunaTpe(blueprint, asked[:STARTUP])
    if spec.name == "hyperopt_tpe":
        seed = spec.seed or 0
        return "HyperOpt", PlainHyperopt(blueprint.space, seed=seed, startup=STARTUP)
    ours = Ours(blueprint.space, spec, seed=spec.seed or 0, trials=trials, batch=BATCH)
    return "one process", ours


def direct(engine: Engine, trials: int) -> list[Configuration]:
    """
    Return what *engine* asks for, batch by batch.
    """
    found: list[Configuration] = []
    while len(found) < trials:
        batch = engine.ask(min(BATCH, trials - len(found)))
        engine.tell([loss(configuration) for configuration in batch])
        found += batch
    return found


def ask_round(url: str, names: Sequence[str], *, seeds: int, trials: int, turn: int) -> None:
    """
    Ask each study for a batch, and tell the losses.
    """
    storage = open_storage(url)
    for name in names:
        for seed in range(seeds):
            blueprint = blueprint_for(name, seed=seed, trials=trials)
            study = Study.open(storage, f"{name}-{seed}", blueprint)
            for trial in study.ask(BATCH, key=f"round {turn}"):
                study.start(trial.number, key="1")
                outcome = Outcome(TrialState.COMPLETE, values=(loss(trial.configuration),))
                study.tell(trial.number, outcome, attempt=1)
    storage.close()


def in_processes(
    names: Sequence[str], *, seeds: int, trials: int
) -> dict[tuple[str, int], list[Configuration]]:
    """
    Return what the studies asked for, each round in a process of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/studies.db"
        sizes = ["--seeds", str(seeds), "--trials", str(trials)]
        for turn in range(-(-trials // BATCH)):
            hidden = ["--round", str(turn), "--url", url]
            subprocess.run(
                [sys.executable, __file__, *hidden, *sizes, "--strategies", *names],
                env={**os.environ, "PYTHONHASHSEED": str(turn)},
                check=True,
            )
        storage = open_storage(url)
        found = {
            (name, seed): [trial.configuration for trial in storage.load(f"{name}-{seed}").trials]
            for name in names
            for seed in range(seeds)
        }
        storage.close()
    return found


def compare(name: str, asked: Sequence[Configuration], *, seed: int, trials: int) -> dict[str, Any]:
    """
    Return how many trials of a study were those of its engine, and how many were tried twice.
    """
    title, engine = engine_for(blueprint_for(name, seed=seed, trials=trials), asked)
    wanted = direct(engine, trials)
    same = sum(dict(ours) == dict(theirs) for ours, theirs in zip(asked, wanted, strict=True))
    repeated = len(asked) - len({canonical(configuration) for configuration in asked})
    return {
        "strategy": name,
        "engine": title,
        "seed": seed,
        "trials": trials,
        "same": same,
        "repeated": repeated,
    }


def main() -> None:
    """
    Compare, and print.
    """
    one_thread()
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--strategies", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--round", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = [name for name in given.strategies if _is_installed(name)]
    sizes = {"seeds": given.seeds, "trials": given.trials}
    if given.round is not None:
        ask_round(given.url, names, turn=given.round, **sizes)
        return
    rows = [
        compare(name, asked, seed=seed, trials=given.trials)
        for (name, seed), asked in in_processes(names, **sizes).items()
    ]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    if any(row["same"] < row["trials"] or row["repeated"] for row in rows):
        sys.exit("a study did not ask what its engine does")


def _is_installed(name: str) -> bool:
    extra = STRATEGIES.load(name).support.extra
    return extra is None or find_spec(extra.package) is not None


if __name__ == "__main__":
    main()
