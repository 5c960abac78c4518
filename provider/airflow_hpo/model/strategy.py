"""
How a study searches: what proposes configurations, what ends trials early, how they are laid out.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from airflow_hpo.model.base import Document

__all__ = ["Execution", "PrunerSpec", "StrategySpec"]


class StrategySpec(Document):
    """
    The rule that proposes configurations, by name.

    Args:
        name: A name of the strategy table.

        startup_trials:
            So many first trials, by number, are random; `None` for what is
            usual with the strategy.

        seed: Of the whole study; `None` to draw one and keep it.

        options: The strategy's own, validated by name and type.
    """

    name: str = "tpe"
    startup_trials: int | None = Field(default=None, ge=0)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    options: dict[str, Any] = Field(default_factory=dict)


class PrunerSpec(Document):
    """
    The rule that ends single trials early, by name, with its options.
    """

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class Execution(Document):
    """
    How trials are laid over time.

    Args:
        mode: ``batch`` waits for a whole round, ``async`` for no one.

        batch_size: Trials suggested together (batch mode).

        concurrency: Trials that run at the same time; `None` for no limit here.
    """

    mode: Literal["batch", "async"] = "batch"
    batch_size: int = Field(default=5, ge=1)
    concurrency: int | None = Field(default=None, ge=1)
