"""
The contract of writers: what is not in the text as the blueprint says it, is said.
"""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_hpo.blueprint import dump, parse_blueprints
from airflow_hpo.blueprint.commands import parse_command
from airflow_hpo.blueprint.convert import convert
from airflow_hpo.blueprint.dialects.writing import Written
from airflow_hpo.blueprint.document import read_document
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.values import Configuration, Value, canonical

__all__ = ["WriterContract", "unsaid", "words_of"]

# What a converted file says as well as the blueprint, in another way.
_LIKE = ("hpo", "trial.command", "trial.template", "trial.steps", "trial.platform")

# A list of more values is compared by its bounds.
_LISTED = 10_000


def unsaid(blueprint: Blueprint, again: Blueprint, written: Written) -> list[str]:
    """
    Return what differs between the two and is not among the losses.

    Args:
        blueprint: What was written.

        again: What was read of it.

        written: The text, and what is said of it.
    """
    said = [loss.path for loss in written.losses]
    resource = None if blueprint.resource is None else blueprint.resource.name
    # What is listed says all of the space that matters.
    spaces = "manual" not in {blueprint.strategy.name, again.strategy.name}
    left = _flat(blueprint, spaces=spaces)
    right = _flat(again, spaces=spaces, resource=resource)
    found = []
    for path in sorted({*left, *right}):
        if canonical(left.get(path)) == canonical(right.get(path)) or path.startswith(_LIKE):
            continue
        if not any(_covers(loss, path) for loss in said):
            found.append(f"{path}: {left.get(path)!r} became {right.get(path)!r}")
    return found


def _covers(loss: str, path: str) -> bool:
    return f"{path}.".startswith(f"{loss}.") or f"{loss}.".startswith(f"{path}.")


def _flat(blueprint: Blueprint, *, spaces: bool, resource: str | None = None) -> dict[str, Value]:
    """
    Return the keys and values of *blueprint* in the native dialect, as they take effect.
    """
    data = read_document(dump(blueprint)).data
    listed = blueprint.strategy.name in {"grid", "manual"}
    data["space"] = {
        parameter.name: _space_entry(data["space"][parameter.name], parameter.distribution, listed)
        for parameter in blueprint.space.parameters
        if parameter.name != resource  # which may stand there as a constant
    }
    if not spaces:
        del data["space"]
    if blueprint.strategy.name == "manual":
        data["strategy"]["options"]["configurations"] = _rows(blueprint, without=resource)
    if isinstance(data["objective"], list):
        data["objective"] = data["objective"][0]
    if listed or blueprint.strategy.name == "random":
        data.get("strategy", {}).pop("startup_trials", None)
    data["description"] = blueprint.description.strip()
    trials = blueprint.budget.trials
    data["budget"]["trials"] = min(trials, _cells(blueprint)) if listed else trials
    execution = _execution(blueprint, data["budget"]["trials"])
    return dict(_leaves({**data, "execution": execution}, ""))


def _execution(blueprint: Blueprint, trials: int) -> dict[str, Value]:
    execution = blueprint.execution
    batch = execution.batch_size
    if execution.mode == "async":  # which knows no batches
        batch = execution.concurrency or batch
    batch = min(batch, trials)
    concurrency = min(execution.concurrency or batch, batch)
    return {"mode": execution.mode, "batch_size": batch, "concurrency": concurrency}


def _rows(blueprint: Blueprint, *, without: str | None) -> list[Value]:
    """
    Return the configurations that are listed, with those values that never change.
    """
    fixed = {
        parameter.name: parameter.distribution.from_unit(0.5)
        for parameter in blueprint.space.parameters
        if parameter.distribution.size() == 1 and not parameter.when and parameter.name != without
    }
    rows = blueprint.strategy.options["configurations"]
    return [dict(sorted({**fixed, **row}.items())) for row in rows]


def _cells(blueprint: Blueprint) -> int:
    """
    Return how many configurations are listed.
    """
    if blueprint.strategy.name == "manual":
        return len(blueprint.strategy.options["configurations"])
    return math.prod(parameter.distribution.size() or 1 for parameter in blueprint.space.parameters)


def _space_entry(entry: Value, distribution: Any, listed: bool) -> Value:  # noqa: FBT001
    """
    Return a parameter by its values, where it has few: 0 to 5 by 2 is 0 to 4.
    """
    size = distribution.size()
    if size is None or size > _LISTED:
        return entry
    given = entry if isinstance(entry, dict) else {}
    names = ["when"]
    if size > 1:
        names += ["weights"] if listed else ["weights", "log"]
    more = {name: given[name] for name in names if name in given}
    if distribution.kind == "float" and distribution.step is not None and not listed and size > 1:
        more["step"] = distribution.anchor
    return {"values": list(distribution.values()), **more}


def _leaves(data: Value, path: str) -> Iterator[tuple[str, Value]]:
    if isinstance(data, dict) and data:
        for name, value in data.items():
            yield from _leaves(value, f"{path}.{name}" if path else str(name))
    else:
        yield path, data


def words_of(blueprint: Blueprint, configuration: Configuration) -> str:
    """
    Return the words that the command ``run`` gets from the trial's commands, a line each.
    """
    commands = [
        parse_command(step).render(_with_resource(blueprint, configuration))
        for step in blueprint.trial.steps
        if step.command
    ]
    script = "run() { printf '%s\\n' run \"$@\"; }\ncd() { :; }\n" + " &&\n".join(commands)
    done = subprocess.run(  # noqa: S603 - a shell that finds no programs
        ["/bin/bash", "-c", script],
        env={"PATH": "/nowhere", "HOME": "/home/of/nobody"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.stdout.decode("utf-8", "replace")


def _with_resource(blueprint: Blueprint, configuration: Configuration) -> Mapping[str, Value]:
    if blueprint.resource is None:
        return configuration
    amount = blueprint.resource.max
    whole = int(amount) if amount.is_integer() else amount
    return {blueprint.resource.name: whole, **configuration}


class WriterContract:
    """
    What holds for every writer; a subclass says which with ``dialect``.
    """

    dialect: str

    def written(self, blueprint: Blueprint) -> tuple[Written, Blueprint]:
        """
        Return what is written, and what is read of it.
        """
        written = convert(blueprint, to=self.dialect)
        (again,) = parse_blueprints(written.text)
        assert again.source.dialect == self.dialect
        return written, again

    def check(self, blueprint: Blueprint) -> None:
        """
        Require that a blueprint is there again, but for what is said.
        """
        written, again = self.written(blueprint)
        assert unsaid(blueprint, again, written) == [], written.text
        assert convert(blueprint, to=self.dialect) == written
