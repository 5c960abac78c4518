"""
Platforms: what code that was written for one looks for when it starts.

One file each; they know no siblings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_hpo.model.registry import Table

if TYPE_CHECKING:
    from airflow_hpo.model.trial_spec import PlatformSpec
    from airflow_hpo.platforms.base import Platform

__all__ = ["PLATFORMS", "create_platform"]

PLATFORMS = Table(
    kind="platform",
    entries={
        "valohai": "airflow_hpo.platforms.valohai:ValohaiPlatform",
        "polyaxon": "airflow_hpo.platforms.polyaxon:PolyaxonPlatform",
    },
    group="airflow_hpo.platforms",
)


def create_platform(spec: PlatformSpec) -> Platform:
    """
    Return the platform that *spec* names, with its options validated.

    Raises:
        ValueError: If the name or an option is not known.
    """
    platform_class = PLATFORMS.load(spec.name)
    options = platform_class.options_class.model_validate(spec.options)
    platform: Platform = platform_class(options)
    return platform
