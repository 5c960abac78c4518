"""
What the site's builder runs: pages get their generated parts while they are built.

``keys.md`` has no keys in the repository: they are the JSON Schema's, at this moment.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from generate import generated, table

from airflow_hpo.blueprint.dialects import DIALECTS, WRITERS
from airflow_hpo.blueprint.schema import json_schema
from airflow_hpo.runners import RUNNERS

__all__ = ["dialects", "keys", "on_config", "on_page_markdown", "runners"]

_REPOSITORY = "https://github.com/airflow-provider-hpo/airflow-provider-hpo/blob/main"

# A link to what is in the repository, and not on the site.
_OUTSIDE = re.compile(
    r"(\])\((?:\.\./)+(?=(?:dags|benchmarks|provider|templates|tests|docker|[A-Z]+\.md)\b)"
)


def on_config(config: Any) -> None:  # noqa: ANN401 - the builder's
    """
    Put pages that the menu does not name at its end, so that none is out of reach.
    """
    folder = Path(config.docs_dir)
    named = json.dumps(config.nav)
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.md"))
    if more := [page for page in found if f'"{page}"' not in named]:
        config.nav.append({"More": more})


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401 - the builder's
    """
    Return a page with what is generated.
    """
    markdown = generated(markdown).replace("<!-- all keys -->", "\n\n".join(keys()))
    for mark, make in (
        ("what strategies can do", lambda: table().replace("](#", "](strategies.md#")),
        ("dialects", dialects),
        ("runners", runners),
    ):
        markdown = markdown.replace(f"<!-- {mark} -->", make())
    return _OUTSIDE.sub(rf"\1({_REPOSITORY}/", markdown)


def dialects() -> str:
    """
    Return which dialects are read and written, as a Markdown table.
    """
    rows = []
    for name in DIALECTS.entries:
        page = f"{name}.md" if name != "native" else "blueprint.md"
        written = f"`hpo convert --to {name}`" if name in WRITERS.entries else "no"
        about = (inspect.getdoc(DIALECTS.load(name)) or "").partition("\n")[0]
        shown = f"[{name}]({page})" if Path(__file__).with_name(page).exists() else name
        rows.append(f"| {shown} | {about} | yes | {written} |")
    return "\n".join(["| dialect | | read | written |", "|---|---|---|---|", *rows])


def runners() -> str:
    """
    Return which runners there are, as a Markdown table.
    """
    rows = []
    for name in RUNNERS.entries:
        runner = RUNNERS.load(name)
        where = "elsewhere" if getattr(runner, "is_remote", False) else "where its task runs"
        about = (inspect.getdoc(runner) or "").partition("\n")[0]
        rows.append(f"| `{name}` | {about} | {where} |")
    return "\n".join(["| runner | | a trial's job runs |", "|---|---|---|", *rows])


def keys() -> Iterator[str]:
    """
    Yield a section a key at the top of a blueprint, with all keys below it.
    """
    top: Mapping[str, Any] = json_schema()
    for name, value in top["properties"].items():
        yield f"## {name}"
        yield value.get("description", "")
        rows = list(_rows(value, name))
        if rows:
            yield "\n".join(["| key | value | |", "|---|---|---|", *dict.fromkeys(rows)])


def _rows(value: Mapping[str, Any], path: str) -> Iterator[str]:
    """
    Yield a line of a table for each key below *value*.
    """
    for name, each in value.get("properties", {}).items():
        about = each.get("description", "").replace("|", "\\|")
        yield f"| `{path}.{name}` | {_kind(each)} | {about} |"
        yield from _rows(each, f"{path}.{name}")
    for other in [*value.get("anyOf", ()), *value.get("oneOf", ())]:
        yield from _rows(other, path)
    if isinstance(value.get("items"), Mapping):
        yield from _rows(value["items"], f"{path}[]")
    if isinstance(value.get("additionalProperties"), Mapping):
        yield from _rows(value["additionalProperties"], f"{path}.NAME")


_WORDS = {
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "array": "list",
    "object": "mapping",
}


def _kind(value: Mapping[str, Any]) -> str:
    """
    Return which values a key takes, in a few words.
    """
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(filter(None, map(_kind, value["anyOf"]))))
    kinds = value.get("type", "")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    found = [f"{sign} {value[key]:g}" for key, sign in bounds.items() if key in value]
    return " ".join(
        [" or ".join(_WORDS.get(each, each) for each in kinds), ", ".join(found)]
    ).strip()
