"""
What a writer is: MODEL -> TEXT of a dialect, and what got lost on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from airflow_hpo.model.blueprint import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from pydantic import BaseModel

    from airflow_hpo.model.blueprint import Blueprint

__all__ = ["Loss", "Losses", "Writer", "Written", "changed", "untold"]

# What fields are called in a blueprint, where that is not their name.
_KEYS = {"failure_share": "failures"}


@dataclass(frozen=True, slots=True)
class Loss:
    """
    One thing that a dialect cannot express, or only otherwise.

    Args:
        path: Where the native dialect has it, dotted: ``space.lr.when``.

        message: What the dialect lacks, and what is written in its place.
    """

    path: str
    message: str

    def __str__(self) -> str:
        """
        Return ``path: message``.
        """
        return f"{self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class Written:
    """
    A blueprint in some dialect.

    Args:
        text: The whole file.

        losses: What it does not say as the blueprint does; empty where nothing is lost.
    """

    text: str
    losses: tuple[Loss, ...] = ()


class Writer(Protocol):
    """
    Writes blueprints in one dialect: ``write`` of its file ``write.py``.

    Whatever of the blueprint is not in the text, or is there with another
    meaning, is among the losses. `airflow_hpo.testing.writers` holds it to that.
    """

    def __call__(self, blueprint: Blueprint, /) -> Written:
        """
        Return *blueprint* in the dialect, as a file that the dialect's tool reads.
        """


@dataclass
class Losses:
    """
    Collects what gets lost while a blueprint is written.
    """

    found: list[Loss] = field(default_factory=list)

    def say(self, path: str, message: str) -> None:
        """
        Note a loss; arguments as in `Loss`. The same one twice counts once.
        """
        loss = Loss(path, message)
        if loss not in self.found:
            self.found.append(loss)

    def written(self, text: str) -> Written:
        """
        Return *text* with what was noted.
        """
        return Written(text, tuple(self.found))


def changed(part: BaseModel, default: BaseModel) -> list[str]:
    """
    Return the names of the fields of *part* that differ from those of *default*.

    Whoever writes a dialect says each of them, also those that were not there
    when the writer was made.
    """
    fields = type(part).model_fields
    return [name for name in fields if getattr(part, name) != getattr(default, name)]


def untold(
    blueprint: Blueprint,
    parts: Mapping[str, tuple[BaseModel, BaseModel]],
    told: Mapping[str, AbstractSet[str]],
) -> Iterator[str]:
    """
    Yield the paths of all keys that are given and that a writer tells nowhere else.

    Args:
        blueprint: What is written.

        parts: By path, the parts to look into and what they are by default;
            steps are looked into anyway.

        told: Fields that are written or told, by the part's path; those of the
            whole are under ``blueprint``, those of each step under ``step``.
    """
    for name, field_info in type(blueprint).model_fields.items():
        usual = field_info.get_default(call_default_factory=True)
        if name not in told["blueprint"] and getattr(blueprint, name) != usual:
            yield name
    if blueprint.space.constraints:
        yield "constraints"
    steps = blueprint.trial.steps
    places = [(path, path, *pair) for path, pair in parts.items()]
    for index, step in enumerate(steps):
        path = "trial" if len(steps) == 1 else f"trial.steps.{index}"
        places.append(("step", path, step, Step()))
    for kind, path, part, default in places:
        names = [name for name in changed(part, default) if name not in told.get(kind, ())]
        yield from (f"{path}.{_KEYS.get(name, name.removesuffix('_s'))}" for name in names)
