"""
What every pruner must do, as a test class to subclass.

::

    class TestMine(PrunerContract):
        names = ("my_package.pruners:MyPruner",)
        options = {"my_package.pruners:MyPruner": {"limit": 3}}
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from airflow_hpo.model.objective import Objective
from airflow_hpo.model.strategy import PrunerSpec
from airflow_hpo.model.trial import Measurement, Trial, TrialState
from airflow_hpo.pruners import create_pruner
from airflow_hpo.pruners.base import Pruner, PrunerOptions

__all__ = ["PrunerContract", "trial_of"]

LOSS = Objective(metric="loss", direction="minimize")


def trial_of(
    number: int,
    values: Sequence[float],
    *,
    state: TrialState = TrialState.RUNNING,
    metric: str = "loss",
    steps: Sequence[float] | None = None,
) -> Trial:
    """
    Return a trial that measured *values*, at *steps* if they are given.
    """
    places = [None] * len(values) if steps is None else list(steps)
    measurements = tuple(
        Measurement({metric: value}, time=float(place), resource=step)
        for place, (value, step) in enumerate(zip(values, places, strict=True))
    )
    return Trial(number, {}, state=state, attempt=1, measurements=measurements)


def _histories() -> list[tuple[Trial, list[Trial]]]:
    """
    Return trials with others beside them: good, bad, diverged, short, none.
    """
    rng = random.Random(7)  # noqa: S311 - no secret
    states = [TrialState.COMPLETE, TrialState.RUNNING, TrialState.PRUNED, TrialState.FAILED]
    found = []
    for _ in range(40):
        others = [
            trial_of(
                number,
                [
                    rng.choice([rng.gauss(1, 1), math.nan, math.inf])
                    for _ in range(rng.randrange(9))
                ],
                state=rng.choice(states),
            )
            for number in range(rng.randrange(9))
        ]
        own = [rng.choice([rng.gauss(2, 1), rng.gauss(2, 1), math.nan]) for _ in range(6)]
        found.append((trial_of(len(others), own), others))
    return found


class PrunerContract:
    """
    Subclass it and name the pruners; pytest does the rest.

    Attributes:
        names: As in a blueprint: names of the table, or ``module:Class``.

        options: Those that a pruner cannot do without, by its name.

        alone: Pruners that look at nobody else.
    """

    names: ClassVar[Sequence[str]] = ()
    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "threshold": {"upper": 3.0},
        "bandit": {"slack_amount": 0.5},
    }
    alone: ClassVar[Sequence[str]] = ("threshold", "patience")

    def make(self, name: str, objective: Objective = LOSS, **options: Any) -> Pruner:
        """
        Return the pruner under test.
        """
        given = {**self.options.get(name, {}), **options}
        return create_pruner(PrunerSpec(name=name, options=given), [objective], step_name="epoch")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """
        Run every test for each name.
        """
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", list(self.names))

    def test_it_is_a_pruner(self, name: str) -> None:
        """
        It keeps the protocol, and its options refuse what they do not know.
        """
        pruner = self.make(name)

        assert isinstance(pruner, Pruner)
        assert issubclass(pruner.options_class, PrunerOptions)
        with pytest.raises(ValueError, match="no_such_option"):
            self.make(name, no_such_option=1)

    def test_same_history_same_answer(self, name: str) -> None:
        """
        It is pure: asked again, by another object, it says the same and changed nothing.
        """
        for trial, others in _histories():
            before = copy.deepcopy(others)
            answers = {self.make(name).judge(trial, others) for _ in range(2)}

            assert len(answers) == 1
            # NaN is no equal of itself: compared as text.
            assert repr(others) == repr(before)

    def test_order_of_the_others_is_no_matter(self, name: str) -> None:
        """
        Whoever ended first, the answer is the same.
        """
        for trial, others in _histories():
            pruner = self.make(name)

            assert pruner.judge(trial, others) == pruner.judge(trial, others[::-1])

    def test_who_measured_nothing_goes_on(self, name: str) -> None:
        """
        Nothing is known of a trial without the metric: it runs.
        """
        others = [trial_of(number, [1.0, 1.0]) for number in range(1, 20)]

        assert self.make(name).judge(trial_of(0, []), others) is None
        assert self.make(name).judge(trial_of(0, [9.0], metric="other"), others) is None

    def test_the_best_goes_on(self, name: str) -> None:
        """
        A trial that is ahead of everybody, and still gets better, is never ended.
        """
        others = [trial_of(number, [2.0, 1.9, 1.8, 1.7]) for number in range(1, 20)]
        values = [1.0, 0.9, 0.8, 0.7]
        for count in range(1, 5):
            assert self.make(name).judge(trial_of(0, values[:count]), others) is None

    def test_the_worst_of_many_ends_and_is_told_why(self, name: str) -> None:
        """
        A trial that is far behind ends at some step; the reason names the step and the value.
        """
        others = [
            trial_of(number, [1.0 - number / 100] * 30, state=TrialState.RUNNING)
            for number in range(1, 20)
        ]
        reasons = [
            self.make(name).judge(trial_of(0, [9.0] * count), others) for count in range(1, 31)
        ]
        reason = next(filter(None, reasons))

        place = reasons.index(reason) + 1
        assert reason.startswith(f"pruned at epoch {place}: ")
        assert "9" in reason.partition(": ")[2]

    def test_direction_counts(self, name: str) -> None:
        """
        Where values are maximised, the mirror image of a history gets the same verdict.
        """
        gain = Objective(metric="loss", direction="maximize")
        options = {"threshold": {"upper": None, "lower": -3.0}}.get(name, {})
        for trial, others in _histories():
            mirrored = [_mirrored(each) for each in (trial, *others)]
            pruner = self.make(name, gain, **options)
            ends = pruner.judge(mirrored[0], mirrored[1:]) is not None

            assert ends == (self.make(name).judge(trial, others) is not None)

    def test_failed_and_infeasible_trials_are_no_measure(self, name: str) -> None:
        """
        What a crashed trial measured is held against nobody.
        """
        states = (TrialState.FAILED, TrialState.INFEASIBLE, TrialState.WAITING)
        others = [trial_of(n, [0.1] * 9, state=states[n % 3]) for n in range(1, 20)]
        values = [2.0 - step / 10 for step in range(9)]
        for count in range(1, 10):
            assert self.make(name).judge(trial_of(0, values[:count]), others) is None

    def test_steps_are_compared_with_equal_steps(self, name: str) -> None:
        """
        Others that came farther count as they were at the same step.
        """
        others = [trial_of(n, [3.0, 2.0, 1.0, 0.1, 0.01]) for n in range(1, 20)]
        values = [2.9, 1.9, 0.9]
        for count in range(1, 4):
            trial = trial_of(0, values[:count])
            assert self.make(name).judge(trial, others) is None

    def test_itself_is_no_rival(self, name: str) -> None:
        """
        The trial's own record among the others makes no difference.
        """
        for trial, others in _histories():
            pruner = self.make(name)

            assert pruner.judge(trial, [*others, trial]) == pruner.judge(trial, others)


def _mirrored(trial: Trial) -> Trial:
    measurements = tuple(
        replace(found, metrics={"loss": -found.metrics["loss"]}) for found in trial.measurements
    )
    return replace(trial, measurements=measurements)
