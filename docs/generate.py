"""
Writes what the documentation says of strategies, pruners and commands, out of their own code.

``python docs/generate.py`` writes the pages anew; with ``--check`` it changes
nothing and fails where a page is out of date.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from commands import commands
from pydantic.fields import FieldInfo

from airflow_hpo.pruners import PRUNERS
from airflow_hpo.strategies import STRATEGIES
from airflow_hpo.strategies._auto_rules import FIRST_LOOK, GP_TRIALS, RULES
from airflow_hpo.strategies.base import Options, Support

PAGES = [Path(__file__).with_name(name) for name in ("strategies.md", "stopping.md", "cli.md")]

# What a column shows, by the ability's key.
COLUMNS: Mapping[str, str] = {
    "float": "float",
    "int": "int",
    "categorical": "choice",
    "conditional": "conditional",
    "normal": "normal",
    "constraints": "constraints",
    "batch": "batch",
    "asynchronous": "async",
    "multi_objective": "several objectives",
    "multi_fidelity": "multi-fidelity",
    "outcome_constraints": "outcome constraints",
    "history": "warm start",
}

_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end of generated text -->)", re.DOTALL)


def table() -> str:
    """
    Return what each strategy can do, as a Markdown table.
    """
    rows = [["strategy", *COLUMNS.values(), "extra"]]
    for name in STRATEGIES.entries:
        support: Support = STRATEGIES.load(name).support
        cells = [_mark(support, ability) for ability in COLUMNS]
        extra = f"`{support.extra.name}`" if support.extra else ""
        rows.append([f"[`{name}`](#{name})", *cells, extra])
    return _markdown(rows)


def rules() -> str:
    """
    Return by what `auto` chooses, as a Markdown table.
    """
    rows = [["where there are", "take", "because"]]
    rows += [[rule.when, f"[`{rule.strategy}`](#{rule.strategy})", rule.why] for rule in RULES]
    first = (
        f"The first trials look around, with `qmc` or, where parameters are conditional, `random`: "
        f"a quarter of the budget, at most {FIRST_LOOK}, but never less than the first batch. "
        f"Where `startup_trials` is set, so many random ones take their place. `gp` hands over "
        f"to `tpe` at trial {GP_TRIALS}."
    )
    return f"{_markdown(rows)}\n\n{first}"


def _mark(support: Support, ability: str) -> str:
    if ability == "float" and support.float and not support.continuous:
        return "with step"
    return "yes" if getattr(support, ability) else "no"


def sections() -> str:
    """
    Return a section a strategy: what it is for, its options, what it needs.
    """
    return "\n\n".join(_section(name) for name in STRATEGIES.entries)


def pruners() -> str:
    """
    Return a section a pruner: which trials it ends, and its options.
    """
    return "\n\n".join(_pruner(name) for name in PRUNERS.entries)


def _pruner(name: str) -> str:
    pruner = PRUNERS.load(name)
    about = (inspect.getdoc(pruner) or "").partition("\nSource:")[0]
    options = list(_options(pruner.options_class))
    return "\n\n".join(
        [f"### {name}", _prose(about), _markdown([["option", "value", "default", ""], *options])]
    )


def _section(name: str) -> str:
    strategy = STRATEGIES.load(name)
    support: Support = strategy.support
    parts = [f"### {name}", _prose(inspect.getdoc(strategy) or "")]
    if support.startup:
        parts.append("`strategy.startup_trials` says how many first trials are random.")
    if support.note:
        parts.append(f"Note: {support.note}.")
    if support.extra:
        parts.append(
            f"Needs the package `{support.extra.package}`: "
            f"`pip install 'airflow-provider-hpo[{support.extra.name}]'`."
        )
    options = list(_options(strategy.options_class))
    if options:
        parts.append(_markdown([["option", "value", "default", ""], *options]))
    else:
        parts.append("It has no options.")
    return "\n\n".join(parts)


def _options(model: type[Options]) -> Iterator[list[str]]:
    texts: dict[str, str] = {}
    for each in reversed(model.__mro__):
        texts |= arguments(inspect.cleandoc(each.__doc__ or ""))
    for name, field in model.model_fields.items():
        default = (
            "required"
            if field.is_required()
            else f"`{_shown(field.get_default(call_default_factory=True))}`"
        )
        yield [f"`{name}`", _kind(field), default, texts[name]]


def arguments(docstring: str) -> dict[str, str]:
    """
    Return the entries of a docstring's section *Args*, each on one line.
    """
    _, _, section = docstring.partition("\nArgs:\n")
    found: dict[str, list[str]] = {}
    name = ""
    for line in section.split("\n"):
        entry = re.fullmatch(r"    (\w+):(.*)", line)
        if entry:
            name = entry[1]
            found[name] = [entry[2].strip()]
        elif line.startswith("        ") and name:
            found[name].append(line.strip())
        elif line.strip():
            break
    return {name: _prose(" ".join(filter(None, lines))) for name, lines in found.items()}


def _kind(field: FieldInfo) -> str:
    bounds = []
    for each in field.metadata:
        for kind, sign in ((Ge, ">="), (Gt, ">"), (Le, "<="), (Lt, "<")):
            if isinstance(each, kind):
                bounds.append(f"{sign} {getattr(each, kind.__name__.lower())}")
    first, *others = _type(field.annotation).split(" or ", 1)
    if first == "true":
        return "true or false"
    return " or ".join([f"{first} {', '.join(bounds)}".strip(), *others])


def _type(annotation: Any) -> str:  # noqa: ANN401 - any type
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in {Union, types.UnionType}:
        return " or ".join(map(_type, parts))
    if origin is tuple:
        return f"list of {_plural(parts)}"
    if origin is dict or annotation is dict:
        return "mapping"
    names: Mapping[Any, str] = {
        bool: "true or false",
        int: "whole number",
        float: "number",
        str: "text",
        type(None): "null",
    }
    return names.get(annotation, "mapping" if origin is Mapping else "value")


def _plural(parts: Sequence[Any]) -> str:
    first = _type(parts[0])
    if get_origin(parts[0]) is tuple and get_args(parts[0])[1:] != (...,):
        return "pairs"
    if first == "number":
        return "numbers"
    if first.startswith("list of"):
        return first.replace("list", "lists", 1)
    return "values"


def _shown(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value)


def _prose(text: str) -> str:
    return re.sub(r"`+([^`]+)`+", r"`\1`", text.strip()).replace("`None`", "`null`")


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows
    ]
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def generated(page: str) -> str:
    """
    Return *page* with its generated parts written anew.
    """
    parts = {
        "rules": rules,
        "table": table,
        "sections": sections,
        "pruners": pruners,
        "commands": commands,
    }
    return _BLOCK.sub(lambda found: f"{found[1]}\n{parts[found[2]]()}\n\n{found[3]}", page)


def main(arguments: Sequence[str]) -> int:
    """
    Write the pages, or tell whether they are as they should be.
    """
    stale = 0
    for page in PAGES:
        old = page.read_text("utf-8")
        new = generated(old)
        if "--check" not in arguments:
            page.write_text(new, "utf-8")
        elif old != new:
            stale = 1
            print(f"{page.name} is out of date; python docs/generate.py writes it anew")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
