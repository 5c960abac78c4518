"""
ClearML's parameter classes: the same names, arguments and stored form.

What they draw and list is what the study tries: both come from the dialect.
"""

from __future__ import annotations

import random
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_hpo.blueprint.dialects.clearml import distribution_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.distribution import Distribution
    from airflow_hpo.model.values import Value

__all__ = [
    "DiscreteParameterRange",
    "LogUniformParameterRange",
    "Parameter",
    "ParameterSet",
    "RandomSeed",
    "UniformIntegerParameterRange",
    "UniformParameterRange",
]


class RandomSeed:
    """
    The seed of studies that say none; until one is set, each study draws its own.
    """

    _seed: ClassVar[int | None] = None
    _random: ClassVar[random.Random] = random.Random()  # noqa: S311 - no secret

    @staticmethod
    def set_random_seed(seed: int = 1337) -> None:
        """
        Let studies, and values that are drawn here, come from *seed*.
        """
        RandomSeed._seed = seed
        RandomSeed._random = random.Random(seed)  # noqa: S311 - no secret

    @staticmethod
    def get_random_seed() -> int | None:
        """
        Return the seed that was set; `None` if none was.
        """
        return RandomSeed._seed


class Parameter(RandomSeed):
    """
    What all parameters have in common.

    Args:
        name: As the training code knows it: ``General/lr``, ``Args/lr``, ``lr``.
    """

    def __init__(self, name: str | None) -> None:
        self.name = name

    def to_dict(self) -> dict[str, Value]:
        """
        Return the parameter as ClearML stores it, whatever is in it.
        """
        fields = {name: _stored(value) for name, value in vars(self).items()}
        return {"type": type(self).__name__, **fields}

    @classmethod
    def from_dict(cls, a_dict: Mapping[str, Value]) -> Parameter:
        """
        Return the parameter that was stored as *a_dict*.

        Raises:
            ValueError: If it is of no class that is known.
        """
        fields = dict(a_dict)
        name = fields.pop("type", None)
        found = _CLASSES.get(name) if isinstance(name, str) else None
        if found is None:
            known = ", ".join(_CLASSES)
            raise ValueError(f"type must be one of {known}, got {name!r}")
        parameter = found.__new__(found)
        vars(parameter).update({key: _revived(value) for key, value in fields.items()})
        return parameter

    def get_value(self) -> dict[str, Value]:
        """
        Return one value by the parameter's name, drawn at random.
        """
        drawn = self._distribution().from_unit(self._random.random())
        return {str(self.name): drawn}

    def to_list(self) -> list[dict[str, Value]]:
        """
        Return all values as a grid has them, each by the parameter's name.
        """
        values = self._distribution(grid=True).values()
        return [{str(self.name): value} for value in values]

    def _distribution(self, *, grid: bool = False) -> Any:  # noqa: ANN401 - any that is listed
        found: Distribution = distribution_of(self.to_dict(), grid=grid)
        return found


class UniformParameterRange(Parameter):
    """
    A real number, each as likely as any other.

    Args:
        name: See `Parameter`.

        min_value: The least.

        max_value: The largest, where the steps reach it.

        step_size: Distance of neighbours; `None` for a continuum.

        include_max_value: Whether *max_value* itself is one of them.
    """

    def __init__(
        self,
        name: str,
        min_value: float,
        max_value: float,
        step_size: float | None = None,
        include_max_value: bool = True,  # noqa: FBT001, FBT002 - ClearML's signature
    ) -> None:
        super().__init__(name)
        self.min_value = float(min_value)
        self.max_value = float(max_value)
        self.step_size = None if step_size is None else float(step_size)
        self.include_max = include_max_value


class LogUniformParameterRange(UniformParameterRange):
    """
    A power of *base*, whose exponent is as likely as any other.

    Args:
        name: See `Parameter`.

        min_value: The least exponent.

        max_value: The largest exponent.

        base: What is raised to its power.

        step_size: Distance of neighbouring exponents; `None` for a continuum.

        include_max_value: Whether *max_value* itself is one of them.
    """

    def __init__(
        self,
        name: str,
        min_value: float,
        max_value: float,
        base: float = 10,
        step_size: float | None = None,
        include_max_value: bool = True,  # noqa: FBT001, FBT002 - ClearML's signature
    ) -> None:
        super().__init__(name, min_value, max_value, step_size, include_max_value)
        self.base = base


class UniformIntegerParameterRange(Parameter):
    """
    A whole number; arguments as in `UniformParameterRange`.
    """

    def __init__(
        self,
        name: str,
        min_value: int,
        max_value: int,
        step_size: int = 1,
        include_max_value: bool = True,  # noqa: FBT001, FBT002 - ClearML's signature
    ) -> None:
        super().__init__(name)
        self.min_value = min_value
        self.max_value = max_value
        self.step_size = step_size
        self.include_max = include_max_value


class DiscreteParameterRange(Parameter):
    """
    One of a list of values; a list of one fixes the value.
    """

    def __init__(self, name: str, values: Sequence[Value] = ()) -> None:
        super().__init__(name)
        self.values = list(values)


class ParameterSet(Parameter):
    """
    One of a list of combinations, whose values may be parameters and sets again.
    """

    def __init__(self, parameter_combinations: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(None)
        self.values = [dict(combination) for combination in parameter_combinations]

    def get_value(self) -> dict[str, Value]:
        """
        Return the values of one combination, drawn at random.
        """
        drawn: dict[str, Value] = {}
        for name, value in self._random.choice(self.values).items():
            drawn |= value.get_value() if isinstance(value, Parameter) else {name: value}
        return drawn

    def to_list(self) -> list[dict[str, Value]]:
        """
        Return the values of each combination, as a grid has them.
        """
        found = []
        for combination in self.values:
            axes = [
                value.to_list() if isinstance(value, Parameter) else [{name: value}]
                for name, value in combination.items()
            ]
            found += [{k: v for cell in cells for k, v in cell.items()} for cells in product(*axes)]
        return found


_CLASSES: Mapping[str, type[Parameter]] = {
    found.__name__: found
    for found in (
        UniformParameterRange,
        LogUniformParameterRange,
        UniformIntegerParameterRange,
        DiscreteParameterRange,
        ParameterSet,
    )
}


def _stored(value: Any) -> Value:  # noqa: ANN401 - whatever a parameter holds
    if isinstance(value, Parameter):
        return value.to_dict()
    if isinstance(value, dict):
        return {name: _stored(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_stored(item) for item in value]
    return value


def _revived(value: Value) -> Any:  # noqa: ANN401 - whatever was stored
    if isinstance(value, dict):
        if value.get("type") in _CLASSES:
            return Parameter.from_dict(value)
        return {name: _revived(item) for name, item in value.items()}
    return [_revived(item) for item in value] if isinstance(value, list) else value
