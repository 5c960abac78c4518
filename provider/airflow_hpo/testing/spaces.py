"""
Spaces of every kind, and histories of them, to test strategies and more with.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from airflow_hpo.model.distribution import (
    Categorical,
    Constant,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.trial import Measurement, Trial, TrialState
from airflow_hpo.model.values import Value

__all__ = ["IMPOSSIBLE", "SPACES", "TINY", "make_history", "sample"]


def _space(*constraints: str, **distributions: Distribution | Parameter) -> Space:
    return Space(
        parameters=tuple(
            item if isinstance(item, Parameter) else Parameter(name=name, distribution=item)
            for name, item in distributions.items()
        ),
        constraints=constraints,
    )


def _child(name: str, distribution: Distribution, **when: Sequence[Value]) -> Parameter:
    return Parameter(
        name=name,
        distribution=distribution,
        when={parent: tuple(values) for parent, values in when.items()},
    )


SPACES: Mapping[str, Space] = {
    "floats": _space(
        rate=Float(low=1e-5, high=1e-1, log=True),
        drop=Float(low=-1, high=1),
        fixed=Constant(value=3),
    ),
    "steps": _space(
        drop=Float(low=0, high=0.9, step=0.1),
        ratio=Float(low=1, high=9.5, step=0.5, log=True),
        depth=Int(low=-3, high=21, step=4),
    ),
    "ints": _space(
        hidden=Int(low=1, high=4096, log=True),
        width=Int(low=2, high=50, step=3, log=True),
        layers=Int(low=0, high=9),
    ),
    "choices": _space(
        size=Categorical(choices=(1, 1.0, True, "1", None), weights=(3, 1, 1, 1, 0.5)),
        kind=Categorical(choices=("relu", "tanh", "never"), weights=(1, 2, 0)),
        shape=Categorical(choices=([8, 8], [16], {"a": 1})),
        layers=Int(low=1, high=9),
    ),
    "normals": _space(
        width=Normal(mean=64, deviation=16),
        bins=Normal(mean=0, deviation=90, step=0.5),
        decay=LogNormal(mean=-3, deviation=2),
    ),
    # A child stands before its parent, another has two parents.
    "conditional": _space(
        momentum=_child("momentum", Float(low=0.5, high=0.9, step=0.1), optimizer=["sgd"]),
        optimizer=Categorical(choices=("sgd", "adam", "none")),
        beta=_child("beta", Int(low=1, high=30), optimizer=["adam"]),
        slow=_child("slow", Categorical(choices=(True, False)), optimizer=["sgd", "adam"]),
        warmup=_child("warmup", Int(low=1, high=30), slow=[True], optimizer=["adam"]),
    ),
    "constrained": _space(
        "low < high",
        "low * width <= 40",
        low=Int(low=1, high=20),
        high=Int(low=1, high=20),
        width=Categorical(choices=(1, 2, 4)),
    ),
    "continuous and constrained": _space(
        "x + y <= 1", x=Float(low=0, high=1), y=Float(low=0, high=1), z=Int(low=0, high=3)
    ),
    "wide": _space(
        a=Int(low=0, high=10**6), b=Int(low=0, high=10**6), c=Float(low=0, high=1, step=0.001)
    ),
}
"""Spaces that a strategy of that ability must search, each with room for 64."""

TINY: Mapping[str, tuple[Space, int]] = {
    "one point": (_space(only=Categorical(choices=("a",)), fixed=Constant(value=2.0)), 1),
    "no parameter": (_space(), 1),
    "nothing to search": (_space(fixed=Constant(value="x")), 1),
    "one real number": (_space(x=Float(low=0.5, high=0.5)), 1),
    "three points": (_space(x=Int(low=1, high=3)), 3),
    "two by three": (_space(x=Float(low=0, high=1, step=0.5), y=Int(low=0, high=1)), 6),
    "weight zero": (_space(x=Categorical(choices=("a", "b", "c"), weights=(1, 0, 1e-9))), 2),
    "two branches": (
        _space(
            kind=Categorical(choices=("a", "b")),
            depth=_child("depth", Int(low=1, high=3), kind=["a"]),
        ),
        4,
    ),
    "one of a thousand": (_space("x == 617", x=Int(low=0, high=999)), 1),
}
"""Spaces with their exact number of configurations."""

IMPOSSIBLE: Mapping[str, Space] = {
    "few": _space("x > 3", x=Int(low=1, high=3)),
    "contradiction": _space("1 > 2", x=Int(low=1, high=3)),
    "real": _space("x > 3", x=Float(low=1, high=3)),
}
"""Spaces whose constraints nothing satisfies."""


def make_history(
    space: Space, count: int, *, states: Sequence[TrialState] = tuple(TrialState)
) -> list[Trial]:
    """
    Return *count* trials of *space* that went through *states* in turn.
    """
    rng = random.Random(count)  # noqa: S311 - no secret
    trials = []
    for number in range(count):
        state = states[number % len(states)]
        value = rng.uniform(-1, 1)
        complete = state is TrialState.COMPLETE
        measured = state not in {TrialState.WAITING, TrialState.FAILED, TrialState.INFEASIBLE}
        measurements = (Measurement({"loss": value, "epoch": 1}, time=1.0, resource=number % 4),)
        trials.append(
            Trial(
                number,
                sample(space, rng),
                state,
                sampler="random",
                values=(value,) if complete else None,
                metrics={"loss": value} if measured else {},
                measurements=measurements if measured else (),
            )
        )
    return trials


def sample(space: Space, rng: random.Random) -> dict[str, Value]:
    """
    Return a configuration that satisfies the constraints, by trying.
    """
    while True:
        values = {
            parameter.name: parameter.distribution.from_unit(rng.random())
            for parameter in space.parameters
        }
        configuration = space.arrange(values)
        if space.satisfies_constraints(configuration):
            return configuration
