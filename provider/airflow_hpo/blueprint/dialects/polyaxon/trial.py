"""
How an experiment is run: its command, its variables, where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_hpo.blueprint.dialects.base import build
from airflow_hpo.blueprint.dialects.own import OWN, places_of, step_of, trial_of
from airflow_hpo.blueprint.dialects.polyaxon.commands import (
    as_braces,
    with_derived,
    without_context,
)
from airflow_hpo.blueprint.dialects.polyaxon.statics import MISSING, is_template
from airflow_hpo.blueprint.jinja import JinjaTemplate
from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.blueprint import PlatformSpec, Retries, Step, TrialSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_hpo.blueprint.checks import Draft
    from airflow_hpo.blueprint.dialects.polyaxon.reading import Reading
    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

__all__ = ["fill_in_trial"]


def fill_in_trial(reading: Reading, draft: Draft, problems: Problems) -> None:
    """
    Fill in the trial of *draft*, or note why it cannot be run.
    """
    own = reading.own
    path = reading.command_path or (("component",) if reading.is_new else ("run",))
    if "command" in own:
        path = (OWN, "command")
    problems.relocate(_places(path, own))
    text = own.get("command") or reading.command
    if not text and not problems.touches(path):
        where = "component: {run: {container: ...}}" if reading.is_new else "run: {cmd: ...}"
        message = f"{where.partition(':')[0]} must be given: what an experiment runs"
        problems.error((), message, hint=f"write {where}", at_key=True)
    variables = _variables(reading, draft, problems)
    if not text:
        return
    if problems.touches(reading.root) and not draft.names:
        draft.broken |= _names(text)  # those that could not be read
    command, template = _command(text, variables, reading, draft)
    step = {"command": command, "template": template}
    step |= step_of(own, problems, asked=reading.gpus)
    plain = {name: value for name, value in reading.environment.items() if name not in variables}
    values = trial_of(own)
    values |= {
        "steps": (Step.model_validate(step),),
        "platform": PlatformSpec(name="polyaxon"),
        "environment": {**plain, **values["environment"]},
        "workdir": values["workdir"] or _workdir(reading, problems),
        "timeout_s": own.get("timeout", reading.settings.get("timeout_s")),
    }
    if "retries" in reading.settings:
        values["retries"] = Retries(code=reading.settings["retries"])
    draft.trial = build(TrialSpec, values, ("trial",), problems)


def _names(text: str) -> frozenset[str]:
    try:
        return JinjaTemplate.parse(text).names()
    except ValueError:
        return frozenset()


def _places(path: Path, own: Mapping[str, Any]) -> dict[Path, Path]:
    return {
        ("trial",): path,
        ("trial", "steps", 0): path,
        ("trial", "steps", 0, "command"): path,
        **places_of(own),
        ("trial", "environment"): (OWN, "environment"),
    }


def _variables(reading: Reading, draft: Draft, problems: Problems) -> dict[str, str]:
    """
    Return the environment variables whose values are templates.
    """
    found = {name: text for name, text in reading.environment.items() if is_template(text)}
    for static in reading.statics.values():
        if static.variable is None:
            continue
        if not static.variable.isidentifier() or not static.variable.isascii():
            message = f"must be the name of an environment variable, got {show(static.variable)}"
            problems.error(static.path, message)
        elif static.name in draft.names or is_template(static.value):
            found[static.variable] = f"{{{{ {static.name} }}}}"
    return found


def _command(
    text: str, variables: Mapping[str, str], reading: Reading, draft: Draft
) -> tuple[str, str]:
    """
    Return the whole command and its language.
    """
    # Quotes keep what is empty, and the text of several tags, one word.
    exports = [f'export {name}="{value}"\n' for name, value in variables.items()]
    text = "".join([*exports, text])
    text = without_context(text) if reading.is_new else text
    flags = [static.name for static in reading.statics.values() if static.is_flag]
    searched = [name for name in flags if name in reading.options]
    statics = [
        static
        for static in reading.statics.values()
        if static.value is not MISSING and static.name not in reading.options
    ]
    text = with_derived(text, statics, searched)
    distributions = {name: parameter.distribution for name, parameter in draft.parameters.items()}
    numbers = [] if draft.resource is None else [draft.resource.name]
    braces = as_braces(text, distributions, numbers)
    return (text, "jinja") if braces is None else (braces, "braces")


def _workdir(reading: Reading, problems: Problems) -> str | None:
    """
    Return the container's folder, where that may be one here as well.
    """
    given = reading.settings.get("workdir")
    if not isinstance(given, str) or not given:
        return None
    if given.startswith("/") or is_template(given):
        place = reading.settings["workdir_path"]
        message = f"has no effect: it is a folder of the container, got {show(given)}"
        problems.warn(place, message, hint=f"write {OWN}: {{workdir: ...}}", at_key=True)
        return None
    return given
