"""
Hypothesis strategies that make whole blueprints, to test with what nobody wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.callbacks import Callback, Callbacks
from airflow_hpo.model.dag import DagSpec
from airflow_hpo.model.distribution import Constant
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.resource import Resource
from airflow_hpo.model.retuning import ChampionSpec, PreviousStart, ScheduleSpec
from airflow_hpo.model.space import Space
from airflow_hpo.model.stop import Budget, ExpressionRule, MetricRule, PlateauRule, StopRule
from airflow_hpo.model.strategy import Execution, PrunerSpec, StrategySpec
from airflow_hpo.model.values import Configuration, Value
from airflow_hpo.strategies.support import unsupported
from airflow_hpo.testing.drawn import COUNTS, NUMBERS, POSITIVE, TEXTS, WORDS, Draw
from airflow_hpo.testing.drawn_spaces import configurations, spaces
from airflow_hpo.testing.drawn_trials import trial_specs

__all__ = ["blueprints"]

_ids = st.from_regex(r"[\w.-]{1,20}", fullmatch=True)


@st.composite
def _points(draw: Draw[Any], space: Space) -> tuple[Configuration, ...]:
    points = []
    for full in draw(st.lists(configurations(space), max_size=2)):
        point = {name: value for name, value in full.items() if draw(st.booleans())}
        constants = {
            parameter.name: parameter.distribution.value
            for parameter in space.parameters
            if isinstance(parameter.distribution, Constant)
        }
        if space.satisfies_constraints({**constants, **point}):
            points.append(point)
    return tuple(points)


@st.composite
def _strategies(
    draw: Draw[Any], space: Space, objectives: tuple[Objective, ...], mode: str
) -> StrategySpec:
    name = draw(st.sampled_from(["tpe", "random", "grid", "manual"]))
    options: dict[str, Value] = {}
    if name == "manual":
        listed = draw(st.lists(configurations(space), min_size=1, max_size=3))
        allowed = [item for item in listed if not any(space.problems(item))]
        options = {"configurations": allowed}
        name = name if allowed else "random"
    if unsupported(name, space=space, objectives=objectives, mode=mode):
        name = "random"
    if name == "grid":
        options = draw(st.sampled_from([{}, {"order": "shuffled"}]))
    return StrategySpec(
        name=name,
        startup_trials=draw(st.integers(0, 50)),
        seed=draw(st.none() | st.integers(0, 2**63 - 1)),
        options={} if name in {"tpe", "random"} else options,
    )


_objectives = st.builds(
    lambda metric, aim, value: Objective(metric=metric, value=value, **aim),
    metric=WORDS,
    aim=st.sampled_from([{"direction": "minimize"}, {"direction": "maximize"}])
    | st.builds(lambda target: {"target": target}, NUMBERS),
    value=st.sampled_from(["last", "min", "max", "mean_last_3"]),
)


@st.composite
def _budgets(draw: Draw[Any]) -> Budget:
    limit: Mapping[str, Any] = draw(
        st.sampled_from([{}, {"failures": 3}])
        | st.builds(lambda share: {"failure_share": share}, st.floats(0, 1, exclude_min=True))
    )
    times = st.none() | POSITIVE | st.integers(1, 10**6).map(float)
    return Budget(
        trials=draw(COUNTS),
        wall_clock_s=draw(times),
        trial_time_s=draw(times),
        identical_failures=draw(st.none() | st.integers(2, 9)),
        **limit,
    )


@st.composite
def _rules(draw: Draw[Any]) -> StopRule:
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return PlateauRule(trials=draw(COUNTS), min_delta=draw(st.just(0.0) | POSITIVE))
    if kind == 1:
        texts = ["loss < 0.1", "a-b >= 3 and not execution.counter == 2", "'it\\'s' == \"a\""]
        return ExpressionRule(expression=draw(st.sampled_from(texts)))
    threshold = draw(st.sampled_from(["at_least", "at_most", "target"]))
    tolerance = draw(st.just(0.0) | POSITIVE)
    return MetricRule(metric=draw(WORDS), tolerance=tolerance, **{threshold: draw(NUMBERS)})


_schedules = st.sampled_from(
    [
        *(None, "@daily", "*/15 0-6 1,15 * mon-fri", "@continuous"),
        ScheduleSpec(cron="0 2 * * *", timezone="Europe/Berlin"),
        ScheduleSpec(timetable="a.b.Moons", arguments={"every": "6h", "n": 1}),
        ScheduleSpec(assets=("s3://a/b", "x://c"), match="any", cron="@weekly"),
    ]
)

_previous = st.builds(
    PreviousStart, trials=st.none() | COUNTS, max_age_s=st.none() | POSITIVE
) | st.just(PreviousStart(use="points", trials=3))

_champions = st.sampled_from(
    [
        *(ChampionSpec(), ChampionSpec(asset="hpo://a/champion")),
        *(ChampionSpec(tolerance=0.5), ChampionSpec(tolerance_share=0.125)),
    ]
)


@st.composite
def _dags(draw: Draw[Any], *, fixed: bool) -> DagSpec:
    schedule = draw(_schedules)
    start = draw(st.none() | st.dates().map(str))
    champion = draw(st.none() | _champions)
    if champion is not None and champion.is_checked and fixed:
        champion = None
    more = {
        "warm_start": None if fixed else draw(st.none() | _previous),
        "champion": champion,
        "approve": champion is not None and draw(st.booleans()),
    }
    return DagSpec(
        id=draw(st.none() | _ids),
        schedule=schedule,
        start_date=start,
        catchup=draw(st.booleans()) if schedule and start else False,
        tags=tuple(draw(st.lists(WORDS, max_size=2))),
        owner=draw(st.none() | WORDS),
        retries=draw(st.integers(0, 5)),
        max_active_runs=1 if schedule == "@continuous" else draw(st.none() | COUNTS),
        **more,
    )


def blueprints(*, planned: bool = False) -> st.SearchStrategy[Blueprint]:
    """
    Return a strategy of blueprints that the native dialect can say and accepts.

    Args:
        planned: Whether with what is read already but refused as not built yet.
    """
    return _blueprints(planned=planned)


@st.composite
def _blueprints(draw: Draw[Any], *, planned: bool) -> Blueprint:
    space = draw(spaces())
    several = st.lists(
        _objectives, min_size=1, max_size=2 if planned else 1, unique_by=lambda item: item.metric
    )
    objectives = tuple(draw(several))
    mode = draw(st.sampled_from(["batch", "async"])) if planned else "batch"
    resource = Resource(name="epochs", min=1, max=27.5) if planned and draw(st.booleans()) else None
    if resource is not None and resource.name in space.by_name:
        resource = None
    trial = draw(trial_specs(space, resource, planned=planned))
    study = draw(st.none() | st.sampled_from(["digits", "digits-{{ ds }}", "1e3"]))
    prunable = len(objectives) == 1 and trial.runner.name != "inline"
    return Blueprint(
        name=draw(_ids),
        description=draw(TEXTS),
        study=study,
        objectives=objectives,
        space=space,
        points=draw(_points(space)),
        strategy=draw(_strategies(space, objectives, mode)),
        pruner=draw(st.none() | _pruners) if prunable else None,
        budget=draw(_budgets()),
        execution=draw(_executions(mode)),
        stop=tuple(
            rule
            for rule in draw(st.lists(_rules(), max_size=3))
            # A plateau has one objective to look at.
            if len(objectives) == 1 or not isinstance(rule, PlateauRule)
        ),
        resource=resource,
        trial=trial,
        callbacks=draw(_callbacks),
        dag=draw(_dags(fixed=study is not None and "{{" not in study)),
    )


def _executions(mode: str) -> st.SearchStrategy[Execution]:
    """
    Return ways to run trials; the mode async has slots and knows no batches.
    """
    if mode == "async":
        return st.builds(Execution, mode=st.just(mode), concurrency=COUNTS)
    return st.builds(Execution, batch_size=COUNTS, concurrency=st.none() | COUNTS)


_callbacks = st.sampled_from(
    [
        Callbacks(),
        Callbacks(on_new_best=(Callback(function="a.b:c.d"),)),
        Callbacks(
            on_trial_complete=(Callback(function="a:b"), Callback(notifier="a.b")),
            on_study_end=(Callback(notifier="a.B", arguments={"to": "{{ hpo.study }}", "n": 1}),),
        ),
    ]
)

_pruners = st.sampled_from(
    [
        PrunerSpec(name="median"),
        PrunerSpec(name="median", options={"startup_trials": 3, "warmup": 2.5, "averages": True}),
        PrunerSpec(name="bandit", options={"slack_factor": 0.1}),
        PrunerSpec(name="threshold", options={"upper": 1e9, "interval": 4}),
    ]
)
