"""
TEXT -> TRIALS: a history as JSON lines, with everything that is wrong with it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.stop import to_number
from airflow_hpo.model.trial import Trial, TrialState
from airflow_hpo.strategies.points import configuration_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_hpo.model.blueprint import Blueprint
    from airflow_hpo.model.values import Value

__all__ = ["parse_history"]

# What a line may hold. All but the first four are taken where they fit.
_KNOWN = (
    *("configuration", "parameters", "value", "values", "state"),
    *("number", "metrics", "sampler", "resource", "reason"),
)


def parse_history(
    text: str, blueprint: Blueprint
) -> tuple[tuple[Trial, ...], tuple[tuple[int, str], ...]]:
    """
    Return the trials that *text* holds, one JSON object a line.

    Each has a ``configuration`` (or ``parameters``), and ``values``: a list, a
    mapping by metric, or for one objective ``value``. Without a ``state`` it is
    complete if it has values. Trials are numbered in the order of the lines;
    empty lines are passed over.

    Returns:
        The trials, and what is wrong: line numbers from 1 with messages.
    """
    trials: list[Trial] = []
    problems: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        reader = _Line(blueprint)
        trial = reader.read(line, number=len(trials))
        problems += ((number, message) for message in reader.problems)
        if trial is not None:
            trials.append(trial)
    return tuple(trials), tuple(problems)


class _Line:
    """
    Reads one line; notes what is wrong with it.
    """

    def __init__(self, blueprint: Blueprint) -> None:
        self._blueprint = blueprint
        self.problems: list[str] = []

    def read(self, line: str, *, number: int) -> Trial | None:
        """
        Return the trial; `None` if there is a problem.
        """
        fields = self._object(line)
        if fields is None:
            return None
        configuration = self._configuration(fields)
        values = self._values(fields)
        state = self._state(fields, has_values=values is not None)
        metrics = fields.get("metrics") or {}
        if not isinstance(metrics, dict):
            self.problems.append(f"metrics must be an object, got {_shown(metrics)}")
        resource = fields.get("resource")
        if resource is not None and to_number(resource) is None:
            self.problems.append(f"resource must be a number, got {_shown(resource)}")
        if self.problems or state is None:
            return None
        return Trial(
            number=number,
            configuration=configuration,
            state=state,
            sampler=str(fields.get("sampler") or "history"),
            values=values,
            metrics=metrics,
            resource=to_number(resource),
        )

    def _object(self, line: str) -> dict[str, Any] | None:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            self.problems.append(f"a line must be a JSON object: {error}")
            return None
        if not isinstance(fields, dict):
            self.problems.append(f"a line must be a JSON object, got {_shown(fields)}")
            return None
        for name in fields:
            if name not in _KNOWN:
                hint = did_you_mean(name, _KNOWN)
                self.problems.append(f"{name} is no key of a trial" + (f"; {hint}" if hint else ""))
        return fields

    def _one_of(self, fields: Mapping[str, Any], first: str, second: str) -> Value:
        given = [name for name in (first, second) if fields.get(name) is not None]
        if len(given) > 1:
            self.problems.append(f"one of {first} and {second} must be given, got both")
        return fields[given[0]] if given else None

    def _configuration(self, fields: Mapping[str, Any]) -> dict[str, Value]:
        given = self._one_of(fields, "configuration", "parameters")
        if given is None:
            self.problems.append("configuration must be given, got none")
            return {}
        if not isinstance(given, dict):
            self.problems.append(f"configuration must be an object, got {_shown(given)}")
            return {}
        space = self._blueprint.space
        wrong = list(configuration_problems(space, given))
        self.problems += wrong
        return {} if wrong else dict(space.arrange(given))

    def _values(self, fields: Mapping[str, Any]) -> tuple[float, ...] | None:
        given = self._one_of(fields, "values", "value")
        if given is None:
            return None
        objectives = [objective.metric for objective in self._blueprint.objectives]
        if isinstance(given, dict):
            missing = [name for name in objectives if name not in given]
            self.problems += (f"values must have {name}, got {_shown(given)}" for name in missing)
            given = [given.get(name) for name in objectives if name in given]
            if missing:
                return None
        items = given if isinstance(given, list) else [given]
        if len(items) != len(objectives):
            self.problems.append(f"values must be {len(objectives)} numbers, got {len(items)}")
        return tuple(self._numbers(items))

    def _numbers(self, items: list[Any]) -> Iterator[float]:
        for item in items:
            number = None if isinstance(item, str) else to_number(item)
            if number is None:
                self.problems.append(f"a value must be a finite number, got {_shown(item)}")
            else:
                yield number

    def _state(self, fields: Mapping[str, Any], *, has_values: bool) -> TrialState | None:
        text = fields.get("state")
        names = [state.value for state in TrialState]
        if text is None:
            if not has_values:
                self.problems.append("values or a state must be given, got neither")
            return TrialState.COMPLETE
        if text not in names:
            hint = did_you_mean(text, names)
            message = f"state must be one of {', '.join(names)}, got {_shown(text)}"
            self.problems.append(message + (f"; {hint}" if hint else ""))
            return None
        if text == "complete" and not has_values:
            self.problems.append("a complete trial must have its values, got none")
        return TrialState(text)


def _shown(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False)
