"""
What Airflow's provider manager asks for.
"""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """
    Return what this provider brings, in the form of Airflow's schema.
    """
    from airflow_hpo import __version__

    name, integration = "airflow-provider-hpo", "Hyperparameter optimisation"
    return {
        "package-name": name,
        "name": integration,
        "description": "Hyperparameter optimisation: one YAML blueprint becomes a DAG.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": f"https://github.com/{name}/{name}#readme",
                "tags": ["software"],
            }
        ],
        "operators": [
            {
                "integration-name": integration,
                "python-modules": [
                    f"airflow_hpo.operators.{module}"
                    for module in (
                        "suggest",
                        "trial",
                        "step",
                        "evaluate",
                        "report",
                        "slots",
                        "function",
                    )
                ],
            }
        ],
        "task-decorators": [
            {"name": "hpo_trial", "class-name": "airflow_hpo.operators.function.hpo_trial"}
        ],
        "hooks": [{"integration-name": integration, "python-modules": ["airflow_hpo.hooks.study"]}],
        "triggers": [
            {"integration-name": integration, "python-modules": ["airflow_hpo.triggers.job"]}
        ],
        "extra-links": ["airflow_hpo.operators.links.ReportLink"],
        "connection-types": [_connection_type()],
        "config": {"hpo": _config()},
    }


def _connection_type() -> dict[str, Any]:
    return {
        "connection-type": "hpo",
        "hook-class-name": "airflow_hpo.hooks.study.StudyHook",
        "hook-name": "Hyperparameter studies",
        "conn-fields": {
            "url": {
                "label": "Database URL",
                "description": (
                    "Where studies are kept: sqlite:///FILE or postgresql://HOST/DATABASE. "
                    "Empty means a SQLite file under Airflow's home."
                ),
                "schema": {"type": ["string", "null"], "format": "password"},
            },
            "artifacts": {
                "label": "Folder of files",
                "description": "Where trials and reports keep their files: a folder, or s3://BUCKET/PATH.",
                "schema": {"type": ["string", "null"]},
            },
        },
        "ui-field-behaviour": {
            "hidden-fields": ["host", "schema", "port", "extra"],
            "relabeling": {"login": "User name", "password": "Password"},
            "placeholders": {
                "login": "of the database, where the URL names none",
                "password": "of the database, where the URL holds none",
            },
        },
    }


def _config() -> dict[str, Any]:
    return {
        "description": "Hyperparameter optimisation.",
        "options": {
            "conn_id": {
                "description": "The Airflow connection to the journal of studies.",
                "version_added": "0.1.0",
                "type": "string",
                "example": None,
                "default": "hpo_default",
            },
            "artifacts": {
                "description": (
                    "Where trials and reports keep their files, if the connection does not say: "
                    "a folder, or an address such as s3://bucket/studies. Empty means a folder "
                    "under Airflow's home."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "/srv/hpo/studies",
                "default": "",
            },
            "gpus": {
                "description": (
                    "The GPUs of this host that trials share, by number or UUID, where the "
                    "variable HPO_GPUS names none. Empty means all that NVML tells of; none, none."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "0,1,2",
                "default": "",
            },
            "gpu_locks": {
                "description": (
                    "The folder in which the GPUs of this host are leased, common to all who "
                    "share them, where the variable HPO_GPU_LOCKS names none. Empty means one "
                    "in shared memory."
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "/run/lock/hpo",
                "default": "",
            },
            "preload": {
                "description": (
                    "Whether the scheduler and the DAG processor import this package when they "
                    "start, so that the processes forked from them need not."
                ),
                "version_added": "0.1.0",
                "type": "boolean",
                "example": None,
                "default": "True",
            },
        },
    }
