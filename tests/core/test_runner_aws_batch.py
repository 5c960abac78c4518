"""
The AWS Batch runner: its contract and what only it promises, against moto over HTTP.
"""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace

import pytest

from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.model.blueprint import RunnerSpec
from airflow_hpo.model.job import Job, JobResult, JobState
from airflow_hpo.model.trial import Failure
from airflow_hpo.runners import create_runner
from airflow_hpo.runners.aws_batch import AwsBatchOptions
from airflow_hpo.runners.aws_batch_request import submit_request
from airflow_hpo.runners.aws_batch_sight import sight_of
from airflow_hpo.runners.files import Ending
from airflow_hpo.testing.aws import FakeAws
from airflow_hpo.testing.following import finish, output, until
from airflow_hpo.testing.remote import RemoteRunnerContract

pytest.importorskip("boto3")
pytest.importorskip("moto.server")

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module", name="aws")
def _aws():
    with FakeAws() as aws:
        yield aws


def options_of(aws, **more):
    """
    Return options with which a job of *aws* is seen soon.
    """
    known = {"job_queue": aws.queue, "image": "train:1", "poll_s": 0.05, "log_delay_s": 0.0}
    return {**known, "endpoint_url": aws.url, **more}


class TestAwsBatch(RemoteRunnerContract):
    """
    Jobs in a queue of AWS Batch.
    """

    name = "aws_batch"

    @pytest.fixture(name="spec")
    def _spec(self, aws):
        self.aws = aws
        return RunnerSpec(name=self.name, options=options_of(aws))

    def job(self, folder, body, **changes):
        """
        Return a job that changes to *folder* first: containers start elsewhere.
        """
        job = super().job(folder, body, **changes)
        return replace(job, command=f"cd {shlex.quote(str(folder))}\n{job.command}")

    def shell(self, folder, command, **changes):
        """
        Return a job that does so and then runs *command*.
        """
        return super().shell(folder, f"cd {shlex.quote(str(folder))}\n{command}", **changes)

    def hold(self, runner, job):
        """
        Submit *job* to a queue where nothing starts.
        """
        options = runner.options.model_copy(update={"job_queue": "held"})
        return type(runner)(options).submit(job)

    def destroy(self, handle):
        """
        Forget the job, as AWS does after a week.
        """
        job = self.of(handle)
        until(lambda: hasattr(job, "pod"))  # its process may be there first
        job.pod.end(grace_s=0)
        until(lambda: job.job_stopped)
        job.backend._jobs.pop(job.job_id)
        job.job_queue.jobs.remove(job)

    def kill(self, handle):
        """
        Kill the container's processes.
        """
        job = self.of(handle)
        until(lambda: hasattr(job, "pod"))
        job.pod.kill()

    def of(self, handle):
        """
        Return moto's job.
        """
        wanted = json.loads(handle)["place"]["job"]
        return next(job for job in self.aws.jobs() if job.job_id == wanted)

    def kept(self, workspace):
        """
        Return the jobs that have not ended: AWS keeps the others for a week.
        """
        return [
            job.job_name
            for job in self.aws.jobs()
            if not job.job_stopped and f'"{workspace}"' in str(job.container_overrides)
        ]

    def unreachable(self, spec):
        """
        Point to a port where nobody listens.
        """
        return spec.model_copy(update={"options": {**spec.options, "endpoint_url": NOBODY}})

    def test_a_job_whose_folder_is_gone(self, runner, tmp_path):
        """
        AWS still knows a job that has ended: output and result come back.
        """
        folder = tmp_path / "trial"
        folder.mkdir()
        handle = runner.submit(self.job(folder, "print('kept')"))
        finish(runner, handle)
        shutil.rmtree(folder)

        assert finish(runner, handle) == JobResult(exit_code=0)
        assert output(runner, handle) == ["kept"]

    def test_any_text_comes_through(self, runner, tmp_path):
        """
        Unicode, spaces, and a last line without its newline; blank lines CloudWatch drops.
        """
        text = "日本語 🎉\n\n  indented\t\n" + '{"a": 1}\n' + "no newline"

        job = self.job(tmp_path, f"print({text!r}, end='')", environment={"PYTHONUTF8": "1"})
        lines, _ = self.run(runner, job)

        assert lines == [line for line in text.split("\n") if line]

    def test_an_endless_line_is_cut(self, runner, tmp_path):
        """
        A line beyond all measure comes in parts; none of it is lost, and the next one is whole.
        """
        lines, _ = self.run(runner, self.job(tmp_path, "print('x' * 9_000_000)\nprint('next')"))

        assert sum(map(len, lines[:-1])) == 9_000_000
        assert lines[-1] == "next"


@pytest.fixture(name="runner")
def _runner(aws):
    return runner_of(aws)


def runner_of(aws, **options):
    """
    Return a runner of *aws*.
    """
    return create_runner(RunnerSpec(name="aws_batch", options=options_of(aws, **options)))


def job_in(folder, command="true", **changes):
    """
    Return a job that runs *command*.
    """
    return Job(
        study="night run", trial=3, attempt=1, workspace=str(folder), command=command, **changes
    )


def described(aws, handle):
    """
    Return what AWS says of the job.
    """
    job = json.loads(handle)["place"]["job"]
    return aws.client("batch").describe_jobs(jobs=[job])["jobs"][0]


def test_what_is_asked_for(aws, tmp_path):
    """
    Resources, parameters, tags and the time limit go with the job.
    """
    options = {"vcpus": 4, "memory_mib": 8192, "tags": {"team": "vision"}}
    handle = runner_of(aws, **options).submit(job_in(tmp_path, gpus=2, timeout_s=90.5))
    job = described(aws, handle)

    assert job["timeout"] == {"attemptDurationSeconds": 91}
    assert job["jobName"].startswith("hpo-night-run-")
    tags = aws.client("batch").list_tags_for_resource(resourceArn=job["jobArn"])["tags"]
    assert tags == {
        "team": "vision",
        "hpo:study": "night run",
        "hpo:trial": "3",
        "hpo:attempt": "1",
    }
    request = submit_request(
        job_in(tmp_path, gpus=2), AwsBatchOptions(**options_of(aws, **options)), name="n", most=9999
    )
    assert request["containerOverrides"]["resourceRequirements"] == [
        {"type": "VCPU", "value": "4"},
        {"type": "MEMORY", "value": "8192"},
        {"type": "GPU", "value": "2"},
    ]
    assert request["retryStrategy"] == {"attempts": 1}


def test_an_image_is_registered_once(aws, tmp_path):
    """
    Trials with the same image and properties share one revision of one definition.
    """
    for trial in range(2):
        runner_of(aws, image="same:1").submit(replace(job_in(tmp_path), trial=trial))
    runner_of(aws, image="same:1", job_role="arn:aws:iam::1:role/r").submit(
        replace(job_in(tmp_path), trial=2)
    )

    found = aws.client("batch").describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    assert len([each for each in found if each["containerProperties"]["image"] == "same:1"]) == 2


def test_a_definition_of_the_users_own(aws, tmp_path):
    """
    The job uses it, with the command of the blueprint.
    """
    own = aws.client("batch").register_job_definition(
        jobDefinitionName="mine",
        type="container",
        containerProperties={"image": "mine:1", "vcpus": 1, "memory": 64, "command": ["false"]},
    )
    runner = runner_of(aws, image=None, job_definition="mine")

    handle = runner.submit(job_in(tmp_path, "echo own"))

    assert finish(runner, handle).ok
    assert output(runner, handle) == ["own"]
    assert described(aws, handle)["jobDefinition"] == own["jobDefinitionArn"]


def test_a_container_that_was_killed_for_want_of_memory_says_so(aws, runner, tmp_path):
    """
    The result tells it, so that the blueprint may call it infeasible.
    """
    handle = runner.submit(job_in(tmp_path, "sleep 1000"))
    until(lambda: runner.state(handle) is JobState.RUNNING)

    wanted = json.loads(handle)["place"]["job"]
    next(job for job in aws.jobs() if job.job_id == wanted).pod.kill(starved=True)
    result = finish(runner, handle)

    assert (result.out_of_memory, result.exit_code) == (True, 137)


def test_a_queue_that_is_not_there(aws, tmp_path):
    """
    It is refused for good, in AWS's words.
    """
    with pytest.raises(TrialInvalidError, match="Job queue nowhere does not exist"):
        runner_of(aws, job_queue="nowhere").submit(job_in(tmp_path))


def test_a_second_job_of_the_same_attempt_is_ended(aws, runner, tmp_path):
    """
    Where two machines submitted at once, all follow the first.
    """
    job = job_in(tmp_path, "sleep 1000", token="twice")
    first = runner.submit(job)
    name = described(aws, first)["jobName"]
    request = submit_request(job, runner.options, name=name, most=9999)
    second = runner._api.submit({**request, "jobDefinition": runner._api.definition()})
    shutil.rmtree(tmp_path / ".jobs")

    assert runner.submit(job) == first
    until(lambda: runner._api.job(second["jobId"])["status"] == "FAILED")
    runner.cancel(first)


def job_of(status="FAILED", why="Essential container in task exited", **container):
    """
    Return a job as Batch describes it.
    """
    return {"status": status, "statusReason": why, "createdAt": 0, "container": container}


def seen(job, **options):
    """
    Return what is seen of *job* long after.
    """
    known = {"now": 1e6, "delay_s": 5.0, "limit_s": None, "cancelled": "ours"}
    return sight_of(job, **{**known, **options})


@pytest.mark.parametrize(
    ("job", "failure", "reason"),
    [
        (
            job_of(why="Host EC2 (instance i-0abc) terminated."),
            Failure.INFRASTRUCTURE,
            "its host was taken away, as spot instances are: Host EC2",
        ),
        (
            job_of(why="Task failed to start", reason="CannotPullContainerError: x: not found"),
            Failure.INFRASTRUCTURE,
            "its container did not start",
        ),
        (job_of(reason="CannotPullContainerError: not found"), Failure.CODE, "cannot be pulled"),
        (
            job_of(reason="CannotPullContainerError: i/o timeout"),
            Failure.INFRASTRUCTURE,
            "cannot be pulled",
        ),
        (job_of(reason="CannotStartContainerError: sh"), Failure.CODE, "cannot be started"),
        ({**job_of(why="by hand"), "isTerminated": True}, Failure.INFRASTRUCTURE, "by hand"),
        (job_of(why="something new"), Failure.INFRASTRUCTURE, "something new"),
    ],
)
def test_whose_fault_an_end_was(job, failure, reason):
    """
    What AWS says decides, and is in the reason.
    """
    ending = seen(job).ending

    assert ending.failure is failure
    assert reason in ending.reason


def test_what_else_a_description_says():
    """
    Exit codes, time limits, cancellations and memory are told apart.
    """
    assert seen(job_of(exitCode=3)).ending == Ending(exit_code=3)
    assert seen(job_of("SUCCEEDED", exitCode=0)).ending == Ending(exit_code=0)
    assert seen(job_of(why="Job attempt duration exceeded timeout")).ending.cause == "timeout"
    assert seen(job_of(why="ours: cancelled", exitCode=143)).ending.cause == "cancel"
    starved = job_of(reason="OutOfMemoryError: Container killed due to memory usage", exitCode=137)
    assert seen(starved).ending == Ending(exit_code=137, oom=True)
    for status in ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING"):
        assert seen(job_of(status)).state is JobState.PENDING


def test_an_end_waits_for_its_output():
    """
    A job that has just ended still runs, for its output is on its way.
    """
    job = {**job_of(exitCode=0), "stoppedAt": 1_000_000}

    assert seen(job, now=1004.0).state is JobState.RUNNING
    assert seen(job, now=1006.0).state is JobState.DONE


def test_one_that_never_starts_is_given_up():
    """
    It waits as long as the blueprint says.
    """
    assert seen(job_of("RUNNABLE"), limit_s=2e6).state is JobState.PENDING
    found = seen(job_of("RUNNABLE", why="MISCONFIGURATION"), limit_s=60.0).ending
    assert found.reason == "the job did not start within 60 s: MISCONFIGURATION"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"job_queue": "q"}, "either job_definition or image must be given"),
        ({"job_queue": "q", "image": "a", "job_definition": "b"}, "either job_definition or"),
        ({"job_queue": "q", "job_definition": "b", "job_role": "r"}, "job_role must go with image"),
        ({"image": "a"}, "job_queue"),
    ],
)
def test_options_that_are_refused(options, message):
    """
    Before anything runs.
    """
    with pytest.raises(ValueError, match=message):
        AwsBatchOptions(**options)
