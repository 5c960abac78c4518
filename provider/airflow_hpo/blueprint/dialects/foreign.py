"""
Plain data -> YAML that every reader of YAML reads alike, ours and older ones.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from airflow_hpo.blueprint.scalars import plain_value

__all__ = ["to_yaml"]

_WIDTH = 100

# They end a line for YAML 1.1, and not for 1.2.
_ODD = re.compile("[\x85\u2028\u2029]")


class _Dumper(yaml.SafeDumper):
    """
    Writes for YAML 1.1, which most other tools read, and quotes what 1.2 reads otherwise.
    """

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - the parent's shape
        """
        Return that everything is written out, though it be there twice.
        """
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None
    if _ODD.search(value) or _reads_otherwise(value):
        style = '"'
    elif "\n" in value.strip("\n"):
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _reads_otherwise(value: str) -> bool:
    try:
        return bool(plain_value(value) != value)
    except ValueError:  # a whole number of absurd length
        return True


_Dumper.add_representer(str, _text)


def to_yaml(data: Any) -> str:  # noqa: ANN401 - any JSON value
    """
    Return *data* as a YAML document, keys in their order.

    Example:
        >>> print(to_yaml({"a": ["on", "1e3", 1e-05]}), end="")
        a:
        - 'on'
        - "1e3"
        - 1.0e-05
    """
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True)
    return text
