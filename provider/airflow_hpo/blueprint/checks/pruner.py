"""
Checks of the pruner: name, options, and whether anything could be pruned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks.named import check_options, load_named
from airflow_hpo.pruners import PRUNERS
from airflow_hpo.strategies import STRATEGIES

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["check_pruner"]


def check_pruner(draft: Draft, problems: Problems) -> None:
    """
    Note why the pruner cannot be used as it is asked for.
    """
    spec = draft.pruner
    if spec is None:
        return
    pruner_class = load_named(
        spec.name, table=PRUNERS, planned=(), path=("pruner", "name"), problems=problems
    )
    if pruner_class is not None:
        check_options(pruner_class.options_class, spec.options, path=("pruner",), problems=problems)
    if len(draft.objectives) > 1:
        message = f"must have one objective to judge by, got {len(draft.objectives)}"
        hint = "leave the pruner out, or end trials in your own code"
        problems.error(("pruner",), message, hint=hint, at_key=True)
    _check_strategy(draft, problems)
    trial = draft.trial
    if trial is not None and trial.runner.name == "inline":
        message = "must have trials that can be ended, got the runner inline"
        hint = "write runner: subprocess, with a command"
        problems.error(("pruner",), message, hint=hint, at_key=True)


def _check_strategy(draft: Draft, problems: Problems) -> None:
    name = "" if draft.strategy is None else draft.strategy.name
    if name not in STRATEGIES.entries:
        return  # whatever is wrong with it was said elsewhere
    if STRATEGIES.load(name).support.multi_fidelity:
        message = f"must not stand beside strategy {name}, which itself decides who goes on"
        hint = "leave the pruner out, or choose a strategy such as tpe"
        problems.error(("pruner",), message, hint=hint, at_key=True)
