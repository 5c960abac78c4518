"""
Tokens -> nodes: the grammar of templates, by descent.
"""

from __future__ import annotations

from airflow_hpo.blueprint.jinja import nodes
from airflow_hpo.blueprint.jinja.expressions import ExpressionParser
from airflow_hpo.blueprint.jinja.nodes import Block, Statement
from airflow_hpo.blueprint.jinja.tokens import Token

__all__ = ["parse"]

_STATEMENTS = ("if", "for", "set")


def parse(text: str) -> Block:
    """
    Return the template *text* as nodes.

    Raises:
        ValueError: If it is not in the language; the message has the column.
    """
    return _Parser(text).template()


class _Parser(ExpressionParser):
    """
    Statements.
    """

    def template(self) -> Block:
        """
        Read all of it.
        """
        block = self._block(())
        if self.token.kind != "end":
            raise self.complaint("a tag must be opened first", self.tokens[self.at + 1])
        return block

    def _block(self, ends: tuple[str, ...]) -> Block:
        """
        Read statements up to one of the tags *ends*, which is left.
        """
        body: list[Statement] = []
        self.deeper()
        while self.token.kind != "end":
            if self.token.kind == "data":
                body.append(nodes.Data(self.take().value))
            elif self.token.value == "{":
                self.take()
                body.append(nodes.Output(self.tuple_or_one()))
                self.close()
            else:
                name = self.tokens[self.at + 1]
                if name.value in ends or str(name.value).startswith(("end", "el")):
                    break
                body.append(self._statement(name))
        self.depth -= 1
        return Block(tuple(body))

    def _statement(self, name: Token) -> Statement:
        if name.kind != "name" or name.value not in _STATEMENTS:
            known = ", ".join(_STATEMENTS)
            raise self.complaint(f"a statement must be one of {known} and raw", name)
        self.take()
        self.take()
        if name.value == "if":
            return self._if()
        return self._for() if name.value == "for" else self._set()

    def _if(self) -> Statement:
        self.deeper()  # an elif nests too
        found = self._cases()
        self.depth -= 1
        return found

    def _cases(self) -> Statement:
        condition = self.expression()
        self.close()
        yes, no = self._block(("elif", "else", "endif")), Block(())
        end = self._end_tag(("elif", "else", "endif"))
        if end == "elif":
            return nodes.If(condition, yes, Block((self._if(),)))
        if end == "else":
            self.close()
            no = self._block(("endif",))
            self._end_tag(("endif",))
        self.close()
        return nodes.If(condition, yes, no)

    def _for(self) -> Statement:
        targets = [self.name()]
        while self.accept(","):
            targets.append(self.name())
        self.expect_name("in")
        values = self.tuple_or_one()
        self.close()
        body, no = self._block(("else", "endfor")), Block(())
        if self._end_tag(("else", "endfor")) == "else":
            self.close()
            no = self._block(("endfor",))
            self._end_tag(("endfor",))
        self.close()
        return nodes.For(tuple(targets), values, body, no)

    def _set(self) -> Statement:
        name = self.name()
        if self.accept("="):
            value = self.tuple_or_one()
            self.close()
            return nodes.Set(name, value)
        self.close()
        body = self._block(("endset",))
        self._end_tag(("endset",))
        self.close()
        return nodes.Set(name, body)

    def _end_tag(self, names: tuple[str, ...]) -> str:
        """
        Take the beginning of one of the tags *names*, and return which.
        """
        if self.token.kind == "end":
            raise self.complaint(f"must be closed by {names[-1]}", self.token)
        self.take()
        token = self.take()
        if token.kind != "name" or token.value not in names:
            raise self.complaint(f"must be {' or '.join(names)}", token)
        return str(token.value)
