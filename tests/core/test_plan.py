"""
Plans: what would run, computed without running anything.
"""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.trial import Outcome, TrialState
from airflow_hpo.plan import Round, make_plan
from airflow_hpo.storage.memory import MemoryStorage
from airflow_hpo.study import Study

FLOAT = {"name": "x", "distribution": {"kind": "float", "low": -1, "high": 1}}


def choice(*choices, name="k", **more):
    """
    Return a parameter that is one of *choices*.
    """
    return {"name": name, "distribution": {"kind": "choice", "choices": choices}, **more}


def make(*parameters, trials=5, strategy="random", batch=5, startup=20, **changes):
    """
    Return a blueprint.
    """
    return Blueprint.model_validate(
        {
            "name": "parabola",
            "objectives": [{"metric": "y", "direction": "minimize"}],
            "space": {"parameters": parameters or (FLOAT,)},
            "strategy": {"name": strategy, "seed": 7, "startup_trials": startup},
            "budget": {"trials": trials},
            "execution": {"batch_size": batch},
            "trial": {"steps": [{"command": "true"}]},
            **changes,
        }
    )


CAPPED = "budget.trials is capped to {}: there are {}, not {}"

CASES = {
    "one trial": (make(trials=1), [(1, "random")], 4, ()),
    "one round": (make(trials=5), [(5, "random")], 8, ()),
    "a short last round": (make(trials=7, batch=3), [(3, "random")] * 2 + [(1, "random")], 14, ()),
    "one by one": (make(trials=3, batch=1), [(1, "random")] * 3, 10, ()),
    "a batch above the budget": (make(trials=2, batch=9), [(2, "random")], 5, ()),
    "start-up, then the strategy": (
        make(trials=8, strategy="tpe", startup=5, batch=3),
        [(3, "random"), (3, "random, tpe"), (2, "tpe")],
        15,
        (),
    ),
    "points before start-up": (
        make(trials=6, strategy="tpe", startup=4, batch=3, points=[{"x": 0}, {"x": 1}]),
        [(3, "point, random"), (3, "random, tpe")],
        11,
        (),
    ),
    "points beyond start-up": (
        make(trials=4, strategy="tpe", startup=1, batch=2, points=[{"x": 0}, {"x": 1}, {"x": 0.5}]),
        [(2, "point"), (2, "point, tpe")],
        9,
        (),
    ),
    "points that repeat": (
        make(trials=4, batch=4, points=[{"x": 0}, {"x": 0}, {"x": 0.0}]),
        [(4, "point, random")],
        7,
        (),
    ),
    "no start-up": (make(trials=4, strategy="tpe", startup=0, batch=4), [(4, "tpe")], 7, ()),
    "a capped grid": (
        make(choice(1, 2, 3), trials=50, strategy="grid"),
        [(3, "grid")],
        6,
        (CAPPED.format(3, "3 configurations", 50),),
    ),
    "a capped random search": (
        make(choice(1, 2), choice("a", "b", "c", name="l"), trials=9),
        [(5, "random"), (1, "random")],
        11,
        (CAPPED.format(6, "6 configurations", 9),),
    ),
    "a space of one": (
        make(choice(1), trials=2),
        [(1, "random")],
        4,
        (CAPPED.format(1, "1 configuration", 2),),
    ),
    "a condition": (
        make(choice("a", "b"), choice(1, 2, 3, name="l", when={"k": ["a"]}), trials=9),
        [(4, "random")],
        7,
        (CAPPED.format(4, "4 configurations", 9),),
    ),
    "a space as large as the budget": (make(choice(1, 2, 3), trials=3), [(3, "random")], 6, ()),
}


@pytest.mark.parametrize(("blueprint", "rounds", "tasks", "notes"), CASES.values(), ids=CASES)
def test_table_of_cases(blueprint, rounds, tasks, notes):
    """
    Rounds, samplers, tasks and notes are as computed by hand.
    """
    plan = make_plan(blueprint)

    expected = tuple(Round(index, *each) for index, each in enumerate(rounds))
    assert (plan.rounds, plan.tasks, plan.notes) == (expected, tasks, notes)
    assert plan.trials == sum(count for count, _ in rounds)


@pytest.mark.parametrize(
    ("execution", "peak"),
    [
        ({"batch_size": 5}, 5),
        ({"batch_size": 50}, 20),
        ({"batch_size": 5, "concurrency": 2}, 2),
        ({"batch_size": 2, "concurrency": 9}, 2),
    ],
)
def test_peak_is_what_can_run_at_once(execution, peak):
    """
    A round, the budget and the concurrency all bound what runs at the same time.
    """
    assert make_plan(make(trials=20, execution=execution)).peak_parallelism == peak


def test_resource_is_spent_in_full():
    """
    Without a strategy that ends trials early each spends the whole resource.
    """
    plan = make_plan(make(trials=4, resource={"name": "epochs", "min": 1, "max": 27}))

    assert (plan.total_resource, plan.full_trials) == (108, 4)


def test_to_dict_is_the_printed_form():
    """
    The plan as data has the documented keys, in order, and plain lists.
    """
    data = make_plan(make(trials=3, batch=2)).to_dict()

    assert list(data) == [
        "study",
        "dialect",
        "mode",
        "trials",
        "rounds",
        "brackets",
        "tasks",
        "total_resource",
        "full_trials",
        "peak_parallelism",
        "notes",
    ]
    assert list(data["rounds"]) == [
        {"round": 0, "trials": 2, "sampler": "random"},
        {"round": 1, "trials": 1, "sampler": "random"},
    ]


@given(
    trials=st.integers(1, 300),
    batch=st.integers(1, 40),
    startup=st.integers(0, 40),
    size=st.none() | st.integers(1, 30),
    points=st.integers(0, 5),
)
def test_totals_never_exceed_the_budget(trials, batch, startup, size, points):
    """
    Whatever the blueprint: rounds add up, within budget and space.
    """
    parameters = [FLOAT] if size is None else [choice(*range(size))]
    name = "x" if size is None else "k"
    values = [number / 10 if size is None else number for number in range(min(points, size or 5))]
    plan = make_plan(
        make(
            *parameters,
            trials=trials,
            batch=batch,
            strategy="tpe",
            startup=startup,
            points=[{name: value} for value in values],
        )
    )

    counts = [each.trials for each in plan.rounds]
    assert sum(counts) == plan.trials == min(trials, size or trials)
    assert all(count == batch for count in counts[:-1])
    assert len(counts) == ceil(plan.trials / batch)
    assert plan.tasks == plan.trials + 2 * len(counts) + 1
    assert plan.total_resource <= trials
    assert plan.peak_parallelism == max(counts)


@settings(max_examples=25, deadline=None)
@given(
    trials=st.integers(1, 12),
    batch=st.integers(1, 5),
    strategy=st.sampled_from(["random", "grid"]),
    size=st.integers(1, 8),
    points=st.lists(st.integers(0, 7), max_size=4),
)
def test_plan_is_what_a_study_does(trials, batch, strategy, size, points):
    """
    A study asked round by round makes just the trials that were planned.
    """
    wanted = [{"k": point % size} for point in points]
    blueprint = make(
        choice(*range(size)), trials=trials, batch=batch, strategy=strategy, points=wanted
    )
    plan = make_plan(blueprint)
    study = Study.open(MemoryStorage(), "s", blueprint)

    for planned in plan.rounds:
        asked = study.ask(batch, key=str(planned.round))
        for trial in asked:
            attempt = study.start(trial.number, key="try").attempt
            outcome = Outcome(TrialState.COMPLETE, values=(1.0,))
            study.tell(trial.number, outcome, attempt=attempt)
        samplers = ", ".join(dict.fromkeys(trial.sampler for trial in asked))
        assert (len(asked), samplers) == (planned.trials, planned.sampler)

    assert study.ask(batch, key="more") == ()
