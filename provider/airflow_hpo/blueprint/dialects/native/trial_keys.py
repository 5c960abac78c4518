"""
Keys of a trial.
"""

from __future__ import annotations

from airflow_hpo.blueprint.durations import DURATION
from airflow_hpo.blueprint.records import Key, ListOf, MapOf, Record
from airflow_hpo.blueprint.shapes import (
    Anything,
    Devices,
    Either,
    Flag,
    Number,
    OneOf,
    Text,
    Whole,
)
from airflow_hpo.blueprint.units import DURATION_PATTERN, seconds_of
from airflow_hpo.model.expression import Expression

__all__ = ["STEP_KEYS", "TASK_KEYS", "TRIAL", "named"]


def _parsed(text: str) -> str:
    Expression.parse(text)
    return text


_GRACE = Either(
    text=Text(
        pattern=DURATION_PATTERN, rule="seconds or a duration such as 30s", convert=seconds_of
    ),
    other=Number(least=0),
)


def named(key: str, about: str, *examples: str, required: bool = True) -> Record:
    """
    Return the shape of something chosen by name, with its own options beside it.
    """
    return Record(
        {
            key: Key(Text(examples=examples), about, required=required),
            "options": Key(MapOf(Anything()), "Options whose names are taken otherwise."),
        },
        rest=Anything(),
        main=key,
    )


_RUNNER = Key(
    Either(
        text=Text(examples=("subprocess", "inline")),
        other=named("name", "The runner; its options stand beside it.", "subprocess", "inline"),
    ),
    "Where jobs run: a runner's name, or a mapping with its name and options.",
)

TASK_KEYS = {
    "pool": Key(Text(), "Airflow pool its task takes slots of."),
    "pool_slots": Key(Whole(least=1), "How many."),
    "queue": Key(Text(), "Airflow queue that routes its task."),
    "executor": Key(Text(), "Airflow executor that runs its task."),
    "executor_config": Key(
        Record(
            {"pod_override": Key(MapOf(Anything()), "Part of a Kubernetes pod, as in its YAML.")},
            rest=Anything(),
        ),
        "What that executor is told of it.",
    ),
    "priority_weight": Key(Whole(least=1), "Airflow priority of its task."),
}

STEP_KEYS = {
    "runner": _RUNNER,
    "gpus": Key(Devices(least=0), "Devices it needs; fractions share one."),
    **TASK_KEYS,
}

_COMMAND = Key(
    Text(examples=("python train.py --lr {learning_rate}",)),
    "A shell line; {name} is a parameter's value, quoted.",
)

_TEMPLATE = Key(
    OneOf(("braces", "jinja")), "The command's language: {name}, or Jinja's {{ name }}."
)

_RETRIES = Record(
    {
        "infrastructure": Key(Whole(least=0), "After the machine's fault."),
        "code": Key(Whole(least=0), "After a non-zero exit code of the code."),
    }
)

_STEP_SHAPE = Record(
    {
        "name": Key(
            Text(pattern=r"^[\w-]{1,100}$", rule="letters, digits, dashes and underscores"),
            "Unique within the trial.",
            required=True,
        ),
        "command": _COMMAND,
        "once": Key(Flag(), "Whether it is run once a study, before all others of a trial."),
        "template": _TEMPLATE,
        "retries": Key(_RETRIES, "How often it is run again by itself; as the trial by default."),
        **STEP_KEYS,
    }
)

_SIGNS = Record(
    {
        "exit_codes": Key(ListOf(Whole(least=1, below=256)), "Of the code."),
        "logs": Key(
            ListOf(Text(examples=("CUDA out of memory",))),
            "Regular expressions, found in a line of the output of a trial that failed.",
        ),
    }
)

_FAILURES = Record(
    {
        "infeasible": Key(_SIGNS, "The configuration has no value: it is not tried again."),
        "infrastructure": Key(_SIGNS, "The machine's fault: it is tried again and costs nothing."),
        "code": Key(_SIGNS, "A bug: it is tried again as retries.code says."),
        "out_of_memory": Key(
            OneOf(("infeasible", "infrastructure", "code")), "What running out of memory is."
        ),
    }
)

TRIAL = Record(
    {
        "command": _COMMAND,
        "template": _TEMPLATE,
        "steps": Key(ListOf(_STEP_SHAPE, least=1), "Instead of a command: several, in order."),
        **STEP_KEYS,
        "environment": Key(
            MapOf(
                Text(empty=True),
                pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
                rule="the name of an environment variable",
            ),
            "Variables for every step.",
        ),
        "platform": Key(
            Either(
                text=Text(examples=("valohai",)),
                other=named("name", "The platform; its options stand beside it.", "valohai"),
            ),
            "Whose files and variables the commands look for: a platform's name, or a mapping.",
        ),
        "workdir": Key(
            Text(), "Folder the commands start in, relative to the blueprint's own folder."
        ),
        "metrics": Key(
            named(
                "format",
                "json_lines, regex or file; its options stand beside it.",
                "json_lines",
                "regex",
                "file",
                required=False,
            ),
            "How metrics are read from a trial's output.",
        ),
        "timeout": Key(DURATION, "Time that a step may take."),
        "grace": Key(_GRACE, "Time between asking a job to end and killing it."),
        "retries": Key(
            _RETRIES,
            "How often a trial is run again by itself.",
        ),
        "failures": Key(_FAILURES, "What tells one kind of failure from another."),
        "on_failure": Key(
            OneOf(("continue", "continue_then_fail", "stop")),
            "What a failed trial means for the study.",
        ),
        "until": Key(
            Text(convert=_parsed, examples=("loss < 0.01",)),
            "Expression over a trial's own metrics that ends this trial, and no other.",
        ),
        "reuse": Key(
            Flag(), "Whether results that the same code had with the same values are taken over."
        ),
        "deferrable": Key(Flag(), "Whether jobs are left to Airflow's triggerer while they run."),
    },
    foreign={
        "cmd": "write command",
        "run": "write command",
        "script": "write command",
        "image": "write runner: {name: ..., image: ...}",
        "env": "write environment",
    },
    main="command",
    together={"not": {"required": ["command", "steps"]}},
)
