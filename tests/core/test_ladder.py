"""
Ladders: rung sizes and resources, as computed by hand and as the papers have them.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_hpo.model.ladder import (
    Scale,
    asynchronous,
    halving,
    hyperband,
    largest_start,
    total_spent,
    total_trials,
)

BOUND = 1000


def drawn(scale, **more):
    """
    Return how many configurations each bracket draws.
    """
    return [bracket.rungs[0].trials for bracket in hyperband(scale, **more)]


def steps_of(high, eta):
    """
    Return the largest s with eta ** s <= high, in integers.
    """
    steps, power = 0, eta
    while power <= high:
        steps, power = steps + 1, power * eta
    return steps


def check_hyperband(high, eta):
    """
    Compare all brackets with the formulae, written down in integers.
    """
    top = steps_of(high, eta)
    brackets = hyperband(Scale(1, high, eta))
    assert [bracket.bracket for bracket in brackets] == list(range(top, -1, -1))
    for bracket in brackets:
        steps, rungs = bracket.bracket, bracket.rungs
        start = -(-(top + 1) * eta**steps // (steps + 1))
        assert [rung.trials for rung in rungs] == [
            start if rung == 0 else start // eta**rung for rung in range(steps + 1)
        ]
        assert [rung.promote for rung in rungs] == [
            *(start // eta ** (rung + 1) for rung in range(steps)),
            0,
        ]
        resources = [rung.resource for rung in rungs]
        assert resources[-1] == high
        assert all(type(resource) is int and 1 <= resource <= high for resource in resources)
        assert all(below < above for below, above in pairwise(resources))
        for rung, resource in enumerate(resources):
            # Rounded to the nearest: never further off than a half.
            power = eta ** (steps - rung)
            assert 2 * abs(resource * power - high) <= power
        assert sum(rung.spent for rung in rungs) <= sum(rung.trials * high for rung in rungs)


class TestHyperband:
    """
    The brackets of Hyperband.
    """

    @pytest.mark.parametrize(
        ("high", "eta", "expected"),
        [
            (81, 3, [81, 34, 15, 8, 5]),
            (27, 3, [27, 12, 6, 4]),
            (16, 2, [16, 10, 7, 5, 5]),
            (100, 10, [100, 15, 3]),
            (243, 3, [243, 98, 41, 18, 9, 6]),
            (1000, 10, [1000, 134, 20, 4]),
            (1, 3, [1]),
        ],
    )
    def test_draws(self, high, eta, expected):
        """
        Each bracket draws as many as the formula says, exact powers included.
        """
        assert drawn(Scale(1, high, eta)) == expected

    def test_whole_table_of_81_by_3(self):
        """
        The first two brackets of the paper's example, rung by rung.
        """
        first, second, *_ = hyperband(Scale(1, 81))

        assert [(r.trials, r.resource, r.promote) for r in first.rungs] == [
            (81, 1, 27),
            (27, 3, 9),
            (9, 9, 3),
            (3, 27, 1),
            (1, 81, 0),
        ]
        assert [(r.trials, r.resource, r.promote) for r in second.rungs] == [
            (34, 3, 11),
            (11, 9, 3),
            (3, 27, 1),
            (1, 81, 0),
        ]
        assert total_trials(hyperband(Scale(1, 81))) == 206

    def test_no_trial_gets_nothing_or_more_than_all(self):
        """
        Maxima that are no power are divided without losing an epoch to binary fractions.
        """
        for high in (243, 300, 500, 729):
            for bracket in hyperband(Scale(1, high)):
                assert bracket.rungs[0].resource >= 1
                assert bracket.rungs[-1].resource == high

    def test_every_maximum_with_small_factors(self):
        """
        For every maximum up to 1000 the table is the formulae's.
        """
        for eta in (2, 3, 4, 5, 10):
            for high in range(1, BOUND + 1):
                check_hyperband(high, eta)

    @given(st.integers(1, BOUND), st.integers(2, BOUND))
    def test_any_maximum_and_factor(self, high, eta):
        """
        For any maximum and factor up to 1000 the table is the formulae's.
        """
        check_hyperband(high, eta)

    def test_fractions_are_what_was_written(self):
        """
        A tenth is a tenth: 0.1 times 9 is 0.9, so there are three rungs.
        """
        resources = [
            [rung.resource for rung in bracket.rungs]
            for bracket in hyperband(Scale(0.1, 0.9, whole=False))
        ]

        assert resources == [pytest.approx([0.1, 0.3, 0.9]), pytest.approx([0.3, 0.9]), [0.9]]

    def test_a_factor_with_a_fraction(self):
        """
        The factor may be no whole number.
        """
        assert drawn(Scale(1, 81, 2.9)) == [71, 31, 15, 8, 5]

    def test_small_spaces_cap_the_brackets_in_order(self):
        """
        No configuration is tried twice: later brackets get what is left, or nothing.
        """
        assert drawn(Scale(1, 9), configurations=12) == [9, 3]
        assert drawn(Scale(1, 9), configurations=4) == [4]
        (only,) = hyperband(Scale(1, 9), configurations=4)
        assert [rung.trials for rung in only.rungs] == [4, 1, 1]

    def test_iterations_repeat_all_brackets(self):
        """
        Each iteration has every bracket again, under a name of its own.
        """
        twice = hyperband(Scale(1, 9), iterations=2)

        assert total_trials(twice) == 2 * total_trials(hyperband(Scale(1, 9)))
        assert len({bracket.name for bracket in twice}) == len(twice) == 6

    def test_resuming_spends_the_difference(self):
        """
        Trials that resume spend what comes on top; those that restart spend all of it.
        """
        (resumed, *_), (afresh, *_) = (
            hyperband(Scale(1, 9, resume=resume)) for resume in (True, False)
        )

        assert [rung.spent for rung in resumed.rungs] == [9, 3 * 2, 6]
        assert [rung.spent for rung in afresh.rungs] == [9, 9, 9]


class TestHalving:
    """
    One bracket, from the minimum up.
    """

    @pytest.mark.parametrize(
        ("low", "high", "eta", "expected"),
        [
            (1, 81, 3, (1, 3, 9, 27, 81)),
            (1, 100, 3, (1, 3, 9, 27, 100)),
            (1, 52, 3, (1, 3, 9, 27, 52)),
            (2, 2, 3, (2,)),
            (2, 3, 3, (2, 3)),
            (5, 100, 4, (5, 20, 100)),
        ],
    )
    def test_resources(self, low, high, eta, expected):
        """
        They are the powers, and the maximum at the end.
        """
        assert Scale(low, high, eta).upwards() == expected

    @given(
        low=st.integers(1, 50),
        factor=st.integers(1, BOUND),
        eta=st.integers(2, 10),
    )
    def test_resources_rise_to_the_maximum(self, low, factor, eta):
        """
        They end at the maximum, rise, and no two neighbours are almost the same.
        """
        found = Scale(low, low * factor, eta).upwards()

        assert found[-1] == low * factor
        assert found[0] == low
        assert all(below < above for below, above in pairwise(found))
        if len(found) > 2:
            assert all(above**2 >= below**2 * eta for below, above in pairwise(found))

    @given(st.integers(1, 500), st.integers(2, 200), st.integers(2, 5))
    def test_start_fits_the_budget(self, trials, high, eta):
        """
        The bracket that is chosen for a budget fits it, and the next larger one does not.
        """
        scale = Scale(1, high, eta)
        start = largest_start(trials, scale)

        if start:
            assert total_trials([halving(start, scale)]) <= trials
        assert total_trials([halving(start + 1, scale)]) > trials

    def test_too_small_a_budget(self):
        """
        Where not even one trial can climb to the top, no bracket is possible.
        """
        assert largest_start(2, Scale(1, 9)) == 0
        assert largest_start(3, Scale(1, 9)) == 1


class TestAsynchronous:
    """
    The most that asynchronous halving can do with a number of trials.
    """

    def test_by_hand(self):
        """
        Thirteen trials are nine new ones, three promoted once, one twice.
        """
        for trials, expected in [(13, [9, 3, 1]), (12, [9, 3, 0]), (11, [9, 2, 0])]:
            assert [r.trials for r in asynchronous(trials, Scale(1, 9)).rungs] == expected

    @given(st.integers(1, 400), st.integers(1, 300), st.integers(2, 5))
    def test_one_at_a_time_gives_the_table(self, trials, high, eta):
        """
        Promoting from the highest rung that is due, one by one, ends at these numbers.
        """
        counts = [0] * len(Scale(1, high, eta).upwards())
        for _ in range(trials):
            due = [
                rung for rung in range(len(counts) - 1) if counts[rung + 1] < counts[rung] // eta
            ]
            counts[max(due) + 1 if due else 0] += 1

        assert [r.trials for r in asynchronous(trials, Scale(1, high, eta)).rungs] == counts

    @given(st.integers(1, 200), st.integers(2, 100), st.integers(2, 4), st.booleans(), st.data())
    def test_no_order_spends_more(self, trials, high, eta, resume, data):
        """
        However late promotions come, the trials spend no more than the table says.
        """
        scale = Scale(1, high, eta, resume=resume)
        table = asynchronous(trials, scale)
        counts = [0] * len(table.rungs)
        for _ in range(trials):
            due = [
                rung for rung in range(len(counts) - 1) if counts[rung + 1] < counts[rung] // eta
            ]
            chosen = data.draw(st.sampled_from([0, *(rung + 1 for rung in due)]))
            counts[chosen] += 1
        resources = [rung.resource for rung in table.rungs]
        steps = [
            resource - (resources[rung - 1] if rung and resume else 0)
            for rung, resource in enumerate(resources)
        ]

        assert sum(n * step for n, step in zip(counts, steps, strict=True)) <= total_spent([table])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 9), "min=0"),
        ((9, 1), "max=1"),
        ((1, 9, 1), "eta must be at least 2, got 1"),
        ((1, 9, float("nan")), "eta must be at least 2, got nan"),
    ],
)
def test_impossible_scales_are_named(arguments, message):
    """
    The message names the argument and the value that broke the rule.
    """
    with pytest.raises(ValueError, match=message):
        Scale(*arguments)
