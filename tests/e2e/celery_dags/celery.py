"""
A DAG whose trials run on another worker than the rest; retries come at once.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_hpo.factory import discover

for _dag in discover(".", file=__file__, namespace=globals()).values():
    for _task in _dag.task_dict.values():
        _options = _task.partial_kwargs if _task.is_mapped else vars(_task)
        _options["retry_delay"] = timedelta(seconds=1)
        _options["retry_exponential_backoff"] = False
