"""The files for Slurm and Kubernetes that users copy from a page: what can be checked of them without either.

The RayJob is held to a part of KubeRay's v1 API, the fields that such a job may use with their types, and nothing else
is let through. That part was written after the types RayJobSpec and RayClusterSpec of KubeRay and the core API of
Kubernetes; no cluster has taken the file.
"""

import re
import shlex
import subprocess
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from greenopt.docs.pages import FOLDER

PAGE = (FOLDER / "slurm-kubernetes.md").read_text(encoding="utf-8")
Quantity = Annotated[str, Field(pattern=r"^\d+(\.\d+)?([KMGTPE]i|[mkMGTPE])?$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Resources(Strict):
    requests: dict[str, Quantity]
    limits: dict[str, Quantity]


class Env(Strict):
    name: str
    value: str


class Mount(Strict):
    name: Name
    mountPath: str  # noqa: N815


class Claim(Strict):
    claimName: Name  # noqa: N815


class EmptyDir(Strict):
    medium: Literal["", "Memory"] = ""
    sizeLimit: Quantity  # noqa: N815


class Volume(Strict):
    name: Name
    persistentVolumeClaim: Claim | None = None  # noqa: N815
    emptyDir: EmptyDir | None = None  # noqa: N815


class Container(Strict):
    name: Name
    image: str
    env: list[Env] = []
    resources: Resources
    volumeMounts: list[Mount] = []  # noqa: N815


class PodSpec(Strict):
    containers: Annotated[list[Container], Field(min_length=1)]
    volumes: list[Volume] = []
    nodeSelector: dict[str, str] = {}  # noqa: N815


class PodTemplate(Strict):
    spec: PodSpec


class HeadGroup(Strict):
    rayStartParams: dict[str, str]  # noqa: N815
    template: PodTemplate


class WorkerGroup(Strict):
    groupName: Name  # noqa: N815
    replicas: int = 0
    minReplicas: int  # noqa: N815
    maxReplicas: int  # noqa: N815
    rayStartParams: dict[str, str]  # noqa: N815
    template: PodTemplate


class RayCluster(Strict):
    rayVersion: str  # noqa: N815
    headGroupSpec: HeadGroup  # noqa: N815
    workerGroupSpecs: list[WorkerGroup]  # noqa: N815
    enableInTreeAutoscaling: bool | None = None  # noqa: N815


class RayJobSpec(Strict):
    entrypoint: str
    rayClusterSpec: RayCluster  # noqa: N815
    shutdownAfterJobFinishes: bool = False  # noqa: N815
    ttlSecondsAfterFinished: int = 0  # noqa: N815
    activeDeadlineSeconds: int | None = None  # noqa: N815
    backoffLimit: int = 0  # noqa: N815
    suspend: bool = False
    submissionMode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode"] = "K8sJobMode"  # noqa: N815


class Metadata(Strict):
    name: Name


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayJob"]
    metadata: Metadata
    spec: RayJobSpec


@pytest.fixture(name="manifest")
def _manifest() -> dict[str, Any]:
    (text,) = blocks("yaml")
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def test_the_rayjob_has_fields_of_the_api_with_their_types(manifest: dict[str, Any]) -> None:
    job = RayJob.model_validate(manifest)
    pods: list[HeadGroup | WorkerGroup] = [
        job.spec.rayClusterSpec.headGroupSpec,
        *job.spec.rayClusterSpec.workerGroupSpecs,
    ]
    for pod in (each.template.spec for each in pods):
        volumes = {volume.name for volume in pod.volumes}
        assert {mount.name for container in pod.containers for mount in container.volumeMounts} == volumes
    head = job.spec.rayClusterSpec.headGroupSpec
    assert head.rayStartParams == {"num-gpus": "0"}
    assert "nvidia.com/gpu" not in head.template.spec.containers[0].resources.limits
    for worker in job.spec.rayClusterSpec.workerGroupSpecs:
        (container,) = worker.template.spec.containers
        assert int(container.resources.limits["nvidia.com/gpu"]) >= 1
        assert {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "compute,utility"} in [
            each.model_dump() for each in container.env
        ]
        assert worker.minReplicas <= worker.replicas <= worker.maxReplicas


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("spec", "entryPoint"), "greenopt run paper"),
        (("spec", "shutdownAfterJobFinishes"), "true"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-gpus"), 0),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "replicas"), "2"),
        (("metadata", "name"), "Greenopt_Paper"),
        (("kind",), "RayCluster"),
    ],
)
def test_a_slip_in_the_manifest_would_be_found(manifest: dict[str, Any], where: tuple[Any, ...], value: object) -> None:
    table: Any = manifest
    for key in where[:-1]:
        table = table[key]
    table[where[-1]] = value
    with pytest.raises(ValidationError):
        RayJob.model_validate(manifest)


def test_the_scripts_for_slurm_are_sound_shell_and_set_what_the_text_speaks_of() -> None:
    scripts = blocks("bash")
    assert len(scripts) == 2
    for script in scripts:
        assert script.startswith("#!/bin/bash\n#SBATCH ")
        subprocess.run(["bash", "-n"], input=script, text=True, check=True, capture_output=True)
        options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", script, re.MULTILINE))
        assert len(options) == script.count("#SBATCH"), "one has a slip, or stands twice"
        assert {"gpus-per-node", "cpus-per-task", "time", "nodes"} <= options.keys()
    assert "--executor ray" in scripts[1]
    assert "--executor" not in scripts[0]


def test_the_commands_in_the_files_are_ones_that_greenopt_has() -> None:
    """But for --executor and --address, which stand here as they do on the page of many machines."""
    from typer.main import get_command

    from greenopt.cli import app

    known = {name for each in get_command(app).commands["run"].params for name in each.opts}  # type: ignore[attr-defined]
    text = "\n".join([*blocks("bash"), *blocks("yaml")])
    for command in re.findall(r"greenopt run .*", text):
        options = {word for word in shlex.split(command.rstrip("&")) if word.startswith("--")}
        assert options - {"--executor", "--address"} <= known
