"""
Checks of a blueprint as a whole: what its parts mean together.

Every dialect reads its file into a `Draft`; what is checked here is the same
for all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks.dag import check_dag, check_study_template
from airflow_hpo.blueprint.checks.draft import Draft
from airflow_hpo.blueprint.checks.objectives import check_objectives
from airflow_hpo.blueprint.checks.outcomes import check_outcomes
from airflow_hpo.blueprint.checks.placement import check_executor_configs, check_gpus
from airflow_hpo.blueprint.checks.points import check_points
from airflow_hpo.blueprint.checks.pruner import check_pruner
from airflow_hpo.blueprint.checks.resource import check_execution, check_resource, is_ladder
from airflow_hpo.blueprint.checks.space import check_space, warn_of_steps
from airflow_hpo.blueprint.checks.stop import check_stop
from airflow_hpo.blueprint.checks.strategy import check_strategy
from airflow_hpo.blueprint.checks.trial import check_trial
from airflow_hpo.blueprint.checks.warm_start import check_warm_start
from airflow_hpo.model.blueprint import Blueprint, Source

if TYPE_CHECKING:
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.space import Space

__all__ = ["Draft", "complete"]


def complete(draft: Draft, problems: Problems, source: Source) -> Blueprint | None:
    """
    Check *draft* as a whole and return it as a blueprint.

    Args:
        draft: What was read.

        problems: Gets everything that is wrong, on top of what is in it.

        source: Where it came from.

    Returns:
        The blueprint, or `None` where there are errors.
    """
    check_objectives(draft, problems)
    space = check_space(draft, problems)
    check_points(draft, space, problems)
    check_strategy(draft, space, problems)
    check_outcomes(draft, problems)
    check_warm_start(draft, source, problems)
    check_pruner(draft, problems)
    check_stop(draft, problems)
    draft.folder = _folder(draft, source)
    check_trial(draft, problems)
    check_resource(draft, problems)
    check_gpus(draft, problems)
    check_execution(draft, problems)
    check_dag(draft, problems)
    check_executor_configs(draft, problems)
    check_study_template(draft, problems)
    if problems.warnings_wanted:
        warn_of_steps(draft, problems)
        _warn_of_rounds(draft, problems)
    if problems.errors or space is None:
        return None
    return _blueprint(draft, space, source)


def _folder(draft: Draft, source: Source) -> Path | None:
    """
    Return the folder that commands start in; `None` for a blueprint that is no file.
    """
    if draft.trial is None or not source.file or source.file.startswith("<"):
        return None
    return Path(source.file).absolute().parent / (draft.trial.workdir or ".")


def _warn_of_rounds(draft: Draft, problems: Problems) -> None:
    execution, budget = draft.execution, draft.budget
    if execution is None or budget is None:
        return
    given = execution.model_fields_set
    size = execution.batch_size
    if "batch_size" in given and size > budget.trials:
        message = f"should not exceed budget.trials, got {size} for {budget.trials} trials"
        problems.warn(("execution", "batch_size"), message)
    concurrency = execution.concurrency
    in_rounds = execution.mode == "batch" and not is_ladder(draft)
    if concurrency is not None and in_rounds and concurrency > size:
        message = f"should not exceed the batch size of {size}, got {concurrency}"
        problems.warn(("execution", "concurrency"), message)


def _blueprint(draft: Draft, space: Space, source: Source) -> Blueprint:
    parts = {
        "pruner": draft.pruner,
        "resource": draft.resource,
        "study": draft.study,
        "warm_start": draft.warm_start,
        "strategy": draft.strategy,
        "execution": draft.execution,
        "dag": draft.dag,
        "callbacks": draft.callbacks,
    }
    return Blueprint(
        name=draft.name,
        description=draft.description,
        objectives=draft.objectives,
        space=space,
        outcome_constraints=tuple(draft.outcome_constraints.values()),
        points=tuple(draft.points.values()),
        budget=draft.budget,
        stop=tuple(draft.stop.values()),
        trial=draft.trial,
        source=source,
        **{name: part for name, part in parts.items() if part is not None},
    )
