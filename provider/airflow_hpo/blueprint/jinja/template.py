"""
The template itself: parsed once, rendered for each trial.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_hpo.blueprint.jinja import nodes
from airflow_hpo.blueprint.jinja.evaluate import PARAMS, pieces
from airflow_hpo.blueprint.jinja.nodes import walk
from airflow_hpo.blueprint.jinja.operations import Author
from airflow_hpo.blueprint.jinja.parser import parse
from airflow_hpo.blueprint.quoting import VALUE, surroundings
from airflow_hpo.blueprint.template import quoted
from airflow_hpo.model.values import Configuration

__all__ = ["JinjaTemplate"]

_GIVEN = frozenset({"loop"})
_ASKS = frozenset({"default", "d"})


@dataclass(frozen=True, slots=True)
class JinjaTemplate:
    """
    One parsed template; make it with `parse`.

    Example:
        >>> template = JinjaTemplate.parse("train --lr={{ lr / 2 }}{% if bn %} --bn{% endif %}")
        >>> template.render({"lr": 0.2, "bn": True})
        'train --lr=0.1 --bn'
    """

    text: str
    block: nodes.Block = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> JinjaTemplate:
        """
        Parse *text*.

        Raises:
            ValueError: If it is not in the language; the message has the column.
        """
        if VALUE in text:
            raise ValueError("a command must hold no NUL character")
        return cls(text, parse(text))

    def names(self) -> frozenset[str]:
        """
        Return every name that the template itself does not make.
        """
        used, made = set(), set(_GIVEN)
        for node in walk(self.block):
            name = of_params(node)
            if name is not None:
                used.add(name)
            elif isinstance(node, nodes.Name) and node.name != PARAMS:
                used.add(node.name)
            elif isinstance(node, nodes.For):
                made.update(node.targets)
            elif isinstance(node, nodes.Set) and node.name not in used | _names_in(node.value):
                made.add(node.name)
        return frozenset(used - made)

    def needed_names(self) -> frozenset[str]:
        """
        Return the names but for those that it asks whether they are defined.
        """
        asked = set()
        for node in walk(self.block):
            asks = (isinstance(node, nodes.Test) and "defined" in node.name) or (
                isinstance(node, nodes.Filter) and node.name in _ASKS
            )
            if asks and isinstance(node, (nodes.Test, nodes.Filter)):
                value = node.value
                asked |= {value.name} if isinstance(value, nodes.Name) else set()
        return self.names() - asked

    def bare_names(self) -> frozenset[str]:
        """
        Return the names whose value must be there: none, nothing is printed then.
        """
        return frozenset()

    @property
    def tells_late(self) -> bool:
        """
        Whether some of what is wrong shows only with values: types and quotes do.
        """
        return True

    def written(self, name: str) -> str:
        """
        Return how the template asks for *name*.
        """
        return f"{{{{ {name} }}}}"

    @property
    def plain_hint(self) -> str:
        """
        How a name is written that is no parameter, with ``{name}`` for it.
        """
        return "write {name} | default('') where it may be missing"

    @property
    def takes_all(self) -> bool:
        """
        Whether every active parameter is passed: only by name.
        """
        return False

    def is_simple(self) -> bool:
        """
        Return whether there is nothing in tags but names.
        """
        return all(
            isinstance(node, nodes.Data)
            or (isinstance(node, nodes.Output) and isinstance(node.value, nodes.Name))
            for node in self.block.body
        )

    def render(self, configuration: Configuration) -> str:
        """
        Return the shell line for *configuration*, each value quoted for its place.

        Raises:
            ValueError: If an expression has no value, or a value stands where
                it cannot be quoted.
        """
        found = pieces(self.block, configuration)
        line = "".join(piece if isinstance(piece, Author) else VALUE for piece in found)
        around = iter(surroundings(line))
        return "".join(
            str(piece) if isinstance(piece, Author) else quoted(piece, next(around))
            for piece in found
        )


def of_params(node: nodes.Expression | nodes.Statement) -> str | None:
    """
    Return the name that stands in ``params.name`` or ``params['name']``.
    """
    if not isinstance(node, nodes.Item) or node.base != nodes.Name(PARAMS):
        return None
    index = node.index
    is_text = isinstance(index, nodes.Const) and isinstance(index.value, str)
    return str(index.value) if isinstance(index, nodes.Const) and is_text else None


def _names_in(node: nodes.Expression | nodes.Block) -> set[str]:
    return {each.name for each in walk(node) if isinstance(each, nodes.Name)}
