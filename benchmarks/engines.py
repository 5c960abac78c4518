"""
Searching by asking and telling: our strategies, and the engines that they are built on.

Those are used as their own documentation says, without any of our code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from airflow_hpo.model.blueprint import StrategySpec
from airflow_hpo.model.distribution import Categorical, Distribution, Float, Int
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.space import Space
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.model.values import Configuration
from airflow_hpo.strategies import create_strategy
from airflow_hpo.strategies.base import STARTUP_TRIALS, Setting

__all__ = ["Engine", "Ours", "PlainHyperopt", "PlainOptuna", "optuna_distribution"]

OBJECTIVES = (Objective(metric="loss", direction="minimize"),)


class Engine(Protocol):
    """
    Proposes configurations, and learns their losses.
    """

    def ask(self, count: int) -> Sequence[Configuration]:
        """
        Return the next batch.
        """

    def tell(self, losses: Sequence[float]) -> None:
        """
        Tell what became of the batch, in the same order.
        """


class Ours:
    """
    A strategy of ours. It is made anew for each batch, as in a task of its own.

    Args:
        space: What is searched.

        spec: The strategy.

        seed: The study's.

        trials: The budget.

        batch: How many are asked for together.
    """

    def __init__(
        self, space: Space, spec: StrategySpec, *, seed: int, trials: int, batch: int
    ) -> None:
        startup = spec.startup_trials
        self.trials: list[Trial] = []
        self._space, self._spec, self._seed = space, spec, seed
        self._setting = Setting(
            objectives=OBJECTIVES,
            trials=trials,
            startup_trials=STARTUP_TRIALS if startup is None else startup,
            startup_given=startup is not None,
            together=batch,
        )

    def ask(self, count: int) -> Sequence[Configuration]:
        """
        Return the next batch.
        """
        strategy = create_strategy(self._spec, self._setting)
        self._asked = strategy.suggest(self._space, self.trials, count, seed=self._seed)
        return [suggestion.configuration for suggestion in self._asked]

    def tell(self, losses: Sequence[float]) -> None:
        """
        Tell what became of the batch.
        """
        for suggestion, loss in zip(self._asked, losses, strict=True):
            self.trials.append(
                Trial(
                    len(self.trials),
                    suggestion.configuration,
                    TrialState.COMPLETE,
                    values=(loss,),
                    sampler=suggestion.sampler,
                    labels=suggestion.labels,
                )
            )


class PlainOptuna:
    """
    A study of Optuna's in memory, with one sampler for all of it.

    Args:
        space: What is searched.

        sampler: The name of the sampler's class.

        seed: The sampler's.

        options: More of the sampler's own.
    """

    def __init__(self, space: Space, sampler: str, *, seed: int, **options: Any) -> None:  # noqa: ANN401
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        made = getattr(optuna.samplers, sampler)(seed=seed, **options)
        self._study = optuna.create_study(sampler=made)
        self._distributions = {
            parameter.name: optuna_distribution(parameter.distribution)
            for parameter in space.parameters
        }

    def ask(self, count: int) -> Sequence[Configuration]:
        """
        Return the next batch.
        """
        self._asked = [self._study.ask(self._distributions) for _ in range(count)]
        return [trial.params for trial in self._asked]

    def tell(self, losses: Sequence[float]) -> None:
        """
        Tell what became of the batch.
        """
        for trial, loss in zip(self._asked, losses, strict=True):
            self._study.tell(trial, loss)


def optuna_distribution(distribution: Distribution) -> Any:  # noqa: ANN401
    """
    Return what *distribution* is in Optuna.
    """
    from optuna import distributions as theirs

    match distribution:
        case Float(low=low, high=high, log=log, step=step):
            return theirs.FloatDistribution(low, high, log=log, step=step)
        case Int(low=low, high=high, log=log, step=step):
            return theirs.IntDistribution(low, high, log=log, step=step or 1)
        case Categorical(choices=choices):
            return theirs.CategoricalDistribution(choices)
    raise TypeError(f"must be a float, an int or a choice, got {distribution!r}")


class PlainHyperopt:
    """
    HyperOpt's `tpe.suggest`, called once for each trial.

    Earlier members of a batch are inserted before the next one is asked for,
    so that it knows of them.

    Args:
        space: What is searched.

        seed: As given to `fmin`.

        startup: How many first trials are random.
    """

    def __init__(self, space: Space, *, seed: int, startup: int = 20) -> None:
        import hyperopt
        import numpy as np

        self._space = space
        self._startup = startup
        self._rng = np.random.default_rng(seed)
        self._trials = hyperopt.Trials()
        expressions = {
            parameter.name: _expression(parameter.name, parameter.distribution)
            for parameter in space.parameters
        }
        self._domain = hyperopt.base.Domain(lambda _: 0.0, expressions)

    def ask(self, count: int) -> Sequence[Configuration]:
        """
        Return the next batch.
        """
        from hyperopt import tpe

        self._asked = []
        for _ in range(count):
            numbers = self._trials.new_trial_ids(1)
            self._trials.refresh()
            (document,) = tpe.suggest(
                numbers,
                self._domain,
                self._trials,
                int(self._rng.integers(2**31 - 1)),
                n_startup_jobs=self._startup,
            )
            self._trials.insert_trial_docs([document])
            self._trials.refresh()
            self._asked.append(self._trials._dynamic_trials[-1])  # noqa: SLF001 - inserted above
        return [self._configuration(document["misc"]["vals"]) for document in self._asked]

    def tell(self, losses: Sequence[float]) -> None:
        """
        Tell what became of the batch.
        """
        import hyperopt

        for document, loss in zip(self._asked, losses, strict=True):
            document["state"] = hyperopt.JOB_STATE_DONE
            document["result"] = {"status": hyperopt.STATUS_OK, "loss": loss}
        self._trials.refresh()

    def _configuration(self, values: Mapping[str, Sequence[Any]]) -> Configuration:
        return {
            parameter.name: _read(parameter.distribution, values[parameter.name][0])
            for parameter in self._space.parameters
        }


def _expression(name: str, distribution: Distribution) -> Any:  # noqa: ANN401
    from hyperopt import hp

    match distribution:
        case Float(low=low, high=high, log=True):
            return hp.loguniform(name, math.log(low), math.log(high))
        case Float(low=low, high=high):
            return hp.uniform(name, low, high)
        case Int(low=low, high=high, log=True):
            return hp.qloguniform(name, math.log(low - 0.5), math.log(high + 0.5), 1)
        case Int(low=low, high=high):
            return hp.uniformint(name, low, high)
        case Categorical(choices=choices):
            return hp.choice(name, list(range(len(choices))))
    raise TypeError(f"must be a float, an int or a choice, got {distribution!r}")


def _read(distribution: Distribution, value: Any) -> Any:  # noqa: ANN401
    match distribution:
        case Float():
            return float(value)
        case Int(low=low, high=high):
            return min(max(round(float(value)), low), high)
        case Categorical(choices=choices):
            return choices[int(value)]
    return value
