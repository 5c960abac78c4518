"""
What the Kubernetes runner asks a cluster for: manifests, and a pod that really runs.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from airflow_hpo.errors import TrialInvalidError
from airflow_hpo.model.job import Job
from airflow_hpo.runners.kubernetes import KubernetesOptions
from airflow_hpo.runners.kubernetes_manifest import job_manifest, label_value
from airflow_hpo.testing.commands import NASTY
from airflow_hpo.testing.podman import IMAGE, PodmanService, PodmanUnavailableError

kubernetes_validate = pytest.importorskip("kubernetes_validate")

TEMPLATE = Path(__file__).parents[2] / "templates" / "gpu-pod.yaml"

PAUSE = "hpo-test-pause:1"

EVERYTHING = {
    "image": "registry.example/train:1.4",
    "namespace": "ml",
    "resources": {"requests": {"cpu": 2, "memory": "8Gi"}, "limits": {"memory": "8Gi"}},
    "node_selector": {"disk": "ssd"},
    "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["a100"]}]}
                ]
            }
        }
    },
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    "volume_mounts": [{"name": "data", "mountPath": "/data"}],
    "service_account": "trials",
    "image_pull_policy": "Always",
    "image_pull_secrets": ["registry"],
    "priority_class": "low",
    "labels": {"team": "vision"},
    "annotations": {"note": "nightly: all"},
    "ttl_s": 3600,
}


def manifest_of(job=None, **options):
    """
    Return the manifest of *job*, after the official schema was asked about it.
    """
    found = job_manifest(job or trial(), KubernetesOptions(**options), namespace="ml")
    for version in ("1.27", "1.37"):
        kubernetes_validate.validate(found, version, strict=True)
    return found


def trial(**changes):
    """
    Return a job as the driver makes it.
    """
    environment = {"HPO_STUDY": "night run", "HPO_OUTPUT_DIR": "/here/trial"}
    known = {"study": "night run", "trial": 7, "attempt": 2, "workspace": "/here/trial"}
    known |= {"command": "python train.py", "environment": environment, "grace_s": 30.0}
    return Job(**{**known, "configuration": {"lr": 0.1}, **changes})


def pod_of(manifest):
    """
    Return the spec of a manifest's pod.
    """
    return manifest["spec"]["template"]["spec"]


def container_of(manifest):
    """
    Return the first container of a manifest's pod.
    """
    return pod_of(manifest)["containers"][0]


def variables_of(manifest):
    """
    Return the variables of the first container.
    """
    return {each["name"]: each["value"] for each in container_of(manifest)["env"]}


def test_the_smallest_manifest():
    """
    An image is enough; the pod is tried once and gets the time that the blueprint says.
    """
    manifest = manifest_of(trial(timeout_s=90.5), image="train:1")

    assert manifest["spec"]["backoffLimit"] == 0
    assert pod_of(manifest)["restartPolicy"] == "Never"
    assert pod_of(manifest)["activeDeadlineSeconds"] == 91
    assert pod_of(manifest)["terminationGracePeriodSeconds"] == 30
    assert container_of(manifest)["image"] == "train:1"
    assert container_of(manifest)["args"][-1] == "python train.py"


def test_everything_at_once():
    """
    Each option is where the official schema wants it.
    """
    manifest = manifest_of(trial(gpus=2), **EVERYTHING)
    pod, container = pod_of(manifest), container_of(manifest)

    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "8Gi"},
        "limits": {"memory": "8Gi", "nvidia.com/gpu": "2"},
    }
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == EVERYTHING["tolerations"]
    assert pod["affinity"] == EVERYTHING["affinity"]
    assert pod["serviceAccountName"] == "trials"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert {each["name"] for each in pod["volumes"]} == {"data", "hpo"}
    assert manifest["spec"]["ttlSecondsAfterFinished"] == 3600
    assert manifest["metadata"]["labels"]["team"] == "vision"
    assert manifest["spec"]["template"]["metadata"]["labels"]["team"] == "vision"


@pytest.mark.parametrize("image", [None, "other:2"])
def test_the_gpu_template_that_is_shipped(image):
    """
    The template is a whole pod; what the runner says goes over it.
    """
    manifest = manifest_of(trial(gpus=1), pod=str(TEMPLATE), image=image)
    container = container_of(manifest)

    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"] == (
        image or yaml.safe_load(TEMPLATE.read_text())["spec"]["containers"][0]["image"]
    )
    assert pod_of(manifest)["tolerations"]


def test_a_template_keeps_what_nobody_overrides(tmp_path):
    """
    Its own containers, variables and labels stay; a path is relative to the command's folder.
    """
    template = {
        "kind": "Pod",
        "metadata": {"labels": {"mine": "yes"}},
        "spec": {
            "initContainers": [{"name": "fetch", "image": "fetch:1"}],
            "containers": [
                {"name": "proxy", "image": "proxy:1"},
                {
                    "name": "main",
                    "image": "train:1",
                    "env": [{"name": "KEPT", "value": "1"}, {"name": "HPO_STUDY", "value": "x"}],
                    "envFrom": [{"secretRef": {"name": "keys"}}],
                },
            ],
        },
    }
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(template))

    manifest = manifest_of(trial(workdir=str(tmp_path)), pod="pod.yaml", container="main")
    proxy, main = pod_of(manifest)["containers"]

    assert proxy == {"name": "proxy", "image": "proxy:1"}
    assert [each["name"] for each in main["env"]].count("HPO_STUDY") == 1
    assert main["env"][0] == {"name": "KEPT", "value": "1"}
    assert main["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert manifest["spec"]["template"]["metadata"]["labels"]["mine"] == "yes"


def test_folders_of_the_worker_are_not_told_to_a_pod_that_does_not_see_them():
    """
    Its variables name folders of its own, or with a common volume those of the worker.
    """
    apart = variables_of(manifest_of(image="train:1"))
    common = manifest_of(image="train:1", shared_folders=True)

    assert apart["HPO_OUTPUT_DIR"] == "/hpo"
    assert apart["HPO_PARAMS_FILE"] == "/hpo/params.json"
    assert json.loads(apart["HPO_PARAMS"]) == {"lr": 0.1}
    assert variables_of(common)["HPO_OUTPUT_DIR"] == "/here/trial"
    assert container_of(common)["workingDir"] == "/here/trial"


def test_names_are_the_same_for_the_same_job_alone():
    """
    A cluster takes a key once; other keys, attempts and workspaces have other names.
    """
    first = manifest_of(image="train:1")["metadata"]["name"]

    assert manifest_of(image="train:2")["metadata"]["name"] == first
    for change in ({"attempt": 3}, {"step": "b"}, {"token": "t"}, {"workspace": "/there"}):
        assert manifest_of(trial(**change), image="train:1")["metadata"]["name"] != first


@pytest.mark.parametrize("study", ["a" * 300, "Ünïcödé 🎉", "nightly: 2026-01-01T00:00", "-x-", ""])
def test_any_study_has_a_name_and_labels(study):
    """
    Whatever a study is called, Kubernetes takes it, and tells it from others.
    """
    manifest = manifest_of(trial(study=study), image="train:1")

    assert len(manifest["metadata"]["name"]) <= 57  # a pod's name has six more
    assert label_value(study) != label_value(study + "x")


@pytest.mark.parametrize(
    ("job", "options", "message"),
    [
        (trial(), {"pod": {"containers": []}}, "image must be given"),
        (trial(), {"pod": "gone.yaml"}, "pod must be an absolute path here, got 'gone.yaml'"),
        (trial(workdir="/"), {"pod": "gone.yaml"}, "pod must be a file that can be read"),
        (trial(), {"pod": {"spec": {}}}, "pod must be a Pod with spec.containers"),
        (
            trial(),
            {"pod": {"containers": [{"name": "a", "image": "b"}]}, "container": "c"},
            "container must be one of the pod template's, a, got 'c'",
        ),
        (trial(gpus=0.5), {"image": "a"}, "gpus must be a whole number .* got 0.5"),
        (trial(command="a\0"), {"image": "a"}, "NUL"),
        (trial(command="x" * 2**20), {"image": "a"}, "longer"),
    ],
)
def test_what_does_not_fit_together(job, options, message):
    """
    The job is refused for good, and the message says what it is.
    """
    with pytest.raises(TrialInvalidError, match=message):
        job_manifest(job, KubernetesOptions(**options), namespace="ml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "image or pod must be given"),
        ({"image": "a", "resources": {"limits": {"memory": "8 GB"}}}, "memory must be a quantity"),
        ({"image": "a", "connection": "x", "kubeconfig": "y"}, "exclude each other"),
    ],
)
def test_options_that_are_refused(options, message):
    """
    Before anything runs.
    """
    with pytest.raises(ValueError, match=message):
        KubernetesOptions(**options)


@pytest.fixture(scope="module", name="engine")
def _engine():
    try:
        service = PodmanService()
    except PodmanUnavailableError as error:
        pytest.skip(str(error))
    with service:
        yield service


def test_a_pod_of_ours_really_runs(engine, tmp_path):
    """
    In a real container the folders and the file are there, and every value arrives as it is.
    """
    names = [f"V{place}" for place in range(len(NASTY))]
    marked = [f"[{value}]" for value in NASTY]
    shown = "; ".join(f'printf "[%s]" "${name}"' for name in names)
    command = f'echo begun; cat "$HPO_PARAMS_FILE"; ls -d "$HPO_CHECKPOINT_DIR"; {shown}; exit 3'
    job = trial(command=command, environment=dict(zip(names, NASTY, strict=True)))
    manifest = manifest_of(job, image=IMAGE, image_pull_policy="Never")

    lines, code = played(engine, manifest, tmp_path)

    assert lines.startswith('begun\n{"lr": 0.1}\n/hpo/checkpoint\n')
    assert lines.endswith("".join(marked))
    assert code == 3


def played(engine, manifest, folder):
    """
    Run the pod of *manifest* by ``podman kube play``; return its output and its exit code.
    """
    template = manifest["spec"]["template"]
    template["metadata"]["name"] = "trial"
    # What is the Job's business, and limits that a test's engine may not have.
    template["spec"].pop("terminationGracePeriodSeconds")
    # This is no Kubernetes after all: it replaces nothing in commands and variables.
    container = container_of(manifest)
    container["args"] = [word.replace("$$(", "$(") for word in container["args"]]
    for variable in container["env"]:
        variable["value"] = variable["value"].replace("$$(", "$(")
    pod = folder / "pod.yaml"
    pod.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", **template}))
    # What keeps a pod's namespaces open is a package of its own elsewhere.
    recipe = folder / "Containerfile"
    recipe.write_text(f'FROM {IMAGE}\nCMD ["/bin/sleep", "600"]\n')
    podman(engine, "build", "--quiet", "--tag", PAUSE, "--file", str(recipe), str(folder))
    podman(engine, "kube", "play", "--network", "host", str(pod))
    code = int(podman(engine, "wait", "trial-trial"))
    lines = podman(engine, "logs", "trial-trial")
    podman(engine, "pod", "rm", "--force", "--time", "0", "trial")
    return lines, code


def podman(engine, *words):
    """
    Run Podman on the engine's own containers; return what it prints.
    """
    settings = engine.folder / "kube.conf"
    infra = f'infra_image = "{PAUSE}"\n'
    settings.write_text((engine.folder / "containers.conf").read_text() + infra)
    done = subprocess.run(
        ["env", f"CONTAINERS_CONF={settings}", *engine._podman[2:], *words],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()
