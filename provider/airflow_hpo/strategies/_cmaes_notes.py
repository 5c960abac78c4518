"""
CMA-ES from one ask to the next: its state, recomputed from labels of trials.

Imported where the engine is needed and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import optuna  # noqa: TID253 - see above
from optuna.distributions import (  # noqa: TID253 - see above
    BaseDistribution,
    CategoricalDistribution,
)
from optuna.trial import FrozenTrial, TrialState  # noqa: TID253 - see above

from airflow_hpo.model.space import Space
from airflow_hpo.model.trial import Trial
from airflow_hpo.model.values import Value
from airflow_hpo.strategies._dimensions import Dimension, dimension_of
from airflow_hpo.strategies._optuna import Notes
from airflow_hpo.strategies._optuna_memory import Memory, frozen, quiet

__all__ = ["CmaesNotes", "FixedSampler"]


class FixedSampler(optuna.samplers.CmaEsSampler):
    """
    Optuna's sampler, which from the beginning knows what it searches.

    Left to itself it searches what all trials so far have in common; where a
    conditional parameter drops out of that after the first generation, it
    gives up for good.
    """

    def __init__(self, space: Space, **options: Any) -> None:  # noqa: ANN401 - Optuna's options
        super().__init__(warn_independent_sampling=False, **options)
        self._searched = {
            name: dimension.distribution for name, dimension in _numeric_dimensions(space).items()
        }

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """
        Return what is searched.
        """
        del study, trial
        return self._searched


def _numeric_dimensions(space: Space) -> dict[str, Dimension]:
    """
    Return what CMA-ES searches: numbers of *space* that are always active.

    In the order of their names, which is Optuna's.
    """
    found = {
        parameter.name: dimension_of(parameter.distribution)
        for parameter in space.parameters
        if not parameter.when
    }
    return {
        name: dimension
        for name, dimension in sorted(found.items())
        if dimension and not isinstance(dimension.distribution, CategoricalDistribution)
    }


class CmaesNotes(Notes):
    """
    The generation of each trial, and what the model was told between them.

    Optuna pickles the model into its storage with every generation. Here each
    trial that began a generation has a label with what the model was told just
    then and which trial's model it was; telling it again gives that model,
    whatever has become of those trials since.

    Args:
        space: What is searched.

        trials: The history.

        prefix: Which kind of CMA-ES it is, in Optuna's notes.

        pruned: Whether it learns from pruned trials.

        make_sampler: Makes the sampler from a seed.
    """

    infeasible_loss: ClassVar[float | None] = math.inf
    crowds_out: ClassVar[bool] = False
    keeps: ClassVar[bool] = True

    def __init__(
        self,
        space: Space,
        trials: Sequence[Trial],
        *,
        prefix: str,
        pruned: bool,
        make_sampler: Callable[[int], optuna.samplers.CmaEsSampler],
    ) -> None:
        self._dimensions = _numeric_dimensions(space)
        self._trials = {trial.number: trial for trial in trials}
        self._name = prefix.removesuffix(":")
        self._generation = f"{prefix}generation"
        self._optimizer = f"{prefix}optimizer"
        self._make_sampler = make_sampler
        self._teachers = {TrialState.COMPLETE, *([TrialState.PRUNED] if pruned else ())}
        self._restored: int | None = None

    def trial_attrs(self, trial: Trial) -> dict[str, Any]:
        """
        Return the generation; a point that a person gave belongs to the first.
        """
        label = self._label(trial)
        if "generation" not in label:
            given = trial.sampler == "point" and self._name != "cmawm"
            return {self._generation: 0} if given else {}
        attrs = {self._generation: label["generation"]}
        return attrs | ({_MARGIN: label["x"]} if "x" in label else {})

    def restore(self, memory: Memory, trials: Sequence[Trial]) -> None:
        """
        Note the latest model with the trial that began its generation.
        """
        del trials
        for number, shown in zip(reversed(memory.numbers), reversed(memory.shown), strict=True):
            if shown.state in self._teachers and "told" in self._label(self._trials[number]):
                shown.system_attrs.update(self._model(number))
                self._restored = number
                return

    def labels(self, memory: Memory, asked: FrozenTrial, *, chosen: bool) -> dict[str, Value]:
        """
        Return the generation, and what was told where this trial begins it.

        What chance drew is no sample of the model: it is not told.
        """
        attrs = asked.system_attrs
        if self._generation not in attrs or not chosen:
            return {}
        generation = attrs[self._generation]
        label: dict[str, Value] = {"generation": generation}
        if _MARGIN in attrs:
            label["x"] = attrs[_MARGIN]
        if f"{self._optimizer}:0" in attrs:
            label["told"] = [
                [number, memory.signs[0] * value if math.isfinite(value) else None]
                for number, shown in zip(memory.numbers, memory.shown, strict=False)
                if shown.system_attrs.get(self._generation) == generation - 1
                and shown.state in self._teachers
                and (value := _value(shown)) is not None
            ]
            label["from"] = self._restored
        return {self._name: label}

    def _label(self, trial: Trial) -> Mapping[str, Value]:
        # Each kind has a label of its own: their models do not mix.
        found = trial.labels.get(self._name)
        return found if isinstance(found, Mapping) else {}

    def _model(self, number: int) -> dict[str, Any]:
        """
        Return Optuna's notes of the model that trial *number* began with.
        """
        chain: list[int] = []
        place: int | None = number
        while place is not None:
            chain.append(place)
            place = self._label(self._trials[place])["from"]
        attrs: dict[str, Any] = {}
        for each in reversed(chain):
            attrs = self._told(self._label(self._trials[each]), attrs)
        return attrs

    def _told(self, label: Mapping[str, Value], attrs: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return the notes after the model in *attrs* is told what *label* says.
        """
        memory = Memory(keeps=True)
        before = {self._generation: label["generation"] - 1}
        memory.shown = [
            self._solution(place, number, loss, before)
            for place, (number, loss) in enumerate(label["told"])
        ]
        memory.shown[-1].system_attrs.update(attrs)
        with quiet():
            sampler = self._make_sampler(0)  # telling draws nothing
            study = optuna.create_study(storage=memory)
            asked = memory.get_trial(memory.create_new_trial(0))
            searched = sampler.infer_relative_search_space(study, asked)
            sampler.sample_relative(study, asked, searched)
        noted = asked.system_attrs
        return {key: value for key, value in noted.items() if key.startswith(self._optimizer)}

    def _solution(
        self, place: int, number: int, loss: float | None, before: Mapping[str, Any]
    ) -> FrozenTrial:
        trial = self._trials[number]
        params = {
            name: dimension.show(trial.configuration[name])
            for name, dimension in self._dimensions.items()
        }
        distributions: dict[str, BaseDistribution] = {
            name: dimension.distribution for name, dimension in self._dimensions.items()
        }
        x = self._label(trial).get("x")
        return frozen(
            place,
            TrialState.COMPLETE,
            params,
            distributions,
            values=(math.inf if loss is None else loss,),
            attrs={**before, **({} if x is None else {_MARGIN: x})},
        )


# Under this name Optuna notes what a model with margins is to be told.
_MARGIN = "x_for_tell"


def _value(shown: FrozenTrial) -> float | None:
    if shown.state is TrialState.COMPLETE:
        return float(shown.values[0])
    if shown.state is TrialState.PRUNED and shown.intermediate_values:
        return float(max(shown.intermediate_values.items())[1])
    return None
