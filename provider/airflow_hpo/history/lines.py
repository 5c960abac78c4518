"""
TEXT -> TRIALS: one JSON object a trial, with everything that is wrong with it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow_hpo.history.told import Entry, Told
from airflow_hpo.model.registry import did_you_mean
from airflow_hpo.model.stop import to_number
from airflow_hpo.model.trial import TrialState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_hpo.model.values import Value

__all__ = ["read_json_lines", "read_object"]

# What a trial may have. All but the first four are taken where they fit.
_KNOWN = (
    *("configuration", "parameters", "value", "values", "state"),
    *("number", "metrics", "sampler", "resource", "reason"),
)


def read_json_lines(text: str, objectives: Sequence[str]) -> Iterator[Entry]:
    """
    Yield the trials that *text* holds, one JSON object a line.

    Each has a ``configuration`` (or ``parameters``), and ``values``: a list, a
    mapping by metric, or for one objective ``value``. Empty lines are passed
    over.

    Args:
        text: The whole of it.

        objectives: The metrics that lists of values are in the order of.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Entry(number, None, (f"a line must be a JSON object: {error}",))
            continue
        yield read_object(found, number, objectives)


def read_object(value: Value, line: int, objectives: Sequence[str]) -> Entry:
    """
    Return the trial that a JSON *value* is.
    """
    if not isinstance(value, dict):
        return Entry(line, None, (f"a trial must be a JSON object, got {_shown(value)}",))
    reader = _Reader(objectives)
    told = reader.read(value)
    return Entry(line, None if reader.problems else told, tuple(reader.problems))


class _Reader:
    """
    Reads one object; notes what is wrong with it.
    """

    def __init__(self, objectives: Sequence[str]) -> None:
        self._objectives = objectives
        self.problems: list[str] = []

    def read(self, fields: Mapping[str, Any]) -> Told:
        """
        Return the trial, of which nothing holds where there is a problem.
        """
        for name in fields:
            if name not in _KNOWN:
                hint = did_you_mean(name, _KNOWN)
                self.problems.append(f"{name} is no key of a trial" + (f"; {hint}" if hint else ""))
        configuration = self._configuration(fields)
        values = self._values(fields)
        metrics = fields.get("metrics") or {}
        if not isinstance(metrics, dict):
            self.problems.append(f"metrics must be an object, got {_shown(metrics)}")
        resource = fields.get("resource")
        if resource is not None and to_number(resource) is None:
            self.problems.append(f"resource must be a number, got {_shown(resource)}")
        return Told(
            configuration,
            self._state(fields),
            values,
            metrics,
            to_number(resource),
            str(fields.get("sampler") or "history"),
        )

    def _one_of(self, fields: Mapping[str, Any], first: str, second: str) -> Value:
        given = [name for name in (first, second) if fields.get(name) is not None]
        if len(given) > 1:
            self.problems.append(f"one of {first} and {second} must be given, got both")
        return fields[given[0]] if given else None

    def _configuration(self, fields: Mapping[str, Any]) -> dict[str, Value]:
        given = self._one_of(fields, "configuration", "parameters")
        if isinstance(given, dict):
            return given
        if given is None:
            self.problems.append("configuration must be given, got none")
        else:
            self.problems.append(f"configuration must be an object, got {_shown(given)}")
        return {}

    def _values(self, fields: Mapping[str, Any]) -> dict[str, float]:
        given = self._one_of(fields, "values", "value")
        if given is None:
            return {}
        if isinstance(given, dict):
            return dict(self._numbers(given))
        items = given if isinstance(given, list) else [given]
        if len(items) != len(self._objectives):
            message = f"values must be {len(self._objectives)} numbers, got {len(items)}"
            self.problems.append(message)
        return dict(self._numbers(dict(zip(self._objectives, items, strict=False))))

    def _numbers(self, items: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
        for name, item in items.items():
            number = None if isinstance(item, str) else to_number(item)
            if number is None:
                self.problems.append(f"a value must be a finite number, got {_shown(item)}")
            else:
                yield name, number

    def _state(self, fields: Mapping[str, Any]) -> TrialState | None:
        text = fields.get("state")
        names = [state.value for state in TrialState]
        if text is None or text in names:
            return None if text is None else TrialState(text)
        hint = did_you_mean(str(text), names)
        message = f"state must be one of {', '.join(names)}, got {_shown(text)}"
        self.problems.append(message + (f"; {hint}" if hint else ""))
        return None


def _shown(value: Value) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


# So much of a value is shown in messages.
_SHOWN = 200
