"""
The blueprint: everything a person says about one study, in any dialect.

The model speaks values and seconds; the dialects translate into it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from airflow_hpo.model.base import Document
from airflow_hpo.model.callbacks import Callbacks
from airflow_hpo.model.expression import Expression
from airflow_hpo.model.objective import Objective
from airflow_hpo.model.outcomes import Outcomes
from airflow_hpo.model.retuning import ChampionSpec, PreviousStart, ScheduleSpec
from airflow_hpo.model.signs import FailureSpec
from airflow_hpo.model.space import Space
from airflow_hpo.model.stop import Budget, StopRule
from airflow_hpo.model.values import Value
from airflow_hpo.model.warm_start import WarmStart

__all__ = [
    "TASK_OPTIONS",
    "Blueprint",
    "DagSpec",
    "Execution",
    "MetricsSpec",
    "OnFailure",
    "Placement",
    "PlatformSpec",
    "PrunerSpec",
    "Resource",
    "Retries",
    "RunnerSpec",
    "Source",
    "Step",
    "StrategySpec",
    "TaskSpec",
    "TrialSpec",
]

OnFailure = Literal["continue", "continue_then_fail", "stop"]


class Source(Document):
    """
    Where a blueprint came from.

    Args:
        dialect: ``native``, ``valohai`` ...

        file: The file's name as it was given; empty if it was never a file.

        text: The whole text, so that a study carries what made it.

        sha256: Of the text, hexadecimal.
    """

    dialect: str = "native"
    file: str = ""
    text: str = ""
    sha256: str = ""


class StrategySpec(Document):
    """
    The rule that proposes configurations, by name.

    Args:
        name: A name of the strategy table.

        startup_trials:
            So many first trials, by number, are random; `None` for what is
            usual with the strategy.

        seed: Of the whole study; `None` to draw one and keep it.

        options: The strategy's own, validated by name and type.
    """

    name: str = "tpe"
    startup_trials: int | None = Field(default=None, ge=0)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    options: dict[str, Any] = Field(default_factory=dict)


class PrunerSpec(Document):
    """
    The rule that ends single trials early, by name, with its options.
    """

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class Execution(Document):
    """
    How trials are laid over time.

    Args:
        mode: ``batch`` waits for a whole round, ``async`` for no one.

        batch_size: Trials suggested together (batch mode).

        concurrency: Trials that run at the same time; `None` for no limit here.
    """

    mode: Literal["batch", "async"] = "batch"
    batch_size: int = Field(default=5, ge=1)
    concurrency: int | None = Field(default=None, ge=1)


class RunnerSpec(Document):
    """
    Where jobs run, by name, with the runner's own options.
    """

    name: str = "subprocess"
    options: dict[str, Any] = Field(default_factory=dict)


class PlatformSpec(Document):
    """
    Whose surroundings commands find, by name, with the platform's own options.
    """

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


TASK_OPTIONS = ("pool", "pool_slots", "queue", "executor", "executor_config", "priority_weight")
"""What is said of a task to Airflow alone, by the names that Airflow has for it."""


class TaskSpec(Document):
    """
    Where small tasks run: those that suggest, evaluate and report.

    Args:
        pool: Airflow pool they take slots of.

        pool_slots: How many each.

        queue: Airflow queue that routes them.

        executor: Airflow executor that runs them.

        executor_config:
            What that executor is told of them, such as a ``pod_override``.

        priority_weight: Airflow priority of theirs.
    """

    pool: str | None = None
    pool_slots: int | None = Field(default=None, ge=1)
    queue: str | None = None
    executor: str | None = None
    executor_config: dict[str, Any] | None = None
    priority_weight: int | None = Field(default=None, ge=1)


class Placement(Document):
    """
    Where the trials of the upper rungs run; what it leaves out is the step's own.

    Args:
        at_least: It holds for trials that are given so much of the resource, up
            to where another one begins.

        runner: Overrides the step's runner.

        gpus: Devices each trial needs; fractions share one.

        pool: Airflow pool their tasks take slots of.

        pool_slots: How many.

        queue: Airflow queue that routes their tasks.

        executor: Airflow executor that runs their tasks.

        executor_config:
            What that executor is told of them, such as a ``pod_override``.

        priority_weight: Airflow priority of their tasks.
    """

    at_least: float = Field(gt=0)
    runner: RunnerSpec | None = None
    gpus: float | None = Field(default=None, ge=0)
    pool: str | None = None
    pool_slots: int | None = Field(default=None, ge=1)
    queue: str | None = None
    executor: str | None = None
    executor_config: dict[str, Any] | None = None
    priority_weight: int | None = Field(default=None, ge=1)


# A ladder from one end to the other has forty rungs at most, the lowest of a trillion trials.
_WIDEST = 2**40


class Resource(Document):
    """
    What one trial spends and can be given more of.

    Args:
        name: Its name in commands: ``{epochs}``.

        min: Least resource of a trial (*r*).

        max: Most (*R*).

        type: Whether trials are given whole numbers of it; by default they
            are where both bounds are whole.

        rungs: Where trials run that are given so much of it.
    """

    name: str = Field(min_length=1)
    min: float = Field(gt=0)
    max: float = Field(gt=0)
    type: Literal["int", "float"] | None = None
    rungs: tuple[Placement, ...] = ()

    @property
    def whole(self) -> bool:
        """
        Whether trials are given whole numbers of it.
        """
        if self.type is not None:
            return self.type == "int"
        return self.min.is_integer() and self.max.is_integer()

    def placement(self, amount: float | None) -> Placement | None:
        """
        Return where a trial runs that is given *amount*; `None` for all of it.
        """
        amount = self.max if amount is None else amount
        found = [each for each in self.rungs if each.at_least <= amount]
        return max(found, key=lambda each: each.at_least, default=None)

    @model_validator(mode="after")
    def _ordered(self) -> Resource:
        if self.min > self.max:
            raise ValueError(f"min must not exceed max, got min={self.min:g}, max={self.max:g}")
        if not self.max / self.min <= _WIDEST:
            got = f"min={self.min:g}, max={self.max:g}"
            raise ValueError(f"max must be at most {_WIDEST} times min, got {got}")
        if self.type == "int" and not (self.min.is_integer() and self.max.is_integer()):
            raise ValueError(
                "min and max must be whole numbers where type is int, "
                f"got min={self.min:g}, max={self.max:g}"
            )
        return self

    @field_validator("rungs")
    @classmethod
    def _unlike(cls, rungs: tuple[Placement, ...]) -> tuple[Placement, ...]:
        levels = [each.at_least for each in rungs]
        twice = sorted({level for level in levels if levels.count(level) > 1})
        if twice:
            got = ", ".join(f"{level:g}" for level in twice)
            raise ValueError(f"at_least must differ from rung to rung, got {got} twice")
        return rungs


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


class DagSpec(Document):
    """
    What the Airflow DAG itself is like.

    Args:
        id: The DAG's id; the blueprint's name by default.

        schedule: A cron expression or preset, or more than that; `None` for
            triggered only.

        start_date: ISO 8601; needed by schedules that look back.

        catchup: Whether missed intervals are made up for.

        tags: Shown in the UI, beside ``hpo``.

        owner: Of every task.

        retries: Of the suggest, evaluate and report tasks.

        max_active_runs: Runs of the DAG at the same time.

        tasks: Where the tasks run that are no trials.

        warm_start: Where to take first trials from.

        champion: The best trial as an asset; `None` publishes nothing.

        approve: Whether a person is asked before that.
    """

    id: str | None = None
    schedule: str | ScheduleSpec | None = None
    start_date: str | None = None
    catchup: bool = False
    tags: tuple[str, ...] = ()
    owner: str | None = None
    retries: int = Field(default=2, ge=0)
    max_active_runs: int | None = Field(default=None, ge=1)
    tasks: TaskSpec = Field(default_factory=TaskSpec)
    warm_start: PreviousStart | None = None
    champion: ChampionSpec | None = None
    approve: bool = False


class Blueprint(Document):
    """
    One study, whole.

    Args:
        name: Letters, digits, dots, dashes and underscores.

        trial: How one configuration is evaluated.

        study:
            Template of the study's name (Airflow's variables); `None` for a
            new study in each DAG run. A fixed name continues that study.

        points: Configurations tried first; missing values are sampled.

        warm_start: What the study is told before its first trial.

        outcome_constraints:
            Expressions over a trial's metrics that must hold, or it is not
            feasible, however good its objectives are; see `Outcomes`.
    """

    name: str = Field(pattern=r"^[\w.-]{1,200}\Z")
    description: str = ""
    study: str | None = None
    objectives: tuple[Objective, ...] = Field(min_length=1)
    space: Space
    outcome_constraints: tuple[str, ...] = ()
    points: tuple[dict[str, Value], ...] = ()
    warm_start: WarmStart | None = None
    strategy: StrategySpec = Field(default_factory=StrategySpec)
    pruner: PrunerSpec | None = None
    budget: Budget
    execution: Execution = Field(default_factory=Execution)
    stop: tuple[StopRule, ...] = ()
    resource: Resource | None = None
    trial: TrialSpec
    callbacks: Callbacks = Field(default_factory=Callbacks)
    dag: DagSpec = Field(default_factory=DagSpec)
    source: Source = Field(default_factory=Source)

    @field_validator("outcome_constraints")
    @classmethod
    def _parsed_constraints(cls, constraints: tuple[str, ...]) -> tuple[str, ...]:
        for text in constraints:
            Expression.parse(text)
        return constraints

    @property
    def outcomes(self) -> Outcomes:
        """
        Which trials are feasible.
        """
        return Outcomes(self.objectives, self.outcome_constraints)

    @property
    def dag_id(self) -> str:
        """
        The id of the DAG that this blueprint becomes.
        """
        return self.dag.id or self.name

    @property
    def beginning(self) -> WarmStart | None:
        """
        What a study is told before its first trial: its own warm start, or its DAG's.
        """
        if self.warm_start is not None or self.dag.warm_start is None:
            return self.warm_start
        return self.dag.warm_start.warm_start

    @property
    def champion_asset(self) -> str:
        """
        The URI of the asset that the best trial is published as.
        """
        own = self.dag.champion.asset if self.dag.champion is not None else ""
        return own or f"hpo://{self.name}/champion"

    def with_settings(
        self, *, trials: int | None = None, batch_size: int | None = None, seed: int | None = None
    ) -> Blueprint:
        """
        Return the blueprint with what a person chose for one run of it.

        `None` keeps what the blueprint says.
        """
        changes: dict[str, Any] = {}
        if trials is not None:
            changes["budget"] = self.budget.model_copy(update={"trials": trials})
        if batch_size is not None:
            changes["execution"] = self.execution.model_copy(update={"batch_size": batch_size})
        if seed is not None:
            changes["strategy"] = self.strategy.model_copy(update={"seed": seed})
        return self.model_copy(update=changes)
