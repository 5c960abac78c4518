"""
``python -m airflow_hpo.cli`` is ``hpo``.
"""

from __future__ import annotations

from airflow_hpo.cli.app import main

if __name__ == "__main__":
    main()
