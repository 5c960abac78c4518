"""
Generations of Optuna's genetic samplers, kept as labels of trials.

Imported where an engine is needed and nowhere else, since it loads Optuna.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from optuna.trial import FrozenTrial, TrialState  # noqa: TID253 - see above

from airflow_hpo.model.trial import Trial
from airflow_hpo.model.values import Value
from airflow_hpo.strategies._optuna import Notes
from airflow_hpo.strategies._optuna_memory import Memory

__all__ = ["GenerationNotes"]


class GenerationNotes(Notes):
    """
    Which generation each trial belongs to, and the parents of each generation.

    A trial that another strategy or a person suggested belongs to the first.
    The trial that began a generation has the numbers of the parents that were
    chosen just then; they stay, whatever ends later.

    Args:
        name: The strategy's name, under which trials are labelled.

        engine: The name of Optuna's class.
    """

    crowds_out: ClassVar[bool] = False
    keeps: ClassVar[bool] = True

    def __init__(self, name: str, *, engine: str) -> None:
        self._name = name
        self._generation = f"{engine}:generation"
        self._parents = f"{engine}:parent:"
        self._known: set[str] = set()

    def trial_attrs(self, trial: Trial) -> dict[str, Any]:
        """
        Return the generation that *trial* belongs to.
        """
        return {self._generation: self._label(trial).get("generation", 0)}

    def restore(self, memory: Memory, trials: Sequence[Trial]) -> None:
        """
        Note the parents of each generation; those that lost their values are none.
        """
        places = {
            number: place
            for place, (number, shown) in enumerate(zip(memory.numbers, memory.shown, strict=True))
            if shown.state is TrialState.COMPLETE
        }
        for trial in trials:
            label = self._label(trial)
            key = f"{self._parents}{label.get('generation')}"
            if "parents" in label and key not in memory.study_attrs:
                memory.study_attrs[key] = [
                    places[number] for number in label["parents"] if number in places
                ]
        self._known = set(memory.study_attrs)

    def labels(self, memory: Memory, asked: FrozenTrial, *, chosen: bool) -> dict[str, Value]:
        """
        Return the generation, and its parents where this trial begins it.

        What chance drew belongs to the generation like any mutant.
        """
        del chosen
        generation = asked.system_attrs.get(self._generation)
        if generation is None:
            return {}
        label: dict[str, Value] = {"generation": generation}
        key = f"{self._parents}{generation}"
        if key in memory.study_attrs.keys() - self._known:
            label["parents"] = [memory.numbers[place] for place in memory.study_attrs[key]]
            self._known.add(key)
        return {self._name: label}

    def _label(self, trial: Trial) -> Mapping[str, Value]:
        found = trial.labels.get(self._name)
        return found if isinstance(found, Mapping) else {}
