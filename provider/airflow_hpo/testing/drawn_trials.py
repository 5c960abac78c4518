"""
Hypothesis strategies that make what a blueprint says of its trials.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from airflow_hpo.model.placement import RunnerSpec
from airflow_hpo.model.resource import Resource
from airflow_hpo.model.signs import FailureSigns, FailureSpec
from airflow_hpo.model.space import Space
from airflow_hpo.model.trial_spec import MetricsSpec, PlatformSpec, Retries, Step, TrialSpec
from airflow_hpo.testing.drawn import COUNTS, POSITIVE, TEXTS, WORDS, Draw

__all__ = ["trial_specs"]


@st.composite
def _commands(draw: Draw[Any], space: Space, resource: Resource | None) -> str:
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
        st.lists(WORDS, max_size=2),
    ),
    st.just(RunnerSpec(name="inline", options={"callable": "train:main"})),
)


_platforms = st.none() | st.builds(
    lambda step, uris: PlatformSpec(
        name="valohai", options={"step": step, "inputs": [{"name": "data", "uris": uris}]}
    ),
    WORDS,
    st.lists(WORDS, max_size=2),
)


_metrics = st.one_of(
    st.just(MetricsSpec()),
    st.builds(lambda name: MetricsSpec(options={"resource": name}), WORDS),
    st.just(MetricsSpec(format="file", options={"path": "a.txt", "format": "csv"})),
    st.just(MetricsSpec(format="regex", options={"patterns": {"a b": "a=(.*)"}})),
)


@st.composite
def _steps(
    draw: Draw[Any], space: Space, resource: Resource | None, *, planned: bool
) -> tuple[Step, ...]:
    names = st.from_regex(r"[a-z0-9_-]{1,9}", fullmatch=True)
    most = 3 if planned else 1
    chosen = draw(st.just(["trial"]) | st.lists(names, min_size=1, max_size=most, unique=True))
    place = {  # of the one task that runs them all
        "pool": draw(st.none() | WORDS),
        "pool_slots": draw(COUNTS),
        "queue": draw(st.none() | WORDS),
        "executor": draw(st.none() | WORDS),
        "priority_weight": draw(st.none() | COUNTS),
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
def _failures(draw: Draw[Any]) -> FailureSpec:
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
def trial_specs(
    draw: Draw[Any], space: Space, resource: Resource | None, *, planned: bool
) -> TrialSpec:
    """
    Return a strategy of what is said of trials that search *space*.

    Args:
        draw: Hypothesis' own.

        space: Whose parameters commands name.

        resource: What commands name besides, if there is any.

        planned: Whether with what is read already but refused as not built yet.
    """
    variables = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
    seconds = st.just(10.0) | st.just(0.0) | POSITIVE
    return TrialSpec(
        steps=draw(_steps(space, resource, planned=planned)),
        runner=draw(_runners),
        environment=draw(st.dictionaries(variables, TEXTS, max_size=2)),
        platform=draw(_platforms),
        until=draw(st.none() | st.just("loss < 0.1 and not val-loss > 3")),
        workdir=draw(st.none() | WORDS.filter(lambda text: "\0" not in text)),
        metrics=draw(_metrics),
        timeout_s=draw(st.none() | POSITIVE),
        grace_s=draw(seconds),
        retries=draw(st.builds(Retries, infrastructure=COUNTS, code=COUNTS)),
        failures=draw(_failures()),
        on_failure=draw(st.sampled_from(["continue", "continue_then_fail", "stop"])),
        deferrable=draw(st.none() | st.booleans()),
    )
