"""
What a Job and its pod say about a trial's job.
"""

from __future__ import annotations

import pytest

from airflow_hpo.model.job import JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.files import Ending
from airflow_hpo.runners.kubernetes_sight import sight_of
from airflow_hpo.runners.remote import LEFT

CREATED = "2026-01-01T00:00:00Z"
AT = 1767225600.0  # the same in seconds


def job(**status):
    """
    Return a Job.
    """
    return {"metadata": {"creationTimestamp": CREATED}, "status": status}


def pod(phase="Running", state=None, *, deleted=None, **status):
    """
    Return a pod whose container is in *state*, beside another one that runs.
    """
    metadata = {"creationTimestamp": CREATED}
    if deleted is not None:
        metadata["deletionTimestamp"] = deleted
    containers = [{"name": "proxy", "state": {"running": {}}}]
    if state is not None:
        containers.append({"name": "trial", "state": state})
    return {
        "metadata": metadata,
        "status": {"phase": phase, "containerStatuses": containers, **status},
    }


def ended(code, reason="Error", **more):
    """
    Return the state of a container that has ended.
    """
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


def seen(*pods, of=None, after=10.0):
    """
    Return what is seen some seconds after everything was made.
    """
    return sight_of(of or job(), pods, container="trial", now=AT + after, limit_s=600.0)


def test_where_a_job_is():
    """
    It is pending without a pod and while its container waits, and then runs.
    """
    assert seen().state is JobState.PENDING
    assert seen(pod("Pending")).state is JobState.PENDING
    assert seen(pod("Pending", {"waiting": {"reason": "ContainerCreating"}})).state is (
        JobState.PENDING
    )
    assert seen(pod("Running", {"running": {}}), after=1e6).state is JobState.RUNNING


@pytest.mark.parametrize(
    ("found", "ending"),
    [
        (pod("Succeeded", ended(0, "Completed")), Ending(exit_code=0)),
        (pod("Failed", ended(3)), Ending(exit_code=3)),
        (pod("Failed", ended(137, "OOMKilled")), Ending(exit_code=137, oom=True)),
        (pod("Failed", ended(143), reason="DeadlineExceeded"), Ending(cause="timeout")),
        (pod("Running", ended(0, "Completed")), Ending(exit_code=0, cause=LEFT)),
    ],
    ids=["well", "badly", "memory", "too long", "beside others"],
)
def test_how_it_ended(found, ending):
    """
    Exit code, memory and time limit are told apart; what runs beside it does not count.
    """
    assert seen(found).ending == ending


def disrupted(reason):
    """
    Return the condition that the cluster itself ended a pod.
    """
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason}]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (pod("Failed", reason="Evicted", message="low on memory"), "evicted: low on memory"),
        (pod("Failed", ended(137), conditions=disrupted("PreemptionByScheduler")), "preempted"),
        (pod("Failed", ended(143), conditions=disrupted("Whatever")), r"ended its pod (Whatever)"),
        (pod("Failed", reason="OutOfcpu"), "no room for the pod (OutOfcpu)"),
        (pod("Failed", ended(137, "ContainerStatusUnknown")), "its node was lost"),
        (pod("Running", {"running": {}}, deleted="2026-01-01T00:01:00Z"), "its node was lost"),
    ],
    ids=["evicted", "preempted", "unknown", "no room", "no status", "vanished"],
)
def test_what_the_cluster_did(found, reason):
    """
    It is a failure of the infrastructure, in words.
    """
    ending = seen(found, after=300.0).ending

    assert ending.failure is Failure.INFRASTRUCTURE
    assert reason in ending.reason


def test_a_pod_that_ends_gracefully_still_runs():
    """
    One that was told to end has its time, and a moment more.
    """
    found = pod("Running", {"running": {}}, deleted="2026-01-01T00:01:00Z")

    assert seen(found, after=65.0).state is JobState.RUNNING


def test_a_container_that_cannot_be_started():
    """
    An image without a shell is the blueprint's fault.
    """
    found = pod("Failed", ended(128, "StartError", message="exec: /bin/sh: no such file"))

    assert seen(found).ending.failure is Failure.CODE
    assert "could not be started: exec: /bin/sh" in seen(found).ending.reason


def test_a_pod_that_is_gone():
    """
    A Job that failed without one lost it; one that never had one is given up.
    """
    failed = job(conditions=[{"type": "Failed", "status": "True", "message": "limit"}])

    assert "evicted or preempted, or its node was lost: limit" in seen(of=failed).ending.reason
    assert "no pod was made within 600 s" in seen(after=601.0).ending.reason


def test_a_secret_that_is_missing():
    """
    It may come; after the limit it is the blueprint's fault.
    """
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}
    found = pod("Pending", {"waiting": waiting})

    assert seen(found).state is JobState.PENDING
    assert seen(found, after=601.0).ending.failure is Failure.CODE
    assert 'secret "keys" not found' in seen(found, after=601.0).ending.reason
