"""Every blueprint in ``blueprints/`` becomes an Airflow DAG."""

from airflow_hpo.factory import discover

discover("blueprints", file=__file__, namespace=globals())
