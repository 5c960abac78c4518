"""
An Airflow DAG whose trial's task takes its time between handing its job in and leaving.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from airflow.sdk import DAG

from airflow_hpo.blueprint import parse_blueprints
from airflow_hpo.operators import EvaluateOperator, SuggestOperator, TrialOperator
from airflow_hpo.operators.base import SealedBlueprint

_FILE = Path(__file__).parent / "blueprints" / "deferred.yaml"
(_BLUEPRINT,) = parse_blueprints(_FILE.read_text(), file=str(_FILE))


class SlowOperator(TrialOperator):
    """
    Leaves half an hour after it could, at its first try.
    """

    def _defer(self, study: Any, run: Any, context: Any) -> NoReturn:
        if context["ti"].try_number == 1:
            time.sleep(1800)
        super()._defer(study, run, context)


with DAG("deferred_slowly", schedule=None, catchup=False):
    _shared: dict[str, Any] = {
        "blueprint": SealedBlueprint(_BLUEPRINT),
        "settings": {"trials": 1, "batch_size": 1},
    }
    _suggest = SuggestOperator(task_id="suggest", **_shared)
    _trial = SlowOperator.partial(
        task_id="trial", retries=1, retry_delay=timedelta(seconds=1), **_shared
    ).expand(trial=_suggest.output)
    _trial >> EvaluateOperator(
        task_id="evaluate", suggest_task_id="suggest", trial_task_id="trial", **_shared
    )
