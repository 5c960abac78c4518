"""
The Kubernetes runner: its contract and what only it promises, against a stand-in over HTTP.
"""

from __future__ import annotations

import json
import shutil

import pytest

from airflow_hpo.errors import TrialFailedError, TrialInvalidError
from airflow_hpo.model.blueprint import RunnerSpec
from airflow_hpo.model.job import Job, JobResult, JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners import create_runner
from airflow_hpo.testing.endings import FOREVER
from airflow_hpo.testing.following import finish, output, until
from airflow_hpo.testing.kubernetes import FakeCluster
from airflow_hpo.testing.remote import RemoteRunnerContract

pytest.importorskip("kubernetes")

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module", name="cluster")
def _cluster():
    with FakeCluster() as cluster:
        yield cluster


class TestKubernetes(RemoteRunnerContract):
    """
    Jobs as pods of a cluster.
    """

    name = "kubernetes"

    @pytest.fixture(name="spec")
    def _spec(self, cluster):
        options = {
            "image": "train:1",
            "kubeconfig": str(cluster.kubeconfig),
            "shared_folders": True,
            "poll_s": 0.05,
        }
        return RunnerSpec(name=self.name, options=options)

    @pytest.fixture(autouse=True)
    def _here(self, cluster):
        self.cluster = cluster

    def hold(self, runner, job):
        """
        Submit *job* with an image that takes for ever.
        """
        options = runner.options.model_copy(update={"image": "slow:1"})
        return type(runner)(options).submit(job)

    def destroy(self, handle):
        """
        Delete the Job.
        """
        self.cluster.clear(json.loads(handle)["place"]["job"])

    def kill(self, handle):
        """
        Kill the pod's processes.
        """
        self.cluster.pod_of(json.loads(handle)["place"]["job"]).kill()

    def kept(self, workspace):
        """
        Return the Jobs that have not ended: those that have stay for a while.
        """
        return [
            name
            for name, job in self.cluster.jobs.items()
            if "conditions" not in job["status"]
            and json.loads(job["metadata"]["annotations"]["airflow-hpo/job"])["workspace"]
            == str(workspace)
        ]

    def unreachable(self, spec):
        """
        Point to a port where nobody listens.
        """
        path = self.cluster.kubeconfig.with_name("nobody")
        path.write_text(self.cluster.kubeconfig.read_text().replace(self.cluster.url, NOBODY))
        return spec.model_copy(update={"options": {**spec.options, "kubeconfig": str(path)}})

    def test_a_job_whose_folder_is_gone(self, runner, tmp_path):
        """
        The cluster still knows a job that has ended: output and result come back.
        """
        folder = tmp_path / "trial"
        folder.mkdir()
        handle = runner.submit(self.job(folder, "print('kept')"))
        finish(runner, handle)
        shutil.rmtree(folder)

        assert finish(runner, handle) == JobResult(exit_code=0)
        assert output(runner, handle) == ["kept"]


@pytest.fixture(name="runner")
def _runner(cluster):
    return runner_of(cluster)


def runner_of(cluster, **options):
    """
    Return a runner of *cluster*, which gives up pods that have not started after a moment.
    """
    known = {"image": "train:1", "kubeconfig": str(cluster.kubeconfig), "shared_folders": True}
    known |= {"poll_s": 0.05, "start_limit_s": 1.0}
    return create_runner(RunnerSpec(name="kubernetes", options={**known, **options}))


def job_in(folder, command=FOREVER, **changes):
    """
    Return a job that runs *command* in *folder*.
    """
    return Job(study="s", trial=3, attempt=1, workspace=str(folder), command=command, **changes)


def name_of(handle):
    """
    Return the name of a handle's Job.
    """
    return json.loads(handle)["place"]["job"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda _, pod: pod.end(reason="Evicted", message="low on memory", grace_s=0),
            "its pod was evicted: low on memory",
        ),
        (
            lambda _, pod: pod.end(reason="NodeShutdown", grace_s=0),
            "its node was shut down",
        ),
        (
            lambda cluster, pod: cluster.remove_pod(
                pod, condition={"type": "DisruptionTarget", "reason": "PreemptionByScheduler"}
            ),
            "its pod was deleted: evicted or preempted",
        ),
    ],
    ids=["evicted", "shut down", "preempted"],
)
def test_what_the_cluster_takes_away_is_its_own_fault(cluster, runner, tmp_path, change, reason):
    """
    Evictions, preemptions and lost nodes are failures of the infrastructure, and say so.
    """
    handle = runner.submit(job_in(tmp_path, grace_s=0.1))
    until((tmp_path / "beat").exists)

    change(cluster, cluster.pod_of(name_of(handle)))
    result = finish(runner, handle)

    assert result.failure is Failure.INFRASTRUCTURE
    assert reason in result.reason


def test_a_container_that_was_killed_for_want_of_memory_says_so(cluster, runner, tmp_path):
    """
    The result tells it, so that the blueprint may call it infeasible.
    """
    handle = runner.submit(job_in(tmp_path))
    until((tmp_path / "beat").exists)

    cluster.pod_of(name_of(handle)).kill(starved=True)
    result = finish(runner, handle)

    assert result.out_of_memory
    assert result.exit_code == 137
    assert "memory" in result.reason


@pytest.mark.parametrize(
    ("options", "failure", "reason"),
    [
        ({"image": "missing:1"}, Failure.CODE, "the image cannot be pulled: Back-off"),
        ({"image": "NotAName"}, Failure.CODE, "the image's name is not valid"),
        ({"image": "slow:1"}, Failure.INFRASTRUCTURE, "the pod did not start (ContainerCreating)"),
        (
            {"node_selector": {"there": "none"}},
            Failure.INFRASTRUCTURE,
            "no node takes the pod: 0/3 nodes are available",
        ),
    ],
    ids=["no image", "no image name", "slow", "no node"],
)
def test_a_pod_that_never_starts_is_given_up(cluster, tmp_path, options, failure, reason):
    """
    The reason is the cluster's own, and nothing waits in the cluster any more.
    """
    runner = runner_of(cluster, **options)
    handle = runner.submit(job_in(tmp_path))

    result = finish(runner, handle)

    assert result.failure is failure
    assert reason in result.reason
    assert name_of(handle) not in cluster.jobs
    assert runner.result(handle) == result


def test_one_that_waits_is_pending_until_then(cluster, tmp_path):
    """
    A pod may wait for its node as long as the limit says.
    """
    runner = runner_of(cluster, node_selector={"there": "none"}, start_limit_s=1000)
    handle = runner.submit(job_in(tmp_path))

    assert runner.wait(handle, 0.2) is JobState.PENDING
    runner.cancel(handle)


def test_what_the_cluster_refuses_is_refused(cluster, tmp_path):
    """
    A namespace that is not there is nothing that another attempt would mend.
    """
    with pytest.raises(TrialInvalidError, match='namespaces "nowhere" not found'):
        runner_of(cluster, namespace="nowhere").submit(job_in(tmp_path))


def test_a_cluster_that_stumbles_ends_no_job(cluster, runner, tmp_path):
    """
    Answers that are errors are no news of the job.
    """
    handle = runner.submit(job_in(tmp_path, "until [ -e go ]; do sleep 0.01; done; echo done"))
    until(lambda: runner.state(handle) is JobState.RUNNING)
    cluster.broken += [500, 503, 429, 401, 403]

    assert [runner.state(handle) for _ in range(5)] == [JobState.RUNNING] * 5
    (tmp_path / "go").touch()

    assert finish(runner, handle) == JobResult(exit_code=0)
    assert output(runner, handle) == ["done"]


def test_a_cluster_that_is_away_starts_nothing(cluster, runner, tmp_path):
    """
    Whoever submits is told, and may do so again.
    """
    cluster.broken += [503]

    with pytest.raises(TrialFailedError, match=r"could not be started: .*etcdserver"):
        runner.submit(job_in(tmp_path))
    assert runner.submit(job_in(tmp_path, "true"))


def test_output_goes_on_where_another_machine_stopped(cluster, runner, tmp_path):
    """
    A runner whose machine has no copy of the output makes one, with the same cursors.
    """
    command = "echo one; echo two; until [ -e go ]; do sleep 0.01; done; echo three"
    handle = runner.submit(job_in(tmp_path, command))
    until(lambda: len(output(runner, handle)) == 2)
    _, cursor = runner.logs(handle, 0)
    shutil.rmtree(tmp_path / ".jobs")
    (tmp_path / "trial.1.log").unlink()

    other = runner_of(cluster)
    (tmp_path / "go").touch()
    finish(other, handle)

    assert other.logs(handle, cursor)[0] == ["three"]


def test_it_asks_no_more_than_is_useful(cluster, tmp_path):
    """
    However often it is called, the cluster is asked once in *poll_s*.
    """
    runner = runner_of(cluster, poll_s=1000.0)
    handle = runner.submit(job_in(tmp_path))
    runner.wait(handle, 0.01)
    runner.logs(handle, 0)
    asked = len(cluster.asked)

    for _ in range(50):
        runner.wait(handle, 0.001, since=0)
        runner.logs(handle, 0)

    assert len(cluster.asked) == asked
    runner.cancel(handle)
