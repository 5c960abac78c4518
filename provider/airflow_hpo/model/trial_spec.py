"""
How one configuration is evaluated: in which steps, and what becomes of their output and failures.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.placement import TASK_OPTIONS, RunnerSpec
from airflow_hpo.model.signs import FailureSpec

__all__ = ["MetricsSpec", "OnFailure", "PlatformSpec", "Retries", "Step", "TrialSpec"]

OnFailure = Literal["continue", "continue_then_fail", "stop"]


class PlatformSpec(Document):
    """
    Whose surroundings commands find, by name, with the platform's own options.
    """

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class Retries(Document):
    """
    How often a trial is run again by itself.

    Args:
        infrastructure: After the machine's fault.

        code: After a non-zero exit code of the user's code.
    """

    infrastructure: int = Field(default=2, ge=0)
    code: int = Field(default=0, ge=0)


class MetricsSpec(Document):
    """
    How metrics are read from a trial's output.

    Args:
        format: ``json_lines`` on standard output, ``regex``, ``file`` ...

        options: The format's own.
    """

    format: str = "json_lines"
    options: dict[str, Any] = Field(default_factory=dict)


class Step(Document):
    """
    One command of a trial and where it runs.

    Args:
        name: Unique within the trial.

        command: Template of a shell line; ``{name}`` is a quoted parameter.

        template: The language of *command*: ``braces``, or ``jinja``.

        once:
            Whether it is run once for the whole study, by the trial that comes
            first, and not by each; what it makes for all goes to the folder
            ``HPO_SHARED_DIR``.

        runner: Overrides the trial's runner.

        gpus: Devices it needs; fractions share one.

        pool: Airflow pool its task takes slots of.

        pool_slots: How many.

        queue: Airflow queue that routes its task.

        executor: Airflow executor that runs its task.

        executor_config:
            What that executor is told of it, such as a ``pod_override``.

        priority_weight: Airflow priority of its task.

        retries: How often it is run again by itself; `None` as the trial says.
    """

    name: str = "trial"
    command: str = ""
    template: Literal["braces", "jinja"] = "braces"
    once: bool = False
    runner: RunnerSpec | None = None
    gpus: float = Field(default=0.0, ge=0)
    pool: str | None = None
    pool_slots: int = Field(default=1, ge=1)
    queue: str | None = None
    executor: str | None = None
    executor_config: dict[str, Any] | None = None
    priority_weight: int | None = Field(default=None, ge=1)
    retries: Retries | None = None


class TrialSpec(Document):
    """
    How one configuration is evaluated.

    Args:
        steps: In order; one for a plain command.

        runner: Where the steps run.

        environment: Variables for every step.

        platform:
            Whose files and variables the commands look for; `None` for ours
            alone.

        workdir:
            Folder the commands start in, relative to the blueprint's own
            folder; that folder itself by default.

        metrics: How they are read.

        timeout_s: Seconds a step may take; `None` for no limit.

        grace_s: Seconds between asking it to end and killing it.

        retries: How often it is run again by itself.

        failures: What tells one kind of failure from another.

        on_failure: What a failed trial means for the study.

        until:
            Expression over a trial's own metrics and parameters that ends this
            trial, and no other: what it has measured by then is its result.

        reuse:
            Whether a trial takes over the result that the same code, command,
            parameters and input files had earlier, in whichever study, and is
            not run.

        deferrable:
            Whether its task leaves jobs to Airflow's triggerer; `None` for
            what Airflow's settings say, of jobs that run elsewhere.
    """

    steps: tuple[Step, ...] = Field(min_length=1)
    runner: RunnerSpec = Field(default_factory=RunnerSpec)
    environment: dict[str, str] = Field(default_factory=dict)
    platform: PlatformSpec | None = None
    workdir: str | None = None
    metrics: MetricsSpec = Field(default_factory=MetricsSpec)
    timeout_s: float | None = Field(default=None, gt=0)
    grace_s: float = Field(default=5.0, ge=0)
    retries: Retries = Field(default_factory=Retries)
    failures: FailureSpec = Field(default_factory=FailureSpec)
    on_failure: OnFailure = "continue"
    until: str | None = None
    reuse: bool = False
    deferrable: bool | None = None

    @field_validator("until")
    @classmethod
    def _parses(cls, text: str | None) -> str | None:
        if text is not None:
            Expression.parse(text)
        return text

    @property
    def own_steps(self) -> tuple[Step, ...]:
        """
        The steps that each trial runs itself.
        """
        return tuple(step for step in self.steps if not step.once)

    @property
    def most_retries(self) -> Retries:
        """
        How often a trial is run again at most: each of its own steps as often as it says.
        """
        own = [step.retries or self.retries for step in self.own_steps]
        return Retries(
            infrastructure=sum(each.infrastructure for each in own),
            code=sum(each.code for each in own),
        )

    @property
    def task(self) -> Step:
        """
        What a trial's task asks of Airflow: whatever any of its steps does.
        """
        usual, found = Step(), {}
        for name in (*TASK_OPTIONS, "retries"):
            asked = [getattr(step, name) for step in self.steps]
            found[name] = next((value for value in asked if value != getattr(usual, name)), None)
        return usual.model_copy(update={k: v for k, v in found.items() if v is not None})

    @field_validator("steps")
    @classmethod
    def _unique_steps(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        names = [step.name for step in steps]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"step names must be unique, got {', '.join(twice)} twice")
        return steps
