"""
Files of studies that are kept elsewhere: sent, fetched, and told to trials by their addresses.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from airflow_hpo.driver import (
    StepRun,
    TrialRun,
    artifacts_at,
    build_job,
    default_artifacts,
    location,
    suggest_round,
    trial_folder,
)
from airflow_hpo.driver.stored import read, sizes
from airflow_hpo.driver.stores import Store, store_of
from airflow_hpo.errors import StorageError, TrialInvalidError
from airflow_hpo.model.blueprint import Blueprint
from airflow_hpo.model.trial import Suggestion, TrialState
from airflow_hpo.storage.memory import MemoryStorage
from airflow_hpo.study import Study
from airflow_hpo.testing.aws import FakeAws

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")


@pytest.fixture(scope="module", name="aws")
def _aws():
    with FakeAws() as aws:
        yield aws


@pytest.fixture(name="home")
def _home(tmp_path, monkeypatch):
    """
    A machine: what it has of its own is below its home.
    """
    monkeypatch.delenv("HPO_ARTIFACTS", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(name="artifacts")
def _artifacts(aws, home, tmp_path):
    """
    The folder of an address of its own in the bucket.
    """
    return artifacts_at(f"s3://{aws.bucket}/{tmp_path.name}")


def keys(aws, tmp_path):
    """
    Return what is in the bucket below the test's own address.
    """
    found = aws.client("s3").list_objects_v2(Bucket=aws.bucket, Prefix=f"{tmp_path.name}/")
    return [each["Key"].split("/", 1)[1] for each in found.get("Contents", [])]


def study_of(tmp_path, command, **changes):
    """
    Return a study of trials that run *command*.
    """
    blueprint = Blueprint.model_validate(
        {
            "name": "kept",
            "objectives": [{"metric": "y", "direction": "minimize"}],
            "space": {
                "parameters": [
                    {"name": "x", "distribution": {"kind": "float", "low": 0, "high": 1}}
                ]
            },
            "strategy": {"name": "random", "seed": 7},
            "budget": {"trials": 4},
            "trial": {"steps": [{"command": command}], **changes.pop("trial", {})},
            **changes,
        }
    )
    return Study.open(MemoryStorage(), "kept", blueprint)


def run(study, number, artifacts, *, key="a", log=lambda _: None):
    """
    Run a trial to its end.
    """
    return TrialRun(study, number, key=key, artifacts=artifacts, log=log).run()


def moved(home):
    """
    Go to another machine: nothing of the home is there.
    """
    shutil.rmtree(home)


@pytest.mark.parametrize(
    ("where", "folder"),
    [
        ("/srv/hpo", "/srv/hpo"),
        ("file:///srv/my%20hpo", "/srv/my hpo"),
        ("s3://b/studies/", "HOME/hpo/stores/s3%3A%2F%2Fb%2Fstudies"),
    ],
)
def test_the_folder_of_an_address(home, where, folder, monkeypatch):
    """
    A folder is itself; an address has one below Airflow's home, by which it is known again.
    """
    found = artifacts_at(where)

    assert found == Path(folder.replace("HOME", str(home)))
    monkeypatch.setenv("HPO_ARTIFACTS", where)
    assert default_artifacts() == found


def test_the_address_of_a_folder(home):
    """
    What people and trials are told is the address, without the connection.
    """
    folder = artifacts_at("s3://my_aws@b/studies") / "kept" / "trials"

    assert location(folder) == "s3://b/studies/kept/trials"
    assert store_of(folder) == Store("s3://my_aws@b/studies", folder.parents[1])
    assert location(artifacts_at("local:///srv/studies") / "x") == "local:///srv/studies/x"
    assert location(Path("/srv/x")) == "/srv/x"
    assert store_of(Path("/srv/stores/x")) is None


def test_trials_are_told_addresses(artifacts, aws, tmp_path):
    """
    Beside each folder stands its address, for code that does not see the folder.
    """
    study = study_of(tmp_path, "true")
    (trial,) = suggest_round(study, 1, key="round")
    folder = trial_folder(artifacts, "kept", trial)
    job = build_job(
        study.blueprint,
        trial,
        study.blueprint.trial.steps[0],
        study="kept",
        workspace=folder,
        parent=folder.parent / "00009" / "checkpoint",
    )
    root = f"s3://{aws.bucket}/{tmp_path.name}/kept/trials"

    assert job.environment["HPO_CHECKPOINT_URI"] == f"{root}/00000/checkpoint"
    assert job.environment["HPO_OUTPUT_URI"] == f"{root}/00000"
    assert job.environment["HPO_PARENT_CHECKPOINT_URI"] == f"{root}/00009/checkpoint"


def test_an_address_of_this_machine(home, tmp_path):
    """
    Where files just lie in a folder, the address is that of the folder.
    """
    study = study_of(tmp_path, "true")
    (trial,) = suggest_round(study, 1, key="round")
    job = build_job(
        study.blueprint,
        trial,
        study.blueprint.trial.steps[0],
        study="kept",
        workspace=tmp_path / "w",
    )

    assert job.environment["HPO_OUTPUT_URI"] == (tmp_path / "w").as_uri()


WORK = """
echo "$HPO_ATTEMPT" >> "$HPO_CHECKPOINT_DIR/state"; cat "$HPO_PARENT_CHECKPOINT_DIR/state"
echo made > "$HPO_OUTPUT_DIR/model.txt"; echo '{{"y": 1.5}}'
"""


def test_a_trials_files_are_kept(artifacts, aws, tmp_path):
    """
    All that it leaves goes to the bucket, its output too, and nothing of the machine's own.
    """
    study = study_of(tmp_path, WORK)
    suggest_round(study, 1, key="round")

    assert run(study, 0, artifacts).state is TrialState.COMPLETE
    assert keys(aws, tmp_path) == [
        f"kept/trials/00000/{name}"
        for name in ("checkpoint/state", "model.txt", "params.json", "trial.1.log", "trial.json")
    ]


def test_a_failed_trials_files_are_kept(artifacts, aws, tmp_path):
    """
    They tell why it failed.
    """
    study = study_of(tmp_path, "echo why; exit 3")
    suggest_round(study, 1, key="round")

    assert run(study, 0, artifacts).state is TrialState.FAILED
    assert "kept/trials/00000/trial.1.log" in keys(aws, tmp_path)


def test_a_promoted_trial_has_its_parents_checkpoint_on_any_machine(artifacts, home, tmp_path):
    """
    It is fetched before the trial runs.
    """
    study = study_of(tmp_path, WORK)
    suggest_round(study, 1, key="round")
    run(study, 0, artifacts)
    moved(home)
    lines = []
    child = _child(study)

    assert run(study, child, artifacts, log=lines.append).state is TrialState.COMPLETE
    assert lines[0] == "1"


def _child(study):
    """
    Add a trial that goes on from trial 0; return its number.
    """
    known = study.storage.append(
        "kept",
        "next",
        lambda _: (Suggestion(configuration={"x": 0.5}, sampler="manual", parent=0),),
    )
    return known[0].number


def test_another_attempt_finds_what_the_first_left(artifacts, home, tmp_path):
    """
    A trial that is tried again on another machine goes on from its own checkpoint.
    """
    study = study_of(tmp_path, f"{WORK}cat $HPO_CHECKPOINT_DIR/state")
    suggest_round(study, 1, key="round")
    run(study, 0, artifacts)
    moved(home)
    lines = []

    run(study, 0, artifacts, key="b", log=lines.append)

    assert [line for line in lines if line in {"1", "2"}] == ["1", "2"]


def test_only_what_changed_is_sent_and_fetched(artifacts, home, tmp_path):
    """
    Files that are as they are kept stay where they are, even ones of the same size.
    """
    folder = artifacts / "kept" / "trials" / "00000"
    folder.mkdir(parents=True)
    for name in "ab":
        (folder / name).write_text("one")
    store = store_of(folder)

    assert store.send(folder) == 2
    assert store.send(folder) == 0
    assert store.fetch(folder) == 0
    (folder / "a").write_text("two")
    assert store.send(folder) == 1
    moved(home)
    assert store.fetch(folder, only="b") == 1
    assert store.fetch(folder) == 1
    assert (folder / "a").read_text() == "two"


def test_what_was_not_sent_is_not_lost(artifacts, home, tmp_path):
    """
    A file that its killed process could not send stays as it is, older ones do not replace it.
    """
    folder = artifacts / "kept" / "trials" / "00000"
    folder.mkdir(parents=True)
    (folder / "a").write_text("one")
    store = store_of(folder)
    store.send(folder)
    (folder / "a").write_text("further")

    assert store.fetch(folder) == 0
    assert (folder / "a").read_text() == "further"
    assert store.send(folder) == 1


def test_what_another_machine_kept_comes_anew(artifacts, home, tmp_path):
    """
    A file that somebody else changed meanwhile replaces the one that is there.
    """
    folder = artifacts / "kept" / "trials" / "00000"
    folder.mkdir(parents=True)
    (folder / "a").write_text("one")
    store = store_of(folder)
    store.send(folder)
    store._fs.pipe_file(store._remote(folder / "a"), b"two")

    assert store.fetch(folder) == 1
    assert (folder / "a").read_text() == "two"


def test_a_trial_ends_even_if_its_files_cannot_be_kept(aws, home, tmp_path):
    """
    Its outcome counts, and its log says where the files are.
    """
    study = study_of(tmp_path, WORK)
    suggest_round(study, 1, key="round")
    lines = []

    def log(line):
        lines.append(line)
        if line.startswith("{"):
            aws.client("s3").delete_bucket(Bucket="soon-gone")

    aws.client("s3").create_bucket(Bucket="soon-gone")
    told = run(study, 0, artifacts_at("s3://soon-gone/x"), log=log)

    assert told.state is TrialState.COMPLETE
    assert "files are on this machine alone" in lines[-1]
    assert "s3://soon-gone/x" in lines[-1]


def test_a_connection_needs_airflow(home, monkeypatch):
    """
    Outside Airflow nobody knows its connections.
    """
    monkeypatch.delitem(sys.modules, "airflow.sdk", raising=False)
    folder = artifacts_at("s3://my_aws@b/x") / "r"

    with pytest.raises(StorageError, match="artifacts with a connection need Airflow"):
        store_of(folder).fetch(folder)


REMOTE = f"""{sys.executable} -c '
import json, os, s3fs
out = os.environ["HPO_OUTPUT_URI"]
s3fs.S3FileSystem().pipe(out + "/metrics.json", json.dumps({{{{"y": 0.25}}}}).encode())
s3fs.S3FileSystem().pipe(os.environ["HPO_CHECKPOINT_URI"] + "/state", b"far")
'"""


def test_a_remote_trials_metrics_and_checkpoint_come_by_the_bucket(artifacts, aws, home, tmp_path):
    """
    A job on AWS Batch writes to its addresses; its metrics are read, and its checkpoint is there.
    """
    runner = {"name": "aws_batch", "options": _batch(aws)}
    study = study_of(
        tmp_path,
        REMOTE,
        trial={
            "runner": runner,
            "metrics": {"format": "file", "options": {"path": "metrics.json"}},
            "environment": aws.variables,
        },
    )
    (asked,) = suggest_round(study, 1, key="round")

    told = run(study, 0, artifacts)

    assert (told.state, told.metrics) == (TrialState.COMPLETE, {"y": 0.25}), told.reason
    folder = trial_folder(artifacts, "kept", asked)
    assert (folder / "checkpoint" / "state").read_text() == "far"


def test_a_file_of_metrics_that_nobody_would_see(aws, home, tmp_path):
    """
    It is said before the job starts where its files stay with it.
    """
    trial = {"runner": {"name": "aws_batch", "options": _batch(aws)}}
    trial["metrics"] = {"format": "file", "options": {"path": "metrics.json"}}
    study = study_of(tmp_path, "true", trial=trial)
    suggest_round(study, 1, key="round")

    with pytest.raises(TrialInvalidError, match="aws_batch need artifacts at an address"):
        run(study, 0, tmp_path / "here")


def _batch(aws):
    return {"job_queue": aws.queue, "image": "t:1", "poll_s": 0.05, "log_delay_s": 0.0}


def test_the_report_is_kept(aws, home, hpo, tmp_path):
    """
    `hpo run` sends report and trials to the address.
    """
    hpo("run", "digits.yaml", "--artifacts", f"s3://{aws.bucket}/{tmp_path.name}", "--quiet")

    found = keys(aws, tmp_path)
    assert "digits/summary.json" in found
    assert "digits/trials/00003/trial.1.log" in found
    assert json.loads(
        aws.client("s3")
        .get_object(Bucket=aws.bucket, Key=f"{tmp_path.name}/digits/summary.json")["Body"]
        .read()
    )


def test_files_are_looked_at_where_they_are_kept(artifacts, home):
    """
    Names, sizes and content come from the bucket, and no copy is made; what lies deeper, and
    what is not there, is not told of.
    """
    folder = artifacts / "study" / "report"
    (folder / "deeper").mkdir(parents=True)
    (folder / "report.html").write_text("<html>")
    (folder / "deeper" / "more.txt").write_text("x")
    store_of(folder).send(folder)
    shutil.rmtree(home)

    assert sizes(folder) == {"report.html": 6}
    assert read(folder / "report.html") == b"<html>"
    assert sizes(artifacts / "other") == {}
    assert not home.exists()
    with pytest.raises(StorageError, match=r"files cannot be read at s3://"):
        read(folder / "missing")


def test_steps_on_different_machines_pass_files_on(home, artifacts, tmp_path):
    """
    What one step wrote is there for the next one, though that runs on another machine.
    """
    steps = [
        {"name": "prepare", "command": 'echo {x} > "$HPO_OUTPUT_DIR/prepared"'},
        {
            "name": "train",
            "command": """printf '{{"y": %s}}\\n' "$(cat "$HPO_OUTPUT_DIR/prepared")" """,
        },
    ]
    study = study_of(tmp_path, "", trial={"steps": steps})
    study.ask(1, key="k")
    options = {"key": "a", "artifacts": artifacts, "log": lambda _: None}

    passed_on = StepRun(study, 0, step="prepare", **options).submit(lambda _: False)
    moved(home)
    told = StepRun(study, 0, step="train", **options).submit(lambda _: False)

    assert passed_on is None
    assert told.values == (told.configuration["x"],)
