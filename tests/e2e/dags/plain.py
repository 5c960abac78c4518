"""
Airflow DAGs with nothing of ours in them: for the tests of the stack itself.
"""

from __future__ import annotations

from airflow.sdk import DAG, task

with DAG("plain", schedule=None, catchup=False):

    @task
    def numbers(count: int) -> list[int]:
        """
        Return so many numbers.
        """
        return list(range(count))

    @task
    def double(number: int) -> int:
        """
        Return twice the number.
        """
        return 2 * number

    double.expand(number=numbers(3))

with DAG("doomed", schedule=None, catchup=False):

    @task
    def fail() -> None:
        """
        Fail with a message.
        """
        raise ValueError("doomed from the start")

    fail()
