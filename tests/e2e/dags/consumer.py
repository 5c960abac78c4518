"""
A DAG that runs whenever another one has a new champion.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, task

CHAMPION = Asset("hpo://retuned/champion")

with DAG("consumer", schedule=[CHAMPION], catchup=False):

    @task
    def deploy(triggering_asset_events: Any) -> list[dict[str, Any]]:
        """
        Return what the events carry.
        """
        return [event.extra for event in triggering_asset_events[CHAMPION]]

    @task(inlets=[CHAMPION])
    def recall(**context: Any) -> str:
        """
        Return the study of the champion that Airflow keeps with the asset, from 3.3 on.
        """
        store = context.get("asset_state_store")
        return "" if store is None else store[CHAMPION].get("champion")["study"]

    deploy() >> recall()
