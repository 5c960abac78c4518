"""
Studies whose trials are containers, run from the command line on a real engine.
"""

from __future__ import annotations

import json

import pytest

from airflow_hpo.testing.following import until

STUDY = """\
hpo: 1
name: contained
study: contained
objective: {metric: y, direction: minimize}
space:
  x: {int: [1, 3]}
strategy: grid
budget: {trials: 3}
execution: {batch_size: 3}
trial:
  command: >-
    test -r $HPO_PARAMS_FILE && cat helper.txt && echo $HPO_TRIAL > $HPO_CHECKPOINT_DIR/saved &&
    echo '{{"y": '{x}'}}' && LAST
  runner: RUNNER
"""


def _write_study(engine, folder, last, more=""):
    runner = json.dumps({"name": "docker", **engine.options(poll_s=0.1)})
    text = STUDY.replace("RUNNER", runner).replace("LAST", last) + more
    (folder / "contained.yaml").write_text(text)
    (folder / "helper.txt").write_text("help\n")


def _containers(engine, study):
    filters = {"label": [f"airflow_hpo.study={study}"]}
    return engine.client.containers(all=True, filters=filters)


def test_a_study_in_containers(engine, hpo, tmp_path):
    """
    Trials in containers find their files, their metrics are read, and no container stays.
    """
    _write_study(engine, tmp_path / "work", "true")

    hpo("run", "contained.yaml")

    assert sorted(trial.metrics["y"] for trial in hpo.trials("contained")) == [1, 2, 3]
    saved = (tmp_path / "home").glob("hpo/studies/contained/trials/*/checkpoint/saved")
    assert sorted(path.read_text() for path in saved) == ["0\n", "1\n", "2\n"]
    assert not _containers(engine, "contained")


def test_a_study_that_ends_takes_its_containers_along(engine, hpo, tmp_path):
    """
    A trial that runs when the goal is reached is ended, and its container is gone.
    """
    goal = "stop: [{metric: y, at_most: 1}]\n"
    _write_study(engine, tmp_path / "work", "test {x} = 1 || sleep 1000", goal)

    hpo("run", "contained.yaml")

    states = [trial.state.value for trial in hpo.trials("contained")]
    assert "complete" in states
    assert set(states) <= {"complete", "pruned"}
    assert not _containers(engine, "contained")


def test_strays_of_a_killed_process_are_mended(engine, hpo, tmp_path):
    """
    Containers that a killed process left running are found by study and trial, and ended.
    """
    _write_study(engine, tmp_path / "work", "sleep 1000")
    run = hpo.start("run", "contained.yaml")
    until(lambda: any(each["State"] == "running" for each in _containers(engine, "contained")))
    run.kill()
    run.communicate()

    hpo("repair", "contained")

    assert not _containers(engine, "contained")
    assert {trial.state.value for trial in hpo.trials("contained")} <= {"failed", "waiting"}


ALONE = """\
hpo: 1
name: alone
study: alone
objective: {metric: y, direction: minimize}
space:
  x: {int: [1, 2]}
strategy: grid
budget: {trials: 2}
trial:
  command: >-
    test -r $HPO_PARAMS_FILE && touch $HPO_CHECKPOINT_DIR/mine &&
    to=$(echo "$HPO_OUTPUT_URI" | cut -c 9-) && mkdir -p $to &&
    echo '{{"y": '{x}'}}' > $to/metrics.json
  metrics: {format: file, path: metrics.json}
  runner: RUNNER
"""


def test_containers_without_our_folders(engine, hpo, tmp_path):
    """
    What they wrote to their address is fetched, and its metrics are read.
    """
    pytest.importorskip("fsspec", reason="files at addresses need fsspec")
    kept = tmp_path / "kept"
    kept.mkdir()
    options = engine.options(poll_s=0.1, mount_folders=False)
    options["mounts"] += [f"{kept}:{kept}"]
    runner = json.dumps({"name": "docker", **options})
    (tmp_path / "work" / "alone.yaml").write_text(ALONE.replace("RUNNER", runner))

    hpo("run", "alone.yaml", "--artifacts", f"local://{kept}")

    assert sorted(trial.metrics["y"] for trial in hpo.trials("alone")) == [1, 2]


def test_metrics_that_nobody_would_see_are_refused(engine, hpo, tmp_path):
    """
    A file of metrics in a container's own folder is lost with it: the trial says so at once.
    """
    options = engine.options(poll_s=0.1, mount_folders=False)
    runner = json.dumps({"name": "docker", **options})
    (tmp_path / "work" / "alone.yaml").write_text(ALONE.replace("RUNNER", runner))

    hpo("run", "alone.yaml", code=None)

    reasons = {trial.reason for trial in hpo.trials("alone")}
    assert all("need artifacts at an address" in reason for reason in reasons), reasons
