"""
Hypothesis strategies that make whole blueprints, to test with what nobody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hypothesis import strategies as st

from airflow_hpo.blueprint.template import ALL_PARAMETERS
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.callbacks import Callback, Callbacks
from airflow_hpo.model.dag import DagSpec
from airflow_hpo.model.distribution import (
    Categorical,
    Constant,
    Distribution,
    Float,
    Int,
    LogNormal,
    Normal,
)
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.placement import RunnerSpec
from airflow_hpo.model.resource import Resource
from airflow_hpo.model.retuning import ChampionSpec, PreviousStart, ScheduleSpec
from airflow_hpo.model.signs import FailureSigns, FailureSpec
from airflow_hpo.model.space import Parameter, Space
from airflow_hpo.model.stop import Budget, ExpressionRule, MetricRule, PlateauRule, StopRule
from airflow_hpo.model.strategy import Execution, PrunerSpec, StrategySpec
from airflow_hpo.model.trial_spec import MetricsSpec, PlatformSpec, Retries, Step, TrialSpec
from airflow_hpo.model.values import Configuration, Value, canonical
from airflow_hpo.strategies.support import unsupported

__all__ = ["blueprints", "configurations", "distributions", "spaces", "values"]

_T = TypeVar("_T")
_Draw = Callable[[st.SearchStrategy[_T]], _T]

# Anything but halves of characters, which no file can hold.
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_words = _texts.filter(bool)
_scalars = st.none() | st.booleans() | st.integers() | _texts
_numbers = st.floats(-1e9, 1e9)
_positive = st.floats(1e-6, 1e9)
_counts = st.integers(1, 1000)
_ids = st.from_regex(r"[\w.-]{1,20}", fullmatch=True)

# Plain names mostly, so that expressions can name them; others to be hard on quoting.
_names = st.from_regex(r"[a-z][a-z_]{0,7}", fullmatch=True) | _words.filter(
    lambda text: re.fullmatch(r"[^\s{}:]+", text) is not None
)


def values() -> st.SearchStrategy[Value]:
    """
    Return a strategy of anything that a parameter may be.
    """
    scalars = _scalars | st.floats(allow_nan=False, allow_infinity=False)
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
        max_leaves=5,
    )


@st.composite
def _floats(draw: _Draw[Any]) -> Float:
    log = draw(st.booleans())
    low, high = sorted(draw(st.tuples(*[_positive if log else _numbers] * 2)))
    parts = draw(st.none() | st.integers(1, 50))
    step = (high - low) / parts if parts and high > low else None
    anchor = draw(st.sampled_from(["low", "zero"])) if step else "low"
    return Float(low=low, high=high, step=step or None, log=log, anchor=anchor)


@st.composite
def _ints(draw: _Draw[Any]) -> Int:
    log = draw(st.booleans())
    low, high = sorted(draw(st.tuples(*[st.integers(1 if log else -1000, 1000)] * 2)))
    return Int(low=low, high=high, step=draw(st.integers(1, 20)), log=log)


@st.composite
def _choices(draw: _Draw[Any]) -> Categorical:
    choices = draw(st.lists(values(), min_size=1, max_size=5, unique_by=canonical))
    shares = st.lists(st.floats(0.01, 9), min_size=len(choices), max_size=len(choices))
    weights = draw(st.none() | shares)
    return Categorical(choices=tuple(choices), weights=None if weights is None else tuple(weights))


def distributions() -> st.SearchStrategy[Distribution]:
    """
    Return a strategy of distributions of every kind.
    """
    step = st.none() | st.floats(0.001, 10)
    narrow = st.floats(0.001, 10)
    return st.one_of(
        _floats(),
        _ints(),
        _choices(),
        st.builds(Normal, mean=_numbers, deviation=_positive, step=step),
        st.builds(LogNormal, mean=st.floats(-10, 10), deviation=narrow, step=step),
        st.builds(Constant, value=values()),
    )


@st.composite
def spaces(draw: _Draw[Any]) -> Space:
    """
    Return a strategy of spaces with conditions and constraints.
    """
    names = draw(st.lists(_names, min_size=1, max_size=5, unique=True))
    names = [name for name in names if name != ALL_PARAMETERS] or ["x"]
    parameters: list[Parameter] = []
    for name in names:
        distribution = draw(distributions() if parameters else _floats() | _ints() | _choices())
        when = {}
        if parameters and draw(st.integers(0, 3)) == 0:
            parent = draw(st.sampled_from(parameters))
            units = draw(st.lists(st.floats(0, 1), min_size=1, max_size=2))
            when[parent.name] = tuple(parent.distribution.from_unit(unit) for unit in units)
        parameters.append(Parameter(name=name, distribution=distribution, when=when))
    return Space(
        parameters=tuple(draw(st.permutations(parameters))),
        constraints=draw(_constraints(parameters)),
    )


@st.composite
def _constraints(draw: _Draw[Any], parameters: list[Parameter]) -> tuple[str, ...]:
    plain = [item.name for item in parameters if re.fullmatch("[a-z][a-z_]*", item.name)]
    plain = [name for name in plain if name not in {"and", "or", "not", "in", "is"}]
    if not plain:
        return ()
    name = st.sampled_from(plain)
    rule = st.builds("{} {} {}".format, name, st.sampled_from(["<", ">=", "!=", "in"]), name)
    return tuple(draw(st.lists(rule, max_size=2)))


@st.composite
def configurations(draw: _Draw[Any], space: Space) -> dict[str, Value]:
    """
    Return a strategy of configurations of *space*, constraints left aside.
    """
    found = {
        parameter.name: parameter.distribution.from_unit(draw(st.floats(0, 1)))
        for parameter in space.parameters
    }
    return space.arrange(found)


@st.composite
def _points(draw: _Draw[Any], space: Space) -> tuple[Configuration, ...]:
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
    draw: _Draw[Any], space: Space, objectives: tuple[Objective, ...], mode: str
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
    metric=_words,
    aim=st.sampled_from([{"direction": "minimize"}, {"direction": "maximize"}])
    | st.builds(lambda target: {"target": target}, _numbers),
    value=st.sampled_from(["last", "min", "max", "mean_last_3"]),
)


@st.composite
def _budgets(draw: _Draw[Any]) -> Budget:
    limit: Mapping[str, Any] = draw(
        st.sampled_from([{}, {"failures": 3}])
        | st.builds(lambda share: {"failure_share": share}, st.floats(0, 1, exclude_min=True))
    )
    times = st.none() | _positive | st.integers(1, 10**6).map(float)
    return Budget(
        trials=draw(_counts),
        wall_clock_s=draw(times),
        trial_time_s=draw(times),
        identical_failures=draw(st.none() | st.integers(2, 9)),
        **limit,
    )


@st.composite
def _rules(draw: _Draw[Any]) -> StopRule:
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return PlateauRule(trials=draw(_counts), min_delta=draw(st.just(0.0) | _positive))
    if kind == 1:
        texts = ["loss < 0.1", "a-b >= 3 and not execution.counter == 2", "'it\\'s' == \"a\""]
        return ExpressionRule(expression=draw(st.sampled_from(texts)))
    threshold = draw(st.sampled_from(["at_least", "at_most", "target"]))
    tolerance = draw(st.just(0.0) | _positive)
    return MetricRule(metric=draw(_words), tolerance=tolerance, **{threshold: draw(_numbers)})


@st.composite
def _commands(draw: _Draw[Any], space: Space, resource: Resource | None) -> str:
    pieces = st.sampled_from(["python train.py", "{{}}", "'a b'", '"$HOME"', "\n", "{parameters}"])
    for parameter in space.parameters:
        forms = [f"{{{parameter.name}:--flag}}", f"{{{parameter.name}:key=}}"]
        if not parameter.when:
            forms += [f"{{{parameter.name}}}", f'"x {{{parameter.name}}}"']
        pieces |= st.sampled_from(forms)
    if resource is not None:
        pieces |= st.just(f"{{{resource.name}}}")
    return "run " + " ".join(draw(st.lists(pieces, max_size=5)))


_runners = st.one_of(
    st.just(RunnerSpec()),
    st.builds(
        lambda names: RunnerSpec(name="subprocess", options={"pass_environment": names}),
        st.lists(_words, max_size=2),
    ),
    st.just(RunnerSpec(name="inline", options={"callable": "train:main"})),
)

_platforms = st.none() | st.builds(
    lambda step, uris: PlatformSpec(
        name="valohai", options={"step": step, "inputs": [{"name": "data", "uris": uris}]}
    ),
    _words,
    st.lists(_words, max_size=2),
)

_metrics = st.one_of(
    st.just(MetricsSpec()),
    st.builds(lambda name: MetricsSpec(options={"resource": name}), _words),
    st.just(MetricsSpec(format="file", options={"path": "a.txt", "format": "csv"})),
    st.just(MetricsSpec(format="regex", options={"patterns": {"a b": "a=(.*)"}})),
)


@st.composite
def _steps(
    draw: _Draw[Any], space: Space, resource: Resource | None, *, planned: bool
) -> tuple[Step, ...]:
    names = st.from_regex(r"[a-z0-9_-]{1,9}", fullmatch=True)
    most = 3 if planned else 1
    chosen = draw(st.just(["trial"]) | st.lists(names, min_size=1, max_size=most, unique=True))
    place = {  # of the one task that runs them all
        "pool": draw(st.none() | _words),
        "pool_slots": draw(_counts),
        "queue": draw(st.none() | _words),
        "executor": draw(st.none() | _words),
        "priority_weight": draw(st.none() | _counts),
    }
    steps = [
        Step(
            name=name,
            command=draw(_commands(space, resource)),
            runner=draw(st.none() | _runners),
            **place,
        )
        for name in chosen
    ]
    gpus = st.sampled_from([0.0, 0.5, 1.0, 2.0])
    return tuple(
        step.model_copy(update={"gpus": draw(gpus)})
        if step.runner is not None and step.runner.name == "subprocess"
        else step
        for step in steps
    )


@st.composite
def _failures(draw: _Draw[Any]) -> FailureSpec:
    codes = draw(st.lists(st.integers(1, 255), max_size=4, unique=True))
    signs = st.lists(st.sampled_from(["a.*b", "out of memory", r"\d+ errors"]), max_size=2)
    kinds = ("infeasible", "infrastructure", "code")
    return FailureSpec(
        **{
            kind: FailureSigns(exit_codes=tuple(codes[place::3]), logs=tuple(draw(signs)))
            for place, kind in enumerate(kinds)
        },
        out_of_memory=draw(st.none() | st.sampled_from(kinds)),
    )


@st.composite
def _trials(
    draw: _Draw[Any], space: Space, resource: Resource | None, *, planned: bool
) -> TrialSpec:
    variables = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
    seconds = st.just(10.0) | st.just(0.0) | _positive
    return TrialSpec(
        steps=draw(_steps(space, resource, planned=planned)),
        runner=draw(_runners),
        environment=draw(st.dictionaries(variables, _texts, max_size=2)),
        platform=draw(_platforms),
        until=draw(st.none() | st.just("loss < 0.1 and not val-loss > 3")),
        workdir=draw(st.none() | _words.filter(lambda text: "\0" not in text)),
        metrics=draw(_metrics),
        timeout_s=draw(st.none() | _positive),
        grace_s=draw(seconds),
        retries=draw(st.builds(Retries, infrastructure=_counts, code=_counts)),
        failures=draw(_failures()),
        on_failure=draw(st.sampled_from(["continue", "continue_then_fail", "stop"])),
        deferrable=draw(st.none() | st.booleans()),
    )


_schedules = st.sampled_from(
    [
        *(None, "@daily", "*/15 0-6 1,15 * mon-fri", "@continuous"),
        ScheduleSpec(cron="0 2 * * *", timezone="Europe/Berlin"),
        ScheduleSpec(timetable="a.b.Moons", arguments={"every": "6h", "n": 1}),
        ScheduleSpec(assets=("s3://a/b", "x://c"), match="any", cron="@weekly"),
    ]
)

_previous = st.builds(
    PreviousStart, trials=st.none() | _counts, max_age_s=st.none() | _positive
) | st.just(PreviousStart(use="points", trials=3))

_champions = st.sampled_from(
    [
        *(ChampionSpec(), ChampionSpec(asset="hpo://a/champion")),
        *(ChampionSpec(tolerance=0.5), ChampionSpec(tolerance_share=0.125)),
    ]
)


@st.composite
def _dags(draw: _Draw[Any], *, fixed: bool) -> DagSpec:
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
        tags=tuple(draw(st.lists(_words, max_size=2))),
        owner=draw(st.none() | _words),
        retries=draw(st.integers(0, 5)),
        max_active_runs=1 if schedule == "@continuous" else draw(st.none() | _counts),
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
def _blueprints(draw: _Draw[Any], *, planned: bool) -> Blueprint:
    space = draw(spaces())
    several = st.lists(
        _objectives, min_size=1, max_size=2 if planned else 1, unique_by=lambda item: item.metric
    )
    objectives = tuple(draw(several))
    mode = draw(st.sampled_from(["batch", "async"])) if planned else "batch"
    resource = Resource(name="epochs", min=1, max=27.5) if planned and draw(st.booleans()) else None
    if resource is not None and resource.name in space.by_name:
        resource = None
    trial = draw(_trials(space, resource, planned=planned))
    study = draw(st.none() | st.sampled_from(["digits", "digits-{{ ds }}", "1e3"]))
    prunable = len(objectives) == 1 and trial.runner.name != "inline"
    return Blueprint(
        name=draw(_ids),
        description=draw(_texts),
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
        return st.builds(Execution, mode=st.just(mode), concurrency=_counts)
    return st.builds(Execution, batch_size=_counts, concurrency=st.none() | _counts)


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
