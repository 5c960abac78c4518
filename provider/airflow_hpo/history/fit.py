"""
TRIAL + SPACE -> TRIAL: what of a trial still holds in a space it was not made for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_hpo.model.distribution import Constant
from airflow_hpo.model.stop import to_number
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.model.values import Configuration, Value

if TYPE_CHECKING:
    from airflow_hpo.history.told import Told
    from airflow_hpo.model.objective import Objective
    from airflow_hpo.model.space import Parameter, Space

__all__ = ["MisfitError", "Tally", "fit_configuration", "fit_past", "fit_point", "fit_trial"]


class MisfitError(ValueError):
    """
    Why a trial is left out; its message is the reason, the same for the like.
    """


@dataclass(slots=True)
class Tally:
    """
    How many fit and why the others do not, to be said out loud.

    Args:
        seen: How many were looked at.

        fit: How many of them fit.

        left_out: Trials that do not, by the reason.

        dropped: Trials that lost a value and not more, by the reason.

        filled: Trials that got a parameter's default, by its name.
    """

    seen: int = 0
    fit: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Value]:
        """
        Return it JSON-compatible.
        """
        return {
            "seen": self.seen,
            "fit": self.fit,
            "left_out": dict(self.left_out),
            "dropped": dict(self.dropped),
            "filled": dict(self.filled),
        }

    @classmethod
    def of(cls, data: Mapping[str, Value]) -> Tally:
        """
        Return what `to_dict` made *data* of.
        """
        counters: dict[str, Counter[str]] = {
            name: Counter(data[name]) for name in ("left_out", "dropped", "filled")
        }
        return cls(data["seen"], data["fit"], **counters)

    def words(self) -> list[str]:
        """
        Return what was left out, dropped and filled in, a line each.
        """
        lines = []
        if self.left_out:
            total = sum(self.left_out.values())
            lines.append(f"{_some(total)} left out: {_listed(self.left_out)}")
        lines += (
            f"a value was dropped from {_some(count)}: {reason}"
            for reason, count in self.dropped.items()
        )
        lines += (
            f"{name} was taken to be its default in {_some(count)}"
            for name, count in self.filled.items()
        )
        return lines


def _some(count: int) -> str:
    return f"{count} {'trial' if count == 1 else 'trials'}"


def _listed(reasons: Counter[str]) -> str:
    if len(reasons) == 1:
        return next(iter(reasons))
    return ", ".join(f"{count} ({reason})" for reason, count in reasons.most_common())


def fit_configuration(
    space: Space, values: Configuration, tally: Tally | None = None
) -> dict[str, Value]:
    """
    Return *values* as a configuration of *space*.

    Names that it does not have are dropped, as are values of parameters that
    are not active; a parameter without a value gets its default.

    Raises:
        MisfitError: If a value is outside, or missing, or breaks a constraint.
    """
    found: dict[str, Value] = {}
    filled: list[str] = []
    for parameter in space.sampling_order:
        if parameter.is_active(found):
            found[parameter.name] = _value(parameter, values, filled)
    configuration = {name: found[name] for name in space.by_name if name in found}
    _refuse_broken(space, configuration)
    if tally is not None:
        tally.filled.update(filled)
        tally.dropped.update(_foreign(name) for name in values if name not in space.by_name)
    return configuration


def _foreign(name: str) -> str:
    return f"{name} is no parameter of this space"


def _outside(name: str) -> str:
    return f"{name} is outside its values"


def _refuse_nothing(space: Space, found: Configuration) -> None:
    if not any(parameter.name in found for parameter in space.tunable):
        raise MisfitError("none of its values is in the space")


def _refuse_broken(space: Space, known: Configuration) -> None:
    for expression in space.expressions:
        if expression.names() <= known.keys() and not expression.holds(known.__getitem__):
            raise MisfitError(f"constraint {expression.text!r} does not hold")


def _value(parameter: Parameter, values: Configuration, filled: list[str]) -> Value:
    name, distribution = parameter.name, parameter.distribution
    if name in values:
        if not distribution.contains(values[name]):
            raise MisfitError(_outside(name))
        return distribution.cast(values[name])
    if isinstance(distribution, Constant):
        return distribution.value
    if not parameter.default:
        raise MisfitError(f"{name} has no value")
    filled.append(name)
    return distribution.cast(parameter.default[0])


def fit_point(space: Space, values: Configuration, tally: Tally) -> dict[str, Value] | None:
    """
    Return what of *values* can be tried in *space*; `None` if nothing can.

    What is missing then is sampled, as in any point, so that a value outside
    costs no more than itself.
    """
    found: dict[str, Value] = {}
    dropped: list[str] = []
    for name, value in values.items():
        parameter = space.by_name.get(name)
        if parameter is not None and parameter.distribution.contains(value):
            found[name] = parameter.distribution.cast(value)
        else:
            dropped.append(_foreign(name) if parameter is None else _outside(name))
    tally.seen += 1
    try:
        _refuse_nothing(space, found)
        _refuse_broken(space, space.arrange(found))
    except MisfitError as misfit:
        tally.left_out[str(misfit)] += 1
        return None
    tally.fit += 1
    tally.dropped.update(dropped)
    return found


def fit_trial(
    told: Told, space: Space, objectives: Sequence[Objective], tally: Tally
) -> Trial | None:
    """
    Return the trial that *told* is here, numbered 0; `None` if it is of no use.
    """
    tally.seen += 1
    try:
        state, values = _result(told, objectives)
        configuration = fit_configuration(space, told.configuration, tally)
    except MisfitError as misfit:
        tally.left_out[str(misfit)] += 1
        return None
    tally.fit += 1
    return Trial(
        0,
        configuration,
        state,
        sampler="history",
        values=values,
        metrics=dict(told.metrics),
        resource=told.resource,
    )


_TEACHING = {TrialState.COMPLETE, TrialState.PRUNED, TrialState.INFEASIBLE}


def _result(
    told: Told, objectives: Sequence[Objective]
) -> tuple[TrialState, tuple[float, ...] | None]:
    state = told.state or TrialState.COMPLETE
    if state is TrialState.FAILED:
        raise MisfitError("failed")
    if state not in _TEACHING:
        raise MisfitError("has not ended")
    if state is not TrialState.COMPLETE:
        return state, None
    values: list[float] = []
    for objective in objectives:
        value = told.values.get(objective.metric, to_number(told.metrics.get(objective.metric)))
        if value is None:
            raise MisfitError(f"no value of {objective.metric}")
        values.append(value)
    return state, tuple(values)


def fit_past(
    trials: Iterable[Trial], space: Space, tally: Tally | None = None
) -> tuple[Trial, ...]:
    """
    Return a study's own *trials* as they are in the present *space*.

    One that does not fit keeps its number and its place, but is shown as
    failed: it teaches nothing, and nobody takes its number for a free one.
    """
    tally = Tally() if tally is None else tally
    return tuple(_past(trial, space, tally) for trial in trials)


def _past(trial: Trial, space: Space, tally: Tally) -> Trial:
    tally.seen += 1
    try:
        configuration = fit_configuration(space, trial.configuration, tally)
    except MisfitError as misfit:
        tally.left_out[str(misfit)] += 1
        return replace(trial, state=TrialState.FAILED, values=None, measurements=(), metrics={})
    tally.fit += 1
    return replace(trial, configuration=configuration)
