"""
Dialects: the vocabularies that are read and written; they know no siblings.
"""

from __future__ import annotations

from airflow_hpo.model.registry import Table

__all__ = ["DIALECTS", "WRITERS"]

DIALECTS = Table(
    kind="dialect",
    entries={
        "native": "airflow_hpo.blueprint.dialects.native:NativeDialect",
        "valohai": "airflow_hpo.blueprint.dialects.valohai:ValohaiDialect",
        "logml": "airflow_hpo.blueprint.dialects.logml:LogmlDialect",
        "clearml": "airflow_hpo.blueprint.dialects.clearml:ClearmlDialect",
        "polyaxon": "airflow_hpo.blueprint.dialects.polyaxon:PolyaxonDialect",
        "wandb": "airflow_hpo.blueprint.dialects.wandb:WandbDialect",
        "katib": "airflow_hpo.blueprint.dialects.katib:KatibDialect",
    },
    group="airflow_hpo.dialects",
)

WRITERS = Table(
    kind="dialect that can be written",
    entries={
        "native": "airflow_hpo.blueprint.dialects.native.write:write",
        "valohai": "airflow_hpo.blueprint.dialects.valohai.write:write",
        "polyaxon": "airflow_hpo.blueprint.dialects.polyaxon.write:write",
    },
    group="airflow_hpo.writers",
)
"""By the name of the dialect; each is a `airflow_hpo.blueprint.dialects.writing.Writer`."""
