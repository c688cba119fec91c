"""What is said of a cluster's address, its nodes and what they answer, without a cluster."""

from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from typing import Any

import pytest

from greenopt.cli.executors import Executor
from greenopt.cli.options import ExecutorName
from greenopt.errors import UsageError
from greenopt.execution import Slot, ray_cluster
from greenopt.execution.ray_cluster import (
    Node,
    check_installed,
    choose_kind,
    cluster_address,
    connected,
    found_node,
    named_apart,
)
from greenopt.execution.ray_engine import RayEngine, RayOptions
from greenopt.identity.device import Device, DeviceKind, device_of_slots
from greenopt.identity.digests import package_digest
from greenopt.reading import EnergySource
from greenopt.version import __version__

HEAD, GPUS = Node("1", "head", 0, 4), Node("2", "far", 2, 8)
SAME = {"host": "far", "python": "3.11.7", "greenopt": __version__, "digest": package_digest()}


@pytest.mark.parametrize(
    ("given", "environment", "address"),
    [
        (None, {}, "auto"),
        (None, {"RAY_ADDRESS": "head:6379"}, "head:6379"),
        ("auto", {"RAY_ADDRESS": "head:6379"}, "auto"),
        ("ray://head:10001", {}, "ray://head:10001"),
        ("[::1]:6379", {}, "[::1]:6379"),
    ],
)
def test_the_address_is_the_options_then_the_environments(
    given: str | None, environment: dict[str, str], address: str
) -> None:
    assert cluster_address(given, environment) == address


@pytest.mark.parametrize("wrong", ["head", ":6379", "head:", "http://head:8265", "head:port"])
def test_what_is_no_address_is_refused_under_the_name_of_its_origin(wrong: str) -> None:
    with pytest.raises(UsageError, match=r"--address .*: is none: take auto"):
        cluster_address(wrong, {})
    with pytest.raises(UsageError, match=r"RAY_ADDRESS .*: is none: take auto"):
        cluster_address(None, {"RAY_ADDRESS": wrong})


def test_an_address_at_which_nobody_listens() -> None:
    with (
        pytest.raises(UsageError, match=r"--address 127.0.0.1:9: no Ray cluster answers there"),
        connected("127.0.0.1:9"),
    ):
        pass


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(ray_cluster, "find_spec", nothing)
    with pytest.raises(UsageError, match=r"pip install 'greenopt\[ray\]'"):
        check_installed()


def test_trials_run_on_gpus_where_there_are_any_and_on_the_cpu_on_purpose() -> None:
    assert choose_kind(None, [HEAD, GPUS])
    assert choose_kind("all", [HEAD, GPUS])
    assert not choose_kind("none", [HEAD, GPUS])
    assert not choose_kind(None, [HEAD])
    assert [node.places(True) for node in (HEAD, GPUS)] == [0, 2]
    assert [node.places(False) for node in (HEAD, GPUS)] == [1, 1]


@pytest.mark.parametrize(
    ("selection", "nodes", "words"),
    [
        ("0,1", [GPUS], "Ray chooses the boards"),
        ("all", [HEAD], "no node of the cluster has a GPU; it has head"),
        (None, [Node("1", "head", 0, 0)], "neither GPU nor CPU for trials"),
        (None, [], "it has no node"),
    ],
)
def test_a_cluster_without_what_is_asked_for(selection: str | None, nodes: list[Node], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose_kind(selection, nodes)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"greenopt": None, "problem": "No module named 'greenopt'"}, "greenopt is not installed for 3.11.7 there"),
        ({"greenopt": "0.0.1"}, f"has greenopt 0.0.1, and here is {__version__}"),
        ({"digest": "other"}, "is not the same source as the one here"),
        ({"problem": "DriverError: version mismatch"}, "DriverError: version mismatch"),
        ({"gpus": []}, "Ray offers 2 GPUs there, and NVIDIA's driver shows none"),
    ],
)
def test_a_node_that_cannot_run_trials_is_named_with_the_reason(told: dict[str, Any], words: str) -> None:
    found = found_node(GPUS, {**SAME, **told}, True)
    assert found.slots == ()
    assert found.problem is not None
    assert found.problem.startswith("far: ")
    assert words in found.problem


def test_slots_are_named_by_host_and_their_devices_are_the_nodes() -> None:
    gpus = [(0, "GPU-a", "NVIDIA H200"), (1, "GPU-b", "NVIDIA H200"), (2, "GPU-c", "NVIDIA T4")]
    found = found_node(GPUS, {**SAME, "gpus": gpus}, True)
    assert [(slot.name, slot.gpu_uuid) for slot in found.slots] == [("far gpu 0", "GPU-a"), ("far gpu 1", "GPU-b")]
    assert device_of_slots(found.slots) == Device(DeviceKind.GPU, ("NVIDIA H200",))
    cpu = found_node(HEAD, {**SAME, "rapl": True}, False).slots
    assert device_of_slots(cpu) == Device(DeviceKind.CPU, energy=EnergySource.RAPL)
    mixed = [*cpu, Slot("other cpu", host="other", cpu_source=EnergySource.ESTIMATE)]
    assert device_of_slots(mixed) == Device(DeviceKind.CPU, energy=EnergySource.ESTIMATE)


def test_slots_of_two_nodes_of_one_machine_are_told_apart() -> None:
    slot = Slot("far gpu 0", "GPU-a")
    assert named_apart(slot, set()).name == "far gpu 0"
    assert named_apart(slot, {"far gpu 0", "far gpu 0 (2)"}).name == "far gpu 0 (3)"


@pytest.mark.parametrize("option", [{"address": "auto"}, {"slots": 2}])
def test_options_of_a_cluster_need_one(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is of a cluster; add --executor ray"):
        Executor(**option)
    Executor(ExecutorName.RAY, **option)


MIXED = [Slot(f"far gpu {index}", f"GPU-{index}", host="far", gpu_name=name) for index, name in enumerate("AAB")]


def found_on(slots: list[Slot], monkeypatch: pytest.MonkeyPatch, model: str | None) -> list[str]:
    monkeypatch.setattr(ray_cluster, "connected", lambda _: nullcontext())
    monkeypatch.setattr(ray_cluster, "check_installed", lambda: None)
    monkeypatch.setattr(ray_cluster, "survey", lambda *_: slots)
    return [slot.name for slot in Executor(ExecutorName.RAY, "auto", model=model).find_slots()]


@pytest.mark.parametrize(("model", "taken"), [(None, "01"), ("b", "2"), ("all", "012")])
def test_a_cluster_s_gpus_are_of_one_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: str | None, taken: str
) -> None:
    assert found_on(MIXED, monkeypatch, model) == [f"far gpu {number}" for number in taken]
    assert ("--gpu-model chooses another model" in capsys.readouterr().err) == (model is None)


def test_a_model_is_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--gpu-model 'H100': trials would run on the CPU"):
        found_on([Slot("far cpu", host="far")], monkeypatch, "H100")


@pytest.mark.parametrize(("model", "is_used"), [("A", True), ("B", False), (None, True)])
def test_a_node_that_joins_with_another_model_is_named_and_not_used(
    monkeypatch: pytest.MonkeyPatch, model: str | None, is_used: bool
) -> None:
    said: list[str] = []
    opened: list[Node] = []
    engine = RayEngine(RayOptions(gpu_model=model), say=said.append)
    monkeypatch.setattr(engine, "_open_places", opened.append)
    engine._nodes[GPUS.node_id] = GPUS
    engine._join(GPUS, {**SAME, "gpus": [(0, "GPU-0", "A"), (1, "GPU-1", "A")]})
    assert opened == ([GPUS] if is_used else [])
    assert said == ([] if is_used else ["far: has no B, on which this study trains; it is not used"])
