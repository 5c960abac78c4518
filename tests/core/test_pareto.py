"""
Pareto fronts, ranks, crowding and hypervolume, beside what is slow and plain.
"""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_hpo.model.objective import Objective, best_trial
from airflow_hpo.model.pareto import (
    crowding,
    dominates,
    front_indices,
    hypervolume,
    measured_front,
    pareto_front,
    ranks,
)
from airflow_hpo.model.trial import Trial, TrialState


def points(least=0, most=14, high=4):
    """
    Return lists of points on a small lattice, so that ties and copies are common.
    """
    coordinate = st.integers(0, high)
    return st.integers(1, 4).flatmap(
        lambda width: st.lists(st.tuples(*[coordinate] * width), min_size=least, max_size=most)
    )


def plain_front(losses):
    """
    Return the front as it is defined.
    """
    return [
        place
        for place, one in enumerate(losses)
        if not any(
            all(a <= b for a, b in zip(other, one, strict=True)) and other != one
            for other in losses
        )
    ]


@given(points())
def test_front_is_what_nothing_dominates(losses):
    """
    Ties and copies included, in the order of the places.
    """
    assert front_indices(losses) == plain_front(losses)


@given(points())
def test_ranks_are_fronts_that_were_removed(losses):
    """
    Removing front after front gives the ranks.
    """
    expected = {}
    left = list(range(len(losses)))
    for rank in itertools.count():
        if not left:
            break
        gone = {left[place] for place in plain_front([losses[place] for place in left])}
        expected |= dict.fromkeys(gone, rank)
        left = [place for place in left if place not in gone]

    assert ranks(losses) == [expected[place] for place in range(len(losses))]


@given(points(least=1), st.data())
def test_dominance_is_an_order(losses, data):
    """
    Nothing dominates itself or what dominates it, and it carries over.
    """
    one, two, three = (data.draw(st.sampled_from(losses)) for _ in range(3))

    assert not dominates(one, one)
    assert not (dominates(one, two) and dominates(two, one))
    if dominates(one, two) and dominates(two, three):
        assert dominates(one, three)


@given(points(most=9))
def test_hypervolume_counts_the_cells_of_a_lattice(losses):
    """
    On whole numbers the volume is the number of unit cells that are dominated.
    """
    width = len(losses[0]) if losses else 2
    reference = (3,) * width
    cells = sum(
        any(all(a <= b for a, b in zip(point, cell, strict=True)) for point in losses)
        for cell in itertools.product(range(3), repeat=width)
    )

    assert hypervolume(losses, reference) == cells


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), max_size=8), st.permutations(range(3)))
def test_hypervolume_knows_no_order(losses, order):
    """
    Neither the order of points nor that of the objectives changes it.
    """
    volume = hypervolume(losses, (1, 1, 1))
    turned = [tuple(point[axis] for axis in order) for point in reversed(losses)]

    assert hypervolume(turned, (1, 1, 1)) == pytest.approx(volume)


@given(points(least=1, most=10), st.data())
def test_hypervolume_grows_only_with_new_ground(losses, data):
    """
    A point adds something exactly where it is better than all and the reference.
    """
    width = len(losses[0])
    point = data.draw(st.tuples(*[st.integers(0, 4)] * width))
    covered = any(other == point or dominates(other, point) for other in losses)
    inside = all(value < 4 for value in point)

    grown = hypervolume([*losses, point], (4,) * width) - hypervolume(losses, (4,) * width)

    assert (grown > 0) == (inside and not covered)


@given(points(least=1))
def test_crowding_leaves_the_outermost_all_room(losses):
    """
    Each objective has a best and a worst with infinite room; copies have none.
    """
    room = crowding(losses)

    for axis in range(len(losses[0])):
        for pick in (min, max):
            edge = pick(point[axis] for point in losses)
            assert any(
                point[axis] == edge and own == math.inf
                for point, own in zip(losses, room, strict=True)
            )
    for place, point in enumerate(losses):
        if point in losses[:place]:
            assert room[place] == 0
    assert all(own >= 0 for own in room)


def test_crowding_by_hand():
    """
    The sides of the box around a point, each in shares of the range.
    """
    losses = [(0.0, 10.0), (1.0, 6.0), (3.0, 5.0), (4.0, 0.0)]

    assert crowding(losses) == [math.inf, 3 / 4 + 5 / 10, 3 / 4 + 6 / 10, math.inf]
    assert crowding([]) == []
    assert crowding([(1.0, 2.0)] * 2) == [math.inf, 0]
    assert crowding([(0.0, math.inf), (1.0, math.inf), (2.0, 0.0)])[1] >= 0


def test_infinite_losses_are_worst():
    """
    They are dominated by anything else, and add no volume.
    """
    assert front_indices([(math.inf, math.inf), (1.0, 1.0)]) == [1]
    assert hypervolume([(math.inf, 0.0), (1.0, 1.0)], (2.0, 2.0)) == 1


def test_front_of_trials():
    """
    Directions and targets count, copies stay, and only complete trials are in.
    """
    objectives = (
        Objective(metric="accuracy", direction="maximize"),
        Objective(metric="share", target=0.5),
    )
    values = [(0.9, 0.9), (0.8, 0.5), (0.9, 0.1), (0.7, 0.4), (0.8, 0.5)]
    trials = [
        Trial(number, {}, TrialState.COMPLETE, values=each) for number, each in enumerate(values)
    ]
    trials.append(Trial(5, {}, TrialState.PRUNED))

    front = [trial.number for trial in pareto_front(objectives, trials)]

    assert front == [0, 2, 1, 4]
    assert best_trial(objectives, trials).number == front[0]
    assert pareto_front(objectives, []) == []


@pytest.mark.parametrize("count", [2, 3, 11, 101])
def test_hypervolume_below_a_straight_front(count):
    """
    Evenly spread over the diagonal, points miss half a step of the triangle each.
    """
    steps = count - 1
    losses = [(place / steps, 1 - place / steps) for place in range(count)]

    assert hypervolume(losses, (1, 1)) == pytest.approx(1 / 2 - 1 / (2 * steps))


def test_hypervolume_by_hand_in_three_dimensions():
    """
    Three bars that lie across each other: the sum less what they share.
    """
    losses = [(0, 2, 2), (2, 0, 2), (2, 2, 0)]

    # Each is 3 x 1 x 1; any two, and so all three, share the cube of 1.
    assert hypervolume(losses, (3, 3, 3)) == 3 * 3 - 3 * 1 + 1


@settings(deadline=None)  # Optuna is loaded on the way
@given(
    st.integers(2, 5).flatmap(
        lambda width: st.lists(
            st.tuples(*[st.floats(0, 1, width=16)] * width), min_size=1, max_size=12
        )
    )
)
def test_hypervolume_is_optunas(losses):
    """
    Optuna computes the same volumes.
    """
    numpy = pytest.importorskip("numpy")
    wfg = pytest.importorskip("optuna._hypervolume")
    corner = (1.1,) * len(losses[0])

    theirs = wfg.compute_hypervolume(numpy.array(losses), numpy.array(corner))

    assert hypervolume(losses, corner) == pytest.approx(float(theirs), abs=1e-9)


def test_measured_front_takes_the_worst_seen_for_a_missing_reference():
    """
    A reference that is given stands; otherwise the worst value of all, on the front or not.
    """
    loss = Objective(metric="loss", direction="minimize", reference=4)
    gain = Objective(metric="gain", direction="maximize")
    values = [(1, 5), (2, 9), (3, 3), (9, 1)]
    trials = [
        Trial(number, {}, TrialState.COMPLETE, values=each) for number, each in enumerate(values)
    ]

    volume, reference = measured_front([loss, gain], trials)

    assert reference == {"loss": 4, "gain": 1}
    assert volume == 3 * 4 + 2 * 4
    assert measured_front([loss, gain], []) == (None, {})


def test_fronts_too_large_to_measure_are_not_measured():
    """
    Nobody waits for minutes for one number of a report.
    """
    objectives = [Objective(metric=name, direction="minimize") for name in "abcde"]
    trials = [
        Trial(number, {}, TrialState.COMPLETE, values=(number, -number, 0, 0, 0))
        for number in range(400)
    ]

    volume, reference = measured_front(objectives, trials)

    assert volume is None
    assert set(reference) == set("abcde")
