"""
The command line: ``hpo``. One file a command or small group of them.

Starting up imports next to nothing: what is heavy waits inside the commands.
"""

from __future__ import annotations

from airflow_hpo.cli.app import app, main

__all__ = ["app", "main"]
