"""
What a collector is, and what all of them do with what they found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pydantic import Field

from airflow_hpo.model.base import Document
from airflow_hpo.model.stop import to_number
from airflow_hpo.model.trial import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_hpo.model.values import Value

__all__ = ["Collector", "CollectorOptions", "Meter", "Notes"]


class CollectorOptions(Document):
    """
    A format's own options; each format declares a subclass.

    Args:
        resource:
            Name of the metric that tells how much of the resource was spent;
            by default that of the blueprint's resource.
    """

    resource: str | None = Field(default=None, min_length=1)


@runtime_checkable
class Collector(Protocol):
    """
    Turns one attempt's output into measurements, as it comes.

    The same output gives the same measurements, however it is cut into pieces:
    whoever takes over a running trial feeds it from the start again. A step that
    another process follows gets a new collector, fed with that step's output
    alone; one that reads something else than output says ``rereads = True``,
    that it finds again what came of the steps before.
    """

    options_class: ClassVar[type[CollectorOptions]]

    def __init__(
        self,
        options: Any,  # noqa: ANN401 - its own CollectorOptions
        *,
        resource: str | None,
        workspace: str | None,
        since: float | None,
    ) -> None:
        """
        Keep what is given, see `create_collector`; read nothing yet.
        """

    @property
    def notes(self) -> Sequence[str]:
        """
        What was passed over and why: a short sentence for each kind.
        """

    def feed(self, lines: Sequence[str], now: float) -> list[Measurement]:
        """
        Return what was measured since the last call.

        Args:
            lines: The next complete lines of output; may be none at all.

            now: Seconds since the epoch.
        """

    def finish(self, now: float) -> list[Measurement]:
        """
        Return what is left to return, now that the attempt has ended.
        """


class Meter:
    """
    Makes measurements: knows which metric tells how far a trial is.

    Args:
        options: Of the collector.

        resource: Name of the blueprint's resource; `None` if it has none.
    """

    def __init__(self, options: CollectorOptions, resource: str | None) -> None:
        if options.resource is not None:
            self._names: tuple[str, ...] = (options.resource,)
        elif resource is not None:
            # Told to train for so many *epochs*, code prints at which *epoch* it is.
            self._names = (resource, resource.removesuffix("s"))
        else:
            self._names = ()

    def measurement(self, metrics: Mapping[str, Value], now: float) -> Measurement:
        """
        Return *metrics* as measured at the time *now*.
        """
        numbers = (to_number(metrics.get(name)) for name in self._names)
        resource = next((number for number in numbers if number is not None), None)
        return Measurement(metrics=dict(metrics), time=now, resource=resource)


class Notes:
    """
    Counts what was passed over, by kind: a torrent of it takes no space.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, what: str) -> None:
        """
        Note that *what* happened, or happened again.
        """
        self._counts[what] = self._counts.get(what, 0) + 1

    def sentences(self) -> tuple[str, ...]:
        """
        Return what happened, in the order in which it first did.
        """
        return tuple(
            what if count == 1 else f"{what} ({count} times)"
            for what, count in self._counts.items()
        )
