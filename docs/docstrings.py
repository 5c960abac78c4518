"""
The house form of docstrings, for what reads them: one example is a section of examples.
"""

from __future__ import annotations

from typing import Any

from griffe import Extension, Object

__all__ = ["HouseForm"]


class HouseForm(Extension):
    """
    Turns ``Example:`` into the section that Google's form has, so that it is shown as code.
    """

    def on_object(self, *, obj: Object, **_: Any) -> None:  # noqa: ANN401 - the library's
        """
        Change a docstring before it is parsed.
        """
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = text.replace("\nExample:\n", "\nExamples:\n")
