"""
Tokens -> expressions, by descent: the operators with their precedence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_hpo.blueprint.jinja import nodes
from airflow_hpo.blueprint.jinja.nodes import Expression
from airflow_hpo.blueprint.jinja.operations import FILTERS, TESTS, Author
from airflow_hpo.blueprint.jinja.tokens import Token, tokens, where
from airflow_hpo.model.registry import did_you_mean

__all__ = ["ExpressionParser"]

# Deeper nesting is no command, and Python's own stack is not endless.
_DEEPEST = 40

_CONSTANTS = {
    **dict.fromkeys(("true", "True"), True),
    **dict.fromkeys(("false", "False"), False),
    **dict.fromkeys(("none", "None")),
}
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


class ExpressionParser:
    """
    Reads expressions; holds the place in the tokens.

    Args:
        text: The template.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        """
        The token that is next.
        """
        return self.tokens[self.at]

    def take(self) -> Token:
        """
        Return the token that is next, and go on.
        """
        token = self.token
        if token.kind != "end":
            self.at += 1
        return token

    def complaint(self, rule: str, token: Token) -> ValueError:
        """
        Return an error about *token*.
        """
        got = "the end" if token.kind == "end" else repr(token.value)
        return ValueError(f"{rule}, got {got} {where(self.text, token.offset)}")

    def accept(self, op: str) -> bool:
        """
        Take the operator *op* if it is next.
        """
        found = self.token.kind == "op" and self.token.value == op
        self.at += found
        return found

    def expect(self, op: str) -> None:
        """
        Take the operator *op*, which must be next.
        """
        if not self.accept(op):
            raise self.complaint(f"must be {op}", self.token)

    def accept_name(self, name: str) -> bool:
        """
        Take the word *name* if it is next.
        """
        found = self.token.kind == "name" and self.token.value == name
        self.at += found
        return found

    def expect_name(self, name: str) -> None:
        """
        Take the word *name*, which must be next.
        """
        if not self.accept_name(name):
            raise self.complaint(f"must be {name}", self.token)

    def name(self) -> str:
        """
        Take a name.
        """
        if self.token.kind != "name" or self.token.value in _CONSTANTS:
            raise self.complaint("must be a name", self.token)
        return str(self.take().value)

    def close(self) -> None:
        """
        Take the end of a tag, which must be next.
        """
        if self.token.kind != "close":
            raise self.complaint("the tag must end", self.token)
        self.take()

    def deeper(self) -> None:
        """
        Count a level of nesting.
        """
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ValueError(f"a template must be nested at most {_DEEPEST} deep")

    def tuple_or_one(self) -> Expression:
        """
        Read one expression, or several with commas between them.
        """
        first = self.expression()
        if not (self.token.kind == "op" and self.token.value == ","):
            return first
        items = [first]
        while self.accept(",") and self.token.kind != "close":
            items.append(self.expression())
        return nodes.ListOf(tuple(items))

    def expression(self) -> Expression:
        """
        Read one expression.
        """
        self.deeper()
        value = self._or()
        while self.accept_name("if"):
            condition = self._or()
            no = self.expression() if self.accept_name("else") else None
            value = nodes.Choice(condition, value, no)
        self.depth -= 1
        return value

    def _or(self) -> Expression:
        value = self._and()
        while self.accept_name("or"):
            value = nodes.Logic("or", value, self._and())
        return value

    def _and(self) -> Expression:
        value = self._not()
        while self.accept_name("and"):
            value = nodes.Logic("and", value, self._not())
        return value

    def _not(self) -> Expression:
        count = 0
        while self.accept_name("not"):
            count += 1
        value = self._compared()
        if not count:
            return value
        value = nodes.Unary("not", value)
        return nodes.Unary("not", value) if count % 2 == 0 else value

    def _compared(self) -> Expression:
        first, rest = self._sum(), list[tuple[str, Expression]]()
        while (op := self._comparison()) is not None:
            rest.append((op, self._sum()))
        return nodes.Compare(first, tuple(rest)) if rest else first

    def _comparison(self) -> str | None:
        for op in _COMPARISONS:
            if self.accept(op):
                return op
        if self.accept_name("in"):
            return "in"
        following = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
        if self.token.value == "not" and following.value == "in":
            self.at += 2
            return "not in"
        return None

    def _sum(self) -> Expression:
        return self._chain(("+", "-"), self._joined)

    def _joined(self) -> Expression:
        return self._chain(("~",), self._product)

    def _product(self) -> Expression:
        return self._chain(("*", "//", "/", "%"), self._power)

    def _chain(self, ops: Sequence[str], read: Callable[[], Expression]) -> Expression:
        value = read()
        while self.token.kind == "op" and self.token.value in ops:
            value = nodes.Binary(self.take().value, value, read())
        return value

    def _power(self) -> Expression:
        # From the left, and a sign binds closer: so it is in Jinja.
        return self._chain(("**",), self._signed)

    def _signed(self) -> Expression:
        return self._filtered(self._sign_or_primary())

    def _sign_or_primary(self) -> Expression:
        for op in ("-", "+"):
            if self.accept(op):
                self.deeper()
                signed = nodes.Unary(op, self._sign_or_primary())
                self.depth -= 1
                return signed
        value = self._primary()
        while self.token.kind == "op" and self.token.value in {".", "["}:
            value = self._item(value)
        return value

    def _filtered(self, value: Expression) -> Expression:
        while True:
            if self.token.kind == "op" and self.token.value in {".", "["}:
                value = self._item(value)
            elif self.accept("|"):
                value = self._filter(value)
            elif self.accept_name("is"):
                value = self._test(value)
            elif self.token.kind == "op" and self.token.value == "(":
                raise self.complaint("nothing must be called but range", self.token)
            else:
                return value

    def _item(self, base: Expression) -> Expression:
        if self.accept("."):
            if self.token.kind == "number":
                return nodes.Item(base, nodes.Const(self.take().value))
            return nodes.Item(base, nodes.Const(self.name()))
        self.expect("[")
        start = None if self.token.value == ":" else self.expression()
        if self.accept(":"):
            stop = None if self.token.value == "]" else self.expression()
            self.expect("]")
            return nodes.Slice(base, start, stop)
        self.expect("]")
        return nodes.Item(base, start or nodes.Const(0))

    def _filter(self, value: Expression) -> Expression:
        token = self.token
        name = self.name()
        if name not in FILTERS:
            hint = did_you_mean(name, FILTERS) or f"filters are {', '.join(sorted(FILTERS))}"
            raise ValueError(f"{self.complaint('must be a filter', token)}; {hint}")
        arguments, named = [], []
        if self.accept("("):
            while not self.accept(")"):
                following = self.tokens[self.at + 1]
                if self.token.kind == "name" and following.value == "=":
                    word = self.name()
                    self.expect("=")
                    named.append((word, self.expression()))
                else:
                    arguments.append(self.expression())
                if self.token.value != ")":
                    self.expect(",")
        return nodes.Filter(name, value, tuple(arguments), tuple(named))

    def _test(self, value: Expression) -> Expression:
        negated = self.accept_name("not")
        token = self.token
        name = "none" if str(token.value) in {"none", "None"} else str(token.value)
        if token.kind != "name" or name not in TESTS:
            hint = did_you_mean(name, TESTS) or f"tests are {', '.join(sorted(TESTS))}"
            raise ValueError(f"{self.complaint('must be a test', token)}; {hint}")
        self.take()
        argument = self._primary() if TESTS[name].takes_argument else None
        return nodes.Test(name, value, argument, negated)

    def _primary(self) -> Expression:
        token = self.take()
        if token.kind == "number":
            return nodes.Const(token.value)
        if token.kind == "string":
            text = token.value
            while self.token.kind == "string":
                text += self.take().value
            return nodes.Const(Author(text))
        if token.kind == "name":
            return self._word(token)
        if token.kind == "op" and token.value in {"(", "[", "{"}:
            return self._bracket(token.value)
        raise self.complaint("must be a value", token)

    def _word(self, token: Token) -> Expression:
        name = token.value
        if name in _CONSTANTS:
            return nodes.Const(_CONSTANTS[name])
        if name in {"if", "else", "in", "is", "and", "or"}:
            raise self.complaint("must be a value", token)
        if name == "range" and self.accept("("):
            return nodes.Range(self._several(")"))
        return nodes.Name(name)

    def _bracket(self, opening: str) -> Expression:
        if opening == "[":
            return nodes.ListOf(self._several("]"))
        if opening == "{":
            return self._mapping()
        if self.accept(")"):
            return nodes.ListOf(())
        first = self.expression()
        if self.accept(")"):
            return first
        self.expect(",")
        return nodes.ListOf((first, *self._several(")")))

    def _several(self, closing: str) -> tuple[Expression, ...]:
        items: list[Expression] = []
        while not self.accept(closing):
            items.append(self.expression())
            if self.token.value != closing:
                self.expect(",")
        return tuple(items)

    def _mapping(self) -> Expression:
        pairs = []
        while not self.accept("}"):
            key = self.expression()
            self.expect(":")
            pairs.append((key, self.expression()))
            if self.token.value != "}":
                self.expect(",")
        return nodes.MapOf(tuple(pairs))
