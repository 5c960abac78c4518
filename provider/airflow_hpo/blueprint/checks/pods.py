"""
Checks of parts of Kubernetes pods, as the client that reads them knows them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_hpo.blueprint.problems import show
from airflow_hpo.model.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_hpo.blueprint.document import Path
    from airflow_hpo.blueprint.problems import Problems

    _Fault: TypeAlias = tuple[Path, str, str | None]

__all__ = ["check_pod"]

_LIST = re.compile(r"list\[(.+)\]")
_MAPPING = re.compile(r"dict[\[(]\w+, *(.+)[\])]")
_SCALARS: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
    "str": (str, int, float, bool),  # quantities are written as numbers, too
}


def check_pod(data: Any, path: Path, problems: Problems) -> None:  # noqa: ANN401 - plain data
    """
    Note keys that a pod does not have, and values of the wrong shape.

    Nothing is noted where the client is not installed.
    """
    try:
        from kubernetes.client import models
    except ImportError:
        return
    for place, message, hint in _faults(data, "V1Pod", models):
        problems.error((*path, *place), message, hint=hint)


def _faults(data: Any, kind: str, models: Any) -> Iterator[_Fault]:  # noqa: ANN401
    """
    Yield place, message and hint of all that *kind* does not allow in *data*.
    """
    inner = _LIST.fullmatch(kind) or _MAPPING.fullmatch(kind)
    wanted = list if kind.startswith("list") else dict
    model = getattr(models, kind, None)
    if data is None or (inner is None and model is None):
        yield from () if data is None else _scalar_faults(data, kind)
    elif not isinstance(data, wanted):
        noun = "list" if wanted is list else "mapping"
        yield (), f"must be a {noun}, got {show(data)}", None
    elif inner is not None:
        items = enumerate(data) if isinstance(data, list) else data.items()
        for key, item in items:
            for place, message, hint in _faults(item, inner.group(1), models):
                yield (key, *place), message, hint
    else:
        yield from _model_faults(data, model, models)


def _model_faults(data: Any, model: Any, models: Any) -> Iterator[_Fault]:  # noqa: ANN401
    kinds = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    for key, item in data.items():
        if key not in kinds:
            what = model.__name__.removeprefix("V1")
            yield (key,), f"must be a key of {what}, got {key}", did_you_mean(key, kinds)
            continue
        for place, message, hint in _faults(item, kinds[key], models):
            yield (key, *place), message, hint


def _scalar_faults(data: Any, kind: str) -> Iterator[_Fault]:  # noqa: ANN401
    allowed = _SCALARS.get(kind)
    if allowed is None:
        return
    if not isinstance(data, allowed) or (isinstance(data, bool) and bool not in allowed):
        yield (), f"must be of type {kind}, got {show(data)}", None
