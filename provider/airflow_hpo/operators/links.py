"""
Where a task's buttons in Airflow's UI lead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink

from airflow_hpo.hooks.compat import conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

__all__ = ["ReportLink"]


class ReportLink(BaseOperatorLink):
    """
    From the report task to the study's report.

    **How it works.** The link is made where the task ran, once it has ended,
    well or not. It has no host: whichever name somebody reaches Airflow by,
    it leads there. The plugin answers, with the permissions on the study.
    """

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Return the path of the report of the study that *operator* worked on.
        """
        del ti_key
        base = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
        study = str(getattr(operator, "study", "")).strip()
        return f"{base}/hpo/report.html?study={quote(study, safe='')}"
