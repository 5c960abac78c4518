"""
(JOB, POD) -> SIGHT: what the objects of a cluster say about one trial's job.

Pure: no cluster is asked. Whoever asks one gets the same verdict, at any time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_hpo.model.job import JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners.files import Ending
from airflow_hpo.runners.remote import LEFT, Sight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["sight_of", "trial_status"]

Thing = dict[str, Any]

# Phases of a pod that has ended.
_OVER = frozenset({"Failed", "Succeeded"})

# Seconds after which a pod that had to be gone is on a node that is lost.
_LOST_S = 60.0

# Why a pod ended that its own code did not end: the cluster took it away.
_TAKEN = {
    "Evicted": "its pod was evicted",
    "NodeLost": "its node was lost",
    "NodeShutdown": "its node was shut down",
    "Shutdown": "its node was shut down",
    "Terminated": "its node was shut down",
    "NodeAffinity": "its node no longer takes such pods",
    "Preempting": "its pod was preempted by a more important one",
    "PreemptionByScheduler": "its pod was preempted by a more important one",
    "DeletionByTaintManager": "its node was lost, or takes such pods no more",
    "EvictionByEvictionAPI": "its pod was evicted",
    "DeletionByPodGC": "its node was lost",
    "TerminationByKubelet": "its node was short of resources, or was shut down",
    "UnexpectedAdmissionError": "its node did not take the pod",
    "ContainerStatusUnknown": "its node was lost",
}

# Of a container that waits: what waiting does not mend.
_HOPELESS = {
    "InvalidImageName": "the image's name is not valid",
    "ErrImageNeverPull": "the image is not on the node, and may not be pulled",
}
_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"})
_REFUSED = ("not found", "manifest unknown", "denied", "unauthorized", "authentication required")

# Of a container that has ended: it could not be started.
_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun", "RunContainerError"})

_MARK_OF_LOSS = "DisruptionTarget"


def trial_status(pod: Thing, container: str) -> Thing:
    """
    Return the status of the pod's container that runs the command; empty if it has none yet.
    """
    found = (pod.get("status") or {}).get("containerStatuses") or []
    return next((each for each in found if each.get("name") == container), {})


def sight_of(
    job: Thing, pods: Sequence[Thing], *, container: str, now: float, limit_s: float
) -> Sight:
    """
    Return what *job* and its *pods* say.

    Args:
        job: The Job.

        pods: What it made: one, or none yet, or none any more.

        container: Name of the one that runs the command.

        now: Seconds since the epoch.

        limit_s: Seconds after which a pod that has not started never will.
    """
    pod = max(pods, key=lambda each: _created(each) or 0.0, default=None)
    if pod is None:
        return _without_pod(job, now=now, limit_s=limit_s)
    ended = _pod_ended(pod, container, now=now)
    if ended is not None:
        return Sight.ended(ended)
    if trial_status(pod, container).get("state", {}).get("running"):
        return Sight(JobState.RUNNING)
    if (pod.get("status") or {}).get("phase") == "Running":
        return Sight(JobState.RUNNING)
    return _waiting(pod, container, now=now, limit_s=limit_s)


def _without_pod(job: Thing, *, now: float, limit_s: float) -> Sight:
    failed = _condition(job, "Failed") or _condition(job, "FailureTarget")
    if failed is not None:
        why = "its pod was deleted: evicted or preempted, or its node was lost"
        return Sight.ended(_lost(why, failed.get("message")))
    if _condition(job, "Complete") is not None:
        return Sight.ended(_lost("its pod was deleted before anybody looked", None))
    age = now - (_created(job) or now)
    if age > limit_s:
        why = f"no pod was made within {limit_s:g} s: see the Job's events for a quota or a webhook"
        return Sight.ended(Ending(cause=LEFT, reason=why, failure=Failure.INFRASTRUCTURE))
    return Sight(JobState.PENDING)


def _pod_ended(pod: Thing, container: str, *, now: float) -> Ending | None:
    """
    Return how the pod, or the command in it, ended; `None` as long as it did not.
    """
    status = pod.get("status") or {}
    done = trial_status(pod, container).get("state", {}).get("terminated")
    if status.get("phase") not in _OVER and done is None:
        return _vanishing(pod, now=now)
    if status.get("reason") == "DeadlineExceeded":
        return Ending(cause="timeout")
    taken = _taken(pod)
    if taken is not None and (done is None or done.get("exitCode") != 0):
        return _lost(taken, status.get("message"), code=(done or {}).get("exitCode"))
    if done is None:
        what = status.get("reason") or "its pod failed without saying how"
        return _lost(str(what), status.get("message"))
    ending = _exited(done)
    # Containers beside the command's may run for ever.
    return ending if status.get("phase") in _OVER else replace(ending, cause=LEFT)


def _exited(done: Thing) -> Ending:
    code, why = done.get("exitCode"), done.get("reason")
    if why in _NOT_STARTED:
        message = _sentence("the container could not be started", done.get("message"))
        return Ending(exit_code=code, reason=message, failure=Failure.CODE)
    if why in _TAKEN:
        return _lost(_TAKEN[why], done.get("message"), code=code)
    if why == "OOMKilled":
        return Ending(exit_code=code or 137, oom=True)
    return Ending(exit_code=code)


def _vanishing(pod: Thing, *, now: float) -> Ending | None:
    """
    Return the end of a pod that had to be gone long ago: its node does not answer.
    """
    when = _seconds((pod.get("metadata") or {}).get("deletionTimestamp"))
    if when is None or now < when + _LOST_S:
        return None
    return _lost(_taken(pod) or "its node was lost", None)


def _taken(pod: Thing) -> str | None:
    """
    Return why the cluster ended the pod; `None` if it did not.
    """
    status = pod.get("status") or {}
    loss = _condition(pod, _MARK_OF_LOSS)
    for reason in (status.get("reason"), loss and loss.get("reason")):
        if reason in _TAKEN:
            return _TAKEN[reason]
        if str(reason).startswith("OutOf"):
            return f"its node had no room for the pod ({reason})"
    return None if loss is None else f"the cluster ended its pod ({loss.get('reason')})"


def _waiting(pod: Thing, container: str, *, now: float, limit_s: float) -> Sight:
    """
    Return what it means that the command has not started yet.
    """
    waiting = trial_status(pod, container).get("state", {}).get("waiting") or {}
    reason, message = waiting.get("reason"), waiting.get("message")
    if reason in _HOPELESS:
        return _gave_up(_sentence(_HOPELESS[reason], message), Failure.CODE)
    refused = any(word in str(message).lower() for word in _REFUSED)
    if reason == "ImagePullBackOff" and refused:
        return _gave_up(_sentence("the image cannot be pulled", message), Failure.CODE)
    if now - (_created(pod) or now) <= limit_s:
        return Sight(JobState.PENDING)
    what, failure = _stuck(pod, reason)
    return _gave_up(
        f"{_sentence(what, message or _unscheduled(pod))} (after {limit_s:g} s)", failure
    )


def _stuck(pod: Thing, reason: str | None) -> tuple[str, Failure]:
    if reason in _PULLING:
        return "the image could not be pulled", Failure.INFRASTRUCTURE
    if reason == "CreateContainerConfigError":
        return "a secret or a config map that the pod names is missing", Failure.CODE
    if _unscheduled(pod) is not None:
        return "no node takes the pod", Failure.INFRASTRUCTURE
    return f"the pod did not start ({reason or 'no reason was given'})", Failure.INFRASTRUCTURE


def _unscheduled(pod: Thing) -> str | None:
    found = _condition(pod, "PodScheduled", status="False")
    return None if found is None else str(found.get("message") or found.get("reason"))


def _gave_up(reason: str, failure: Failure) -> Sight:
    return Sight.ended(Ending(cause=LEFT, reason=reason, failure=failure))


def _lost(reason: str, message: object, *, code: int | None = None) -> Ending:
    text = _sentence(reason, message)
    return Ending(exit_code=code, reason=text, failure=Failure.INFRASTRUCTURE)


def _sentence(what: str, message: object) -> str:
    return f"{what}: {str(message).strip()}" if message else what


def _condition(thing: Thing, kind: str, *, status: str = "True") -> Mapping[str, Any] | None:
    found = (thing.get("status") or {}).get("conditions") or []
    return next(
        (each for each in found if each.get("type") == kind and each.get("status") == status), None
    )


def _created(thing: Thing) -> float | None:
    return _seconds((thing.get("metadata") or {}).get("creationTimestamp"))


def _seconds(text: str | None) -> float | None:
    """
    Return a moment of Kubernetes' as seconds since the epoch.
    """
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
