"""
YAML events -> plain data, and a mark for every key and value.

YAML is read event by event, so that nothing in a file can make it expensive:
not depth, not aliases, not an anchor that contains itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml
from yaml import events

from airflow_hpo.blueprint.places import Mark, Marks, dotted, place_of
from airflow_hpo.blueprint.scalars import plain_value, tagged_value
from airflow_hpo.errors import BlueprintError, Problem

__all__ = ["Composer", "event_source"]

MAX_DEPTH = 50
MAX_NODES = 100_000

_TOO_MANY = f"a file must hold at most {MAX_NODES} values, aliases written out"
_STAR = "put text that begins with * in quotes"

_CONTAINER_TAGS = frozenset({None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})

# So much of a long path is shown.
_SHOWN_PARTS = 12


class _PurePythonParser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """
    PyYAML's own parser, for where it was built without LibYAML.
    """

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)


def event_source(text: str) -> Callable[[], Any]:
    """
    Return a function that gives the next event.
    """
    try:
        from yaml._yaml import CParser
    except ImportError:
        parser: Any = _PurePythonParser(text)
    else:
        parser = CParser(text)
    next_event: Callable[[], Any] = parser.get_event
    return next_event


class _Missing:
    """
    Stands for the key that a mapping waits for.
    """


_KEY = _Missing()
_MERGE = object()
_OPEN = object()
"""What an anchor stands for while its own value is not complete."""


@dataclass(slots=True)
class _Frame:
    """
    A container that is being filled.
    """

    part: str | int
    data: Any
    marks: Marks
    key: Any
    key_mark: Mark
    anchor: str | None
    nodes_before: int
    merges: list[tuple[Any, Mark]] | None = None


class Composer:
    """
    Builds data and marks out of a parser's events.
    """

    def __init__(self, next_event: Callable[[], Any], file: str) -> None:
        self._next = next_event
        self._file = file
        # The outermost frame holds the document itself, like a list of one.
        self._root: list[Any] = []
        self._stack = [_Frame("", self._root, {}, None, None, None, 0)]
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self.marks: dict[int, Marks] = {}
        self.problems: list[Problem] = []

    def compose(self) -> Mark:
        """
        Read the only document of the stream and return where it begins.
        """
        event = self._next()  # the stream's start
        event = self._next()
        if not isinstance(event, events.DocumentStartEvent):
            self._refuse(event.start_mark, "the file is empty")
        event = self._next()
        root = event.start_mark
        # The hot loop: most events are scalars.
        scalar, end = events.ScalarEvent, events.DocumentEndEvent
        while (kind := event.__class__) is not end:
            if kind is scalar:
                self._scalar(event)
            else:
                self._structure(event, kind)
            event = self._next()
        event = self._next()
        if isinstance(event, events.DocumentStartEvent):
            self._refuse(
                event.start_mark,
                "a file must hold one document, got a second one",
                hint="put it into a file of its own, or remove the line ---",
            )
        if self.data is None:
            self._refuse(root, "the file is empty")
        return root

    @property
    def data(self) -> Any:  # noqa: ANN401 - any value
        """
        What the document holds.
        """
        return self._root[0] if self._root else None

    def _scalar(self, event: Any) -> None:  # noqa: ANN401 - PyYAML's event
        mark, text = event.start_mark, event.value
        value = text
        if event.implicit[0] or event.tag is not None:
            value = self._resolved(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, 1
        frame = self._stack[-1]
        if frame.key is not _KEY:
            self._put(value, mark)
        elif text == "<<" and event.implicit[0]:
            frame.key, frame.key_mark = _MERGE, mark
        else:
            self._key(frame, value, text, mark)

    def _resolved(self, event: Any) -> Any:  # noqa: ANN401 - PyYAML's event
        try:
            if event.tag is None:
                return plain_value(event.value)
            return tagged_value(event.tag, event.value)
        except ValueError as error:
            self._problem(event.start_mark, str(error))
            return event.value

    def _structure(self, event: Any, kind: type) -> None:  # noqa: ANN401 - PyYAML's event
        if kind is events.MappingStartEvent:
            self._open(event, {}, _KEY)
        elif kind is events.SequenceStartEvent:
            self._open(event, [], None)
        elif kind is events.AliasEvent:
            self._alias(event)
        else:
            self._close()

    def _key(self, frame: _Frame, value: Any, text: str, mark: Mark) -> None:  # noqa: ANN401
        if not isinstance(value, str):
            self._problem(
                mark, f"keys must be text, got {text or 'nothing'}", hint=f'write "{text}":'
            )
            value = text
        if value in frame.marks:
            line, column = place_of(frame.marks[value][0])
            self._problem(
                mark, f"keys must be unique, got {value} again (first at {line}:{column})"
            )
        frame.key, frame.key_mark = value, mark

    def _put(self, value: Any, mark: Mark) -> str | int:  # noqa: ANN401 - any value
        """
        Put *value* where the innermost container waits for it; return its part of the path.
        """
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(mark, _TOO_MANY)
        frame = self._stack[-1]
        key: Any = frame.key
        if key is None:
            key = len(frame.data)
            frame.marks[key] = mark, mark
            frame.data.append(value)
        elif key is _MERGE:
            frame.merges = [*(frame.merges or ()), (value, mark)]
            frame.key, key = _KEY, "<<"
        else:
            frame.marks[key] = frame.key_mark, mark
            frame.data[key] = value
            frame.key = _KEY
        part: str | int = key
        return part

    def _open(self, event: Any, data: Any, key: Any) -> None:  # noqa: ANN401 - see _Frame
        mark = event.start_mark
        stack = self._stack
        if stack[-1].key is _KEY:
            self._refuse(
                mark,
                "keys must be text, got a list or mapping",
                hint="put text that begins with a brace or bracket in quotes",
            )
        if len(stack) > MAX_DEPTH:
            self._refuse(mark, f"values must not be nested deeper than {MAX_DEPTH} levels")
        if event.tag not in _CONTAINER_TAGS:
            self._problem(mark, f"tags must be of YAML's core (!!str, !!int ...), got {event.tag}")
        if event.anchor is not None:
            self._anchors[event.anchor] = _OPEN, 0
        marks: Marks = {}
        self.marks[id(data)] = marks
        part = self._put(data, mark)
        stack.append(_Frame(part, data, marks, key, mark, event.anchor, self._nodes))

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.merges is not None:
            self._merge(frame)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = frame.data, self._nodes - frame.nodes_before + 1

    def _alias(self, event: Any) -> None:  # noqa: ANN401 - PyYAML's event
        mark, name = event.start_mark, event.anchor
        if name not in self._anchors:
            self._refuse(mark, f"an alias must name an anchor before it, got *{name}", hint=_STAR)
        value, nodes = self._anchors[name]
        if value is _OPEN:
            self._refuse(mark, f"an anchor must not contain itself, got *{name}")
        self._nodes += nodes - 1
        frame = self._stack[-1]
        if frame.key is _KEY:
            self._key(frame, value, f"*{name}", mark)
        else:
            self._put(value, mark)

    def _merge(self, frame: _Frame) -> None:
        """
        Add what ``<<`` brings; keys that are written out, and earlier ones, win.
        """
        for value, mark in frame.merges or ():
            for source in value if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    self._problem(mark, "<< must be given a mapping or a list of mappings")
                    continue
                for key, item in source.items():
                    if key not in frame.data:
                        frame.data[key] = item
                        frame.marks[key] = self.marks[id(source)][key]

    def _problem(self, mark: Mark, message: str, *, hint: str | None = None) -> None:
        path = tuple(frame.part for frame in self._stack[2 : 2 + _SHOWN_PARTS])
        line, column = place_of(mark)
        self.problems.append(
            Problem(dotted(path), message, hint, file=self._file, line=line, column=column)
        )

    def _refuse(self, mark: Mark, message: str, *, hint: str | None = None) -> NoReturn:
        self._problem(mark, message, hint=hint)
        raise BlueprintError(self.problems)
