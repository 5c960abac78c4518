"""
TRIALS OF OTHERS -> A STUDY: what they teach, and what of them does not fit.

Another study, a file, or the study's own past in a space that was changed
since: all are mapped into the present space by the same few functions, and
whatever is left out is counted and said.
"""

from __future__ import annotations

from airflow_hpo.history.collect import collect
from airflow_hpo.history.fit import (
    MisfitError,
    Tally,
    fit_configuration,
    fit_past,
    fit_point,
    fit_trial,
)
from airflow_hpo.history.given import (
    checked_first,
    given_points,
    given_trials,
    history_notes,
    history_of,
)
from airflow_hpo.history.intervals import champion_before, study_before
from airflow_hpo.history.preview import preview
from airflow_hpo.history.resume import adopt, defined
from airflow_hpo.history.told import Entry, Told, told_by

__all__ = [
    "Entry",
    "MisfitError",
    "Tally",
    "Told",
    "adopt",
    "champion_before",
    "checked_first",
    "collect",
    "defined",
    "fit_configuration",
    "fit_past",
    "fit_point",
    "fit_trial",
    "given_points",
    "given_trials",
    "history_notes",
    "history_of",
    "preview",
    "study_before",
    "told_by",
]
