"""
Dialects: the vocabularies that are read, one file each; they know no siblings.
"""

from __future__ import annotations

from airflow_hpo.model.registry import Table

__all__ = ["DIALECTS"]

DIALECTS = Table(
    kind="dialect",
    entries={
        "native": "airflow_hpo.blueprint.dialects.native:NativeDialect",
        "valohai": "airflow_hpo.blueprint.dialects.valohai:ValohaiDialect",
        "logml": "airflow_hpo.blueprint.dialects.logml:LogmlDialect",
    },
    group="airflow_hpo.dialects",
)
