"""
Checks of the strategy: name, options, and whether it fits the space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.checks.named import check_options, load_named
from airflow_hpo.strategies import PLANNED, STRATEGIES, setting_for
from airflow_hpo.strategies.support import able_to, unsupported

if TYPE_CHECKING:
    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.space import Space

__all__ = ["check_strategy"]


# What other tools call their strategies.
_ELSEWHERE = {
    "atpe": "hyperopt's adaptive TPE is not built in: write hyperopt_tpe",
    "hyperoptatpe": "hyperopt's adaptive TPE is not built in: write hyperopt_tpe",
    "bayes": "write gp or tpe",
    "bayesian": "write gp or tpe",
    "bo": "write gp",
    "bruteforce": "write grid, with options: {order: shuffled} for Optuna's order of chance",
    "cmaessampler": "write cmaes",
    "gpsampler": "write optuna_gp, or gp, which needs no torch",
    "gridsearch": "write grid",
    "halton": "write qmc, with options: {sequence: halton}",
    "hyperopt": "write hyperopt_tpe",
    "nsga": "write nsga2",
    "nsgaii": "write nsga2",
    "nsgaiii": "write nsga3",
    "optuna": "write tpe",
    "randomsearch": "write random",
    "sobol": "write qmc",
    "tpesampler": "write tpe",
}


def check_strategy(draft: Draft, space: Space | None, problems: Problems) -> None:
    """
    Note why the strategy cannot be used as it is asked for.
    """
    spec = draft.strategy
    if spec is None:
        return
    strategy_class = load_named(
        spec.name,
        table=STRATEGIES,
        planned=PLANNED,
        path=("strategy", "name"),
        problems=problems,
        elsewhere=_ELSEWHERE,
    )
    if strategy_class is None:
        return
    before = problems.errors
    options = check_options(
        strategy_class.options_class,
        spec.options,
        path=("strategy", "options"),
        problems=problems,
    )
    if space is None or draft.execution is None:
        return
    reasons = unsupported(
        spec.name, space=space, objectives=draft.objectives, mode=draft.execution.mode
    )
    for reason in reasons:
        hint = strategy_class.support.note or None
        if "without batches" in reason:
            ladders = set(able_to("multi_fidelity"))
            names = [name for name in able_to("asynchronous") if name in ladders]
            hint = f"these promote without waiting: {', '.join(names)}" if names else hint
        if "several objectives" in reason:
            hint = f"these can: {', '.join(able_to('multi_objective'))}"
        problems.error(("strategy", "name"), reason, hint=hint)
    if options is not None and draft.budget is not None and problems.errors == before:
        setting = setting_for(
            spec,
            objectives=draft.objectives,
            trials=draft.budget.trials,
            execution=draft.execution,
            resource=draft.resource,
            outcome_constraints=tuple(draft.outcome_constraints.values()),
        )
        _check_fit(strategy_class(options, setting), draft, space, problems)


def _check_fit(strategy: Any, draft: Draft, space: Space, problems: Problems) -> None:  # noqa: ANN401
    """
    Let *strategy* itself say what is wrong, and how many trials it can make.
    """
    for problem in getattr(strategy, "problems", lambda _: ())(space):
        parts = (int(part) if part.isdecimal() else part for part in problem.path.split("."))
        path = tuple(parts)
        if not problems.touches(path):  # what was refused is not missing
            problems.error(path, problem.message, hint=problem.hint)
    if problems.errors or not problems.warnings_wanted or draft.budget is None:
        return
    # What a ladder leaves of the budget, the plan says.
    limit = None if strategy.support.multi_fidelity else strategy.limit(space)
    if limit is not None and limit < draft.budget.trials:
        message = f"is capped to the number of configurations, {limit}, got {draft.budget.trials}"
        problems.warn(("budget", "trials"), message)
    spec = draft.strategy
    startup = None if spec is None else spec.startup_trials
    if startup is None or not strategy.support.startup:
        return
    if startup >= draft.budget.trials:
        problems.warn(
            ("strategy", "startup_trials"),
            f"leaves all {draft.budget.trials} trials random, got {startup}",
        )
