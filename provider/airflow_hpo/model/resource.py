"""
What a trial spends and can be given more of, and where trials run that are given much.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.placement import Placement

__all__ = ["Resource"]

# A ladder from one end to the other has forty rungs at most, the lowest of a trillion trials.
_WIDEST = 2**40


class Resource(Document):
    """
    What one trial spends and can be given more of.

    Args:
        name: Its name in commands: ``{epochs}``.

        min: Least resource of a trial (*r*).

        max: Most (*R*).

        type: Whether trials are given whole numbers of it; by default they
            are where both bounds are whole.

        rungs: Where trials run that are given so much of it.
    """

    name: str = Field(min_length=1)
    min: float = Field(gt=0)
    max: float = Field(gt=0)
    type: Literal["int", "float"] | None = None
    rungs: tuple[Placement, ...] = ()

    @property
    def whole(self) -> bool:
        """
        Whether trials are given whole numbers of it.
        """
        if self.type is not None:
            return self.type == "int"
        return self.min.is_integer() and self.max.is_integer()

    def placement(self, amount: float | None) -> Placement | None:
        """
        Return where a trial runs that is given *amount*; `None` for all of it.
        """
        amount = self.max if amount is None else amount
        found = [each for each in self.rungs if each.at_least <= amount]
        return max(found, key=lambda each: each.at_least, default=None)

    @model_validator(mode="after")
    def _ordered(self) -> Resource:
        if self.min > self.max:
            raise ValueError(f"min must not exceed max, got min={self.min:g}, max={self.max:g}")
        if not self.max / self.min <= _WIDEST:
            got = f"min={self.min:g}, max={self.max:g}"
            raise ValueError(f"max must be at most {_WIDEST} times min, got {got}")
        if self.type == "int" and not (self.min.is_integer() and self.max.is_integer()):
            raise ValueError(
                "min and max must be whole numbers where type is int, "
                f"got min={self.min:g}, max={self.max:g}"
            )
        return self

    @field_validator("rungs")
    @classmethod
    def _unlike(cls, rungs: tuple[Placement, ...]) -> tuple[Placement, ...]:
        levels = [each.at_least for each in rungs]
        twice = sorted({level for level in levels if levels.count(level) > 1})
        if twice:
            got = ", ".join(f"{level:g}" for level in twice)
            raise ValueError(f"at_least must differ from rung to rung, got {got} twice")
        return rungs
