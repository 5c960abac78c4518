"""
Strategies: (space, history) -> suggestions. Pure functions, one file each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_hpo.model.registry import Table
from airflow_hpo.strategies.base import STARTUP_TRIALS, Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.resource import Resource
    from airflow_hpo.model.strategy import Execution, StrategySpec
    from airflow_hpo.model.values import Configuration
    from airflow_hpo.strategies.base import Strategy

__all__ = ["PLANNED", "STRATEGIES", "create_strategy", "setting_for", "setting_of", "strategy_for"]

STRATEGIES = Table(
    kind="strategy",
    entries={
        "auto": "airflow_hpo.strategies.auto:AutoStrategy",
        "random": "airflow_hpo.strategies.random:RandomStrategy",
        "numpy_random": "airflow_hpo.strategies.numpy_random:NumpyRandomStrategy",
        "grid": "airflow_hpo.strategies.grid:GridStrategy",
        "manual": "airflow_hpo.strategies.manual:ManualStrategy",
        "tpe": "airflow_hpo.strategies.tpe:TpeStrategy",
        "cmaes": "airflow_hpo.strategies.cmaes:CmaesStrategy",
        "qmc": "airflow_hpo.strategies.qmc:QmcStrategy",
        "nsga2": "airflow_hpo.strategies.nsga:Nsga2Strategy",
        "nsga3": "airflow_hpo.strategies.nsga:Nsga3Strategy",
        "gp": "airflow_hpo.strategies.gp:GpStrategy",
        "optuna_gp": "airflow_hpo.strategies.optuna_gp:OptunaGpStrategy",
        "hyperopt_tpe": "airflow_hpo.strategies.hyperopt:HyperoptTpeStrategy",
        "hyperopt_random": "airflow_hpo.strategies.hyperopt:HyperoptRandomStrategy",
        "hyperopt_anneal": "airflow_hpo.strategies.hyperopt:HyperoptAnnealStrategy",
        "hyperopt_mix": "airflow_hpo.strategies.hyperopt:HyperoptMixStrategy",
        "halving": "airflow_hpo.strategies.halving:HalvingStrategy",
        "hyperband": "airflow_hpo.strategies.hyperband:HyperbandStrategy",
        "bohb": "airflow_hpo.strategies.bohb:BohbStrategy",
        "asha": "airflow_hpo.strategies.asha:AshaStrategy",
        "pbt": "airflow_hpo.strategies.pbt:PbtStrategy",
    },
    group="airflow_hpo.strategies",
)

# Names of the native dialect whose strategies are not built yet: refused as
# such, rather than as a typing error.
PLANNED: frozenset[str] = frozenset()


def create_strategy(
    spec: StrategySpec, setting: Setting, points: Sequence[Configuration] = ()
) -> Strategy:
    """
    Return the strategy that *spec* names, with its options validated.

    Args:
        spec: Its name and options.

        setting: What it is made from besides.

        points: Configurations tried first; missing values are sampled.

    Raises:
        ValueError: If the name or an option is not known.
    """
    strategy_class = STRATEGIES.load(spec.name)
    options = strategy_class.options_class.model_validate(spec.options)
    if strategy_class.support.multi_fidelity:
        places_points: Strategy = strategy_class(options, replace(setting, points=tuple(points)))
        return places_points
    strategy: Strategy = strategy_class(options, setting)
    if not points:
        return strategy
    from airflow_hpo.strategies.points import PointsFirst

    return PointsFirst(strategy, points)


def strategy_for(blueprint: Blueprint, *, points: Sequence[Configuration] = ()) -> Strategy:
    """
    Return the strategy of *blueprint*, its points tried first and *points* next.

    Raises:
        ValueError: If the name or an option is not known.
    """
    setting = setting_of(blueprint)
    return create_strategy(blueprint.strategy, setting, points=(*blueprint.points, *points))


def setting_of(blueprint: Blueprint) -> Setting:
    """
    Return what the strategy of *blueprint* is made from.
    """
    return setting_for(
        blueprint.strategy,
        objectives=blueprint.objectives,
        trials=blueprint.budget.trials,
        execution=blueprint.execution,
        resource=blueprint.resource,
        outcome_constraints=blueprint.outcome_constraints,
    )


def setting_for(
    spec: StrategySpec,
    *,
    objectives: tuple[Objective, ...],
    trials: int,
    execution: Execution,
    resource: Resource | None = None,
    outcome_constraints: tuple[str, ...] = (),
) -> Setting:
    """
    Return what the strategy that *spec* names is made from.
    """
    given = spec.startup_trials
    return Setting(
        objectives=objectives,
        trials=trials,
        startup_trials=STARTUP_TRIALS if given is None else given,
        startup_given=given is not None,
        together=execution.batch_size
        if execution.mode == "batch"
        else execution.concurrency or execution.batch_size,
        resource=resource,
        outcome_constraints=outcome_constraints,
    )
