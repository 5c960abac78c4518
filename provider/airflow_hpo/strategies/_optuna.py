"""
Optuna's samplers, shown our history in memory.

Imported where an engine is needed and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import optuna  # noqa: TID253 - see above
from optuna.distributions import (  # noqa: TID253 - see above
    BaseDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState  # noqa: TID253 - see above

from airflow_hpo.model.objective import Objective
from airflow_hpo.model.outcomes import Outcomes
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Trial
from airflow_hpo.model.values import Configuration, Value
from airflow_hpo.strategies._dimensions import dimension_of
from airflow_hpo.strategies._lattice import axis_of
from airflow_hpo.strategies._lessons import Lesson, lesson_of
from airflow_hpo.strategies._optuna_memory import Memory, frozen, quiet

__all__ = ["ConstraintNotes", "Notes", "OptunaModel"]

_INFEASIBLE = "infeasible"


class Notes:
    """
    What a sampler notes with trials; this one notes nothing.

    Optuna keeps it in the study's storage. We make the study anew for each ask,
    and keep as labels of our trials what it takes to write the same notes
    again. What trials of other strategies lack must do no harm.

    Attributes:
        infeasible_loss: Shown for a trial that has no value; `None` for the worst.

        crowds_out:
            Whether infeasible trials are held back where they would outnumber
            the others by far.
    """

    infeasible_loss: ClassVar[float | None] = None
    crowds_out: ClassVar[bool] = True
    keeps: ClassVar[bool] = False

    def trial_attrs(self, trial: Trial) -> dict[str, Any]:
        """
        Return what is noted with *trial*.
        """
        del trial
        return {}

    def restore(self, memory: Memory, trials: Sequence[Trial]) -> None:
        """
        Add the notes that take the whole history to *memory*.
        """

    def labels(self, memory: Memory, asked: FrozenTrial, *, chosen: bool) -> dict[str, Value]:
        """
        Return what must be kept with the trial that the sampler was *asked* for.

        It is not what the sampler proposed where that was not *chosen*.
        """
        del memory, asked, chosen
        return {}


class ConstraintNotes(Notes):
    """
    Says of every trial whether it is feasible, once one is not.
    """

    crowds_out: ClassVar[bool] = False

    def restore(self, memory: Memory, trials: Sequence[Trial]) -> None:
        """
        Show the constraint as satisfied by all that have a value.
        """
        del trials
        complete = [trial for trial in memory.shown if trial.state is TrialState.COMPLETE]
        known = [trial.constraints for trial in complete]
        farthest: dict[str, float] = {}
        for key in sorted({key for constraints in known for key in constraints}):
            farthest[key] = max(constraints[key] for constraints in known if key in constraints)
        for trial, own in zip(complete, known, strict=True):
            feasible = _INFEASIBLE not in own
            for attr in [attr for attr in trial.system_attrs if attr.startswith("constraints:")]:
                del trial.system_attrs[attr]
            for key, value in farthest.items():  # in one order for all
                trial.set_constraint(key, own.get(key, -1.0 if feasible else value))


class OptunaModel:
    """
    One of Optuna's samplers that has seen a history.

    Waiting, running and paused trials are shown as running. An infeasible one
    is shown as complete with a violated constraint, which Optuna ranks behind
    everything that has a value: so the sampler learns to stay away, whereas
    a failed trial would be passed over. Of another space's trials none is
    shown.

    Args:
        space: What is searched.

        objectives: What is optimised.

        trials: The history.

        outcomes: Which trials are feasible; all by default.

        make_sampler: Makes the sampler from a seed below 2^32.

        notes: What the sampler has to find again with earlier trials.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        trials: Sequence[Trial],
        *,
        make_sampler: Callable[[int], optuna.samplers.BaseSampler],
        outcomes: Outcomes | None = None,
        notes: Notes | None = None,
    ) -> None:
        self._space = space
        self._objectives = objectives
        self._outcomes = outcomes
        self._make_sampler = make_sampler
        self._notes = notes or Notes()
        found = {
            parameter.name: dimension_of(parameter.distribution) for parameter in space.parameters
        }
        self._dimensions = {name: item for name, item in found.items() if item is not None}
        self._always = {name for name in self._dimensions if not space.by_name[name].when}
        self._distributions = {name: item.distribution for name, item in self._dimensions.items()}
        self._memory = Memory(keeps=self._notes.keeps)
        # A target has no direction: its loss is shown, to be minimised.
        maximised = [objective.direction == "maximize" for objective in objectives]
        self._memory.signs = tuple(-1 if each else 1 for each in maximised)
        self._farthest = 0.0
        lessons = [(trial, self._lesson(trial)) for trial in trials]
        self._worst = self._worst_losses([lesson for _, lesson in lessons if lesson])
        self._show(lessons)
        self._notes.restore(self._memory, trials)
        self.teaches = any(_is_useful(trial) for trial in self._memory.shown)
        with quiet():
            self._study = optuna.create_study(
                storage=self._memory,
                directions=["maximize" if each else "minimize" for each in maximised],
            )

    def propose(self, seed: int) -> Configuration:
        """
        Return what the sampler makes of *seed*, allowed or not.
        """
        found: dict[str, Value] = {}
        with quiet():
            self._study.sampler = self._make_sampler(seed % 2**32)
            trial = self._study.ask()
            for parameter in self._space.sampling_order:
                if parameter.is_active(found):
                    found[parameter.name] = self._value(trial, parameter)
        return self._space.arrange(found)

    def settle(self, trial: Trial) -> None:
        """
        Forget what was proposed since, and show *trial*, which waits.

        What was proposed and not accepted stayed in sight as running until
        now, so that the sampler would try elsewhere.
        """
        del self._memory.shown[len(self._memory.numbers) :]
        self._show([(trial, self._lesson(trial))])

    @property
    def common(self) -> dict[str, BaseDistribution]:
        """
        What all shown trials have in common, by name; none where a space has conditions.

        Optuna finds it by comparing all of them.
        """
        if not self.teaches or len(self._always) < len(self._dimensions):
            return {}
        return dict(sorted(self._distributions.items()))

    def labels(self, *, chosen: bool) -> dict[str, Value]:
        """
        Return what is to be kept with the trial that was asked for last.
        """
        return self._notes.labels(self._memory, self._memory.shown[-1], chosen=chosen)

    def _value(self, trial: optuna.Trial, parameter: Parameter) -> Value:
        dimension = self._dimensions.get(parameter.name)
        if dimension is None:
            axis = axis_of(parameter.distribution)
            return None if axis is None else axis.value(0)
        return dimension.read(_suggested(trial, parameter.name, dimension.distribution))

    def _show(self, lessons: Sequence[tuple[Trial, Lesson | None]]) -> None:
        if lessons:
            self._memory.next_number = lessons[-1][0].number + 1
        surplus = 0
        if self._notes.crowds_out:
            surplus = _surplus([lesson for _, lesson in lessons if lesson])
        for trial, lesson in lessons:
            if lesson is None:
                continue
            if lesson.kind == "infeasible" and surplus > 0:
                surplus -= 1
                continue
            shown = self._frozen(len(self._memory.shown), trial, lesson)
            if shown is not None:
                self._memory.shown.append(shown)
                self._memory.numbers.append(trial.number)

    def _lesson(self, trial: Trial) -> Lesson | None:
        lesson = lesson_of(trial, self._objectives, self._outcomes)
        if lesson is None or self._notes.infeasible_loss is None:
            return lesson
        return lesson.strict  # it ranks losses and knows no constraints

    def _worst_losses(self, lessons: Sequence[Lesson]) -> tuple[float, ...]:
        count = len(self._objectives)
        if self._notes.infeasible_loss is not None:
            return (self._notes.infeasible_loss,) * count
        complete = [lesson for lesson in lessons if lesson.kind == "complete"]
        losses = [item.losses for item in complete]
        self._farthest = max((_broken(item.violations) for item in complete), default=0.0)
        return tuple(map(max, zip(*losses, strict=True))) or (0.0,) * count

    def _frozen(self, place: int, trial: Trial, lesson: Lesson) -> FrozenTrial | None:
        configuration = trial.configuration
        if not self._always <= configuration.keys():
            return None
        try:
            params = {
                name: dimension.show(configuration[name])
                for name, dimension in self._dimensions.items()
                if name in configuration
            }
        except (TypeError, ValueError):
            return None
        same = len(params) == len(self._dimensions)
        distributions = (
            self._distributions if same else {name: self._distributions[name] for name in params}
        )
        shown = frozen(
            place,
            _STATES[lesson.kind],
            params,
            distributions,
            **self._results(lesson),
            attrs=self._notes.trial_attrs(trial),
            number=trial.number,
        )
        if lesson.kind == "infeasible":
            # No value at all is further from feasible than any that was measured.
            shown.set_constraint(_INFEASIBLE, 1.0 + self._farthest)
        for index, value in enumerate(lesson.violations):
            shown.set_constraint(f"outcome {index}", value)
        return shown

    def _results(self, lesson: Lesson) -> dict[str, Any]:
        match lesson.kind:
            case "complete":
                return {"values": self._signed(lesson.losses)}
            case "infeasible":
                return {"values": self._signed(self._worst)}
            case "pruned" if len(lesson.losses) == 1:
                # Optuna compares pruned trials only where there is one objective.
                return {"measured": {lesson.step: self._signed(lesson.losses)[0]}}
        return {}

    def _signed(self, losses: Sequence[float]) -> list[float]:
        return [sign * item for sign, item in zip(self._memory.signs, losses, strict=True)]


_STATES = {
    "complete": TrialState.COMPLETE,
    "infeasible": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "pending": TrialState.RUNNING,
}


def _is_useful(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and trial.constraints.get(_INFEASIBLE, 0.0) <= 0


def _broken(violations: Sequence[float]) -> float:
    """
    Return how far a trial is from feasible, as Optuna sums it up.
    """
    return sum(value for value in violations if value > 0)


def _surplus(lessons: Sequence[Lesson]) -> int:
    """
    Return how many infeasible trials are too many to be shown.

    Optuna calls the best tenth of all finished trials good. Where fewer than
    that have a value, infeasible ones would be counted among the good.
    """
    useful = sum(lesson.kind in {"complete", "pruned"} for lesson in lessons)
    infeasible = sum(lesson.kind == "infeasible" for lesson in lessons)
    return max(0, infeasible - 9 * useful)


def _suggested(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:  # noqa: ANN401
    match distribution:
        case FloatDistribution(low=low, high=high, log=log):
            return trial.suggest_float(name, low, high, log=log)
        case IntDistribution(low=low, high=high, log=log):
            return trial.suggest_int(name, low, high, log=log)
        case optuna.distributions.CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"a dimension must be float, int or categorical, got {distribution!r}")
