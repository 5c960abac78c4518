"""
Plugin: RESULTS -> AIRFLOW UI.

Airflow imports this in every one of its processes, so it must cost nothing:
whatever the plugin brings is a property that imports when it is asked.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

__all__ = ["HpoPlugin"]


class HpoPlugin(AirflowPlugin):
    """
    What studies add to Airflow's UI. Registered as an entry point.
    """

    name = "hpo"

    @property
    def listeners(self) -> list[Any]:  # type: ignore[override]
        """
        What is told when one of Airflow's processes starts.
        """
        from airflow_hpo.plugin import preload

        return [preload]

    @property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        """
        The study page; only the api-server asks for it.
        """
        from airflow_hpo.plugin.views import mounts

        return mounts()

    @property
    def external_views(self) -> list[Any]:  # type: ignore[override]
        """
        Where the page stands in the UI: under Browse, on DAGs and on DAG runs.
        """
        from airflow_hpo.plugin.views import views

        return views()
