"""
Where the study page is mounted, and where Airflow's UI shows it.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from airflow_hpo.hooks.compat import conf

__all__ = ["PREFIX", "base_path", "mounts", "views"]

PREFIX = "/hpo"

_log = logging.getLogger(__name__)


def base_path() -> str:
    """
    Return the path under which Airflow is reached, without a slash behind it.

    ``[api] base_url`` may have one, where a proxy serves more than Airflow.
    """
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")


def mounts() -> list[dict[str, Any]]:
    """
    Return the page's application, or nothing where it could not be guarded.
    """
    try:
        from airflow_hpo.plugin.page.app import page_app

        app = page_app()
    except Exception:  # noqa: BLE001 - see below
        # What guards the page are parts of Airflow that another version may not
        # have: then there is no page, and Airflow itself must start.
        _log.exception("the study page cannot be served")
        return []
    return [{"app": app, "url_prefix": PREFIX, "name": "Hyperparameter studies"}]


def views() -> list[dict[str, Any]]:
    """
    Return the entry under Browse, and the tabs on DAGs and DAG runs.
    """
    page = f"{base_path()}{PREFIX}"
    icons = {
        "icon": f"{page}/static/icon.svg",
        "icon_dark_mode": f"{page}/static/icon-dark.svg",
    }
    # Airflow finds a view by its route alone: no two may have the same.
    return [
        {
            "name": "Studies",
            "href": f"{page}/",
            "destination": "nav",
            "category": "browse",
            "url_route": "hpo-studies",
            **icons,
        },
        {
            "name": "Studies",
            "href": f"{page}/?dag_id={{DAG_ID}}",
            "destination": "dag",
            "url_route": "hpo-dag",
            **icons,
        },
        {
            "name": "Study",
            "href": f"{page}/?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "hpo-run",
            **icons,
        },
    ]
