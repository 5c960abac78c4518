"""
Checks of how a configuration is evaluated: runners, metrics, commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.blueprint.checks.named import check_options, load_named
from airflow_hpo.blueprint.checks.space import name_hint
from airflow_hpo.blueprint.checks.steps import check_steps
from airflow_hpo.blueprint.commands import parse_command
from airflow_hpo.blueprint.template import ALL_PARAMETERS
from airflow_hpo.metrics import FORMATS
from airflow_hpo.metrics import PLANNED as PLANNED_FORMATS
from airflow_hpo.platforms import PLATFORMS
from airflow_hpo.runners import RUNNERS
from airflow_hpo.runners.base import RunnerOptions

if TYPE_CHECKING:
    from pathlib import Path as Folder

    from airflow_hpo.blueprint.checks.draft import Draft
    from airflow_hpo.blueprint.commands import CommandTemplate
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems
    from airflow_hpo.model.placement import RunnerSpec
    from airflow_hpo.model.trial_spec import Step
    from airflow_hpo.model.values import Value

__all__ = ["check_runner", "check_trial"]

# Commands that read this variable get parameters without naming them.
_PARAMS_FILE = "HPO_PARAMS_FILE"


def check_trial(draft: Draft, problems: Problems) -> None:
    """
    Note what would keep a trial from running.
    """
    trial = draft.trial
    if trial is None:
        return
    needs_command = check_runner(trial.runner, ("trial", "runner"), problems, folder=draft.folder)
    templates = []
    for index, step in enumerate(trial.steps):
        path = ("trial", "steps", index)
        needed = needs_command
        if step.runner is not None:
            needed = check_runner(step.runner, (*path, "runner"), problems, folder=draft.folder)
        if not step.command:
            if needed:
                problems.error(path, "command must be given", at_key=True)
            continue
        template = _check_command(step, (*path, "command"), draft, problems)
        if template is not None:
            templates.append(template)
    check_steps(trial.steps, draft, problems)
    _check_metrics(draft, problems)
    _check_platform(draft, problems)
    if len(templates) == len(trial.steps):
        _warn_of_unused(templates, draft, problems)


def check_runner(
    spec: RunnerSpec, path: Path, problems: Problems, *, folder: Folder | None = None
) -> bool:
    """
    Check name and options; return whether it needs a command.

    Args:
        spec: What was written.

        path: Where it stands.

        problems: Gets what is wrong.

        folder: Where the files that options name are looked for.
    """
    runner_class = load_named(
        spec.name,
        table=RUNNERS,
        planned=(),
        path=(*path, "name"),
        problems=problems,
    )
    if runner_class is None:
        return False
    options = check_options(runner_class.options_class, spec.options, path=path, problems=problems)
    if isinstance(options, RunnerOptions):
        for name, message in options.problems(folder):
            problems.error((*path, name), message)
    return bool(runner_class.needs_command)


def _check_metrics(draft: Draft, problems: Problems) -> None:
    if draft.trial is None:
        return
    spec, path = draft.trial.metrics, ("trial", "metrics")
    collector_class = load_named(
        spec.format,
        table=FORMATS,
        planned=PLANNED_FORMATS,
        path=(*path, "format"),
        problems=problems,
    )
    if collector_class is not None:
        check_options(collector_class.options_class, spec.options, path=path, problems=problems)


def _check_platform(draft: Draft, problems: Problems) -> None:
    spec = None if draft.trial is None else draft.trial.platform
    if spec is None:
        return
    path = ("trial", "platform")
    platform_class = load_named(
        spec.name, table=PLATFORMS, planned=(), path=(*path, "name"), problems=problems
    )
    if platform_class is not None:
        check_options(platform_class.options_class, spec.options, path=path, problems=problems)


def _check_command(
    step: Step, path: Path, draft: Draft, problems: Problems
) -> CommandTemplate | None:
    try:
        template = parse_command(step)
    except ValueError as error:
        problems.error(path, str(error))
        return None
    known = draft.names | ({draft.resource.name} if draft.resource else set())
    if draft.resource is None and problems.touches(("resource",)):
        known |= template.names()  # one of them may be what was refused
    for name in sorted(template.needed_names() - known):
        rule = f"must name parameters in braces, got {template.written(name)}"
        hint = name_hint(name, known) or template.plain_hint.format(name=name)
        problems.error(path, rule, hint=hint)
    for name in sorted(template.bare_names() & draft.parameters.keys()):
        if draft.parameters[name].when:
            problems.error(
                path,
                f"must give a flag with {name}, which is not always active, got {{{name}}}",
                hint=f"write {{{name}:--{name}}} for '--{name} VALUE' or nothing",
            )
    if not problems.touches(path):
        _try_command(template, path, draft, problems)
    return template


def _try_command(template: CommandTemplate, path: Path, draft: Draft, problems: Problems) -> None:
    """
    Note why no command can be made of values, where the template alone does not tell.
    """
    if not template.tells_late or draft.broken:
        return
    values: dict[str, Value] = {
        name: parameter.distribution.from_unit(_SOMEWHERE)
        for name, parameter in draft.parameters.items()
    }
    if draft.resource is not None:
        values[draft.resource.name] = draft.resource.max
    try:
        template.render(values)
    except ValueError as error:
        problems.error(path, str(error))


# A place in the unit interval whose value stands for all others.
_SOMEWHERE = 0.5


def _warn_of_unused(templates: list[CommandTemplate], draft: Draft, problems: Problems) -> None:
    """
    Warn of a parameter that was left out where others are passed.
    """
    named = frozenset[str]().union(*(template.names() for template in templates))
    reads_file = any(_PARAMS_FILE in template.text for template in templates)
    if problems.touches(("trial",)) or not named or reads_file:
        return
    if any(template.takes_all for template in templates):
        return
    for name, parameter in draft.parameters.items():
        shown = draft.placeholder.format(name=name)
        has_all = shown.startswith("{") and not shown.startswith("{{")
        for_all = f", or {{{ALL_PARAMETERS}}} for all" if has_all else ""
        if not parameter.is_constant and name not in named:
            problems.warn(
                ("space", name),
                "is in no command, only in the file of parameters",
                hint=f"write {shown} in the command{for_all}",
                at_key=True,
            )
