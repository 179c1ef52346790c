"""Which engine's metrics speak of a call: told by id, socket, service or host, and by none of them where two fit."""

from typing import Any

from heliograph.query.engines import serving_engine
from heliograph.query.placing import Engine, GpuProcess, PlacedGpu, Placement
from heliograph.query.serving import EngineInstance

GPU = PlacedGpu(uuid="GPU-0", index="0", name="", host="node-1")
ENGINE = Engine(host="node-1", pid=100, executable="vllm", container="", pids=(100,), gpus=(GPU,))
PLACED = Placement(strength="pid", reason="", service="vllm", engine=ENGINE, gpus=(GPU,))
PROCESS = GpuProcess(
    host="node-1",
    host_id="",
    gpu_uuid="GPU-0",
    gpu_index="0",
    gpu_name="",
    pid=100,
    created="",
    executable="vllm",
    container="",
    pod="",
    parents=(),
    listen=("0.0.0.0:8000", "127.0.0.1:9000"),
    addresses=("10.0.0.5",),
    first_ns=0,
    last_ns=1,
)


def engine(service: str = "vllm", host: str = "node-1", instance: str = "") -> EngineInstance:
    return EngineInstance("vllm", "vLLM", "", service, host, instance, ())


def match(*found: EngineInstance, placement: Placement = PLACED, instance: str = "", **fields: Any) -> Any:
    service = fields.get("service", "vllm")
    return serving_engine(found, placement, [PROCESS], service=service, instance=instance)


def test_the_instance_id_of_the_span_goes_before_everything():
    mine = engine(instance="a")
    found = match(engine(instance="b"), mine, instance="a")
    assert (found.instance, found.reason) == (mine, "vLLM of vllm at a, told by its instance id.")


def test_a_scraped_address_is_told_by_the_socket_of_the_process():
    scraped = [engine("scraper", "", address) for address in ("10.0.0.6:8000", "10.0.0.5:8000", "10.0.0.5:8001")]
    assert match(*scraped).instance == scraped[1]
    named = engine("scraper", "", "node-1:8000")
    assert match(named, engine("scraper", "", "node-2:8000")).instance == named


def test_a_loopback_or_wildcard_address_tells_nothing():
    found = match(engine("scraper", "", "127.0.0.1:9000"), engine("scraper", "", "0.0.0.0:8000"))
    assert found.instance is None
    assert "None of the engines" in found.reason


def test_the_only_one_of_a_service_or_host_is_taken_and_of_two_none():
    other = engine("other", "node-2")
    assert match(engine(), other).reason.endswith("told as the only one of its service on its host.")
    assert match(engine(host="pod-7"), other).reason.endswith("told as the only one of its service.")
    assert match(engine("exporter"), other).reason.endswith("told as the only one on its host.")
    two = match(engine(instance="a"), engine(instance="b"))
    assert two.instance is None
    assert two.reason == "2 engines that send metrics fit, so none is chosen: vLLM of vllm at a; vLLM of vllm at b."


def test_without_metrics_or_a_place_none_is_told():
    nowhere = Placement(strength="none", reason="")
    assert match(placement=nowhere).reason == "No serving engine sent metrics at that time."
    assert match(engine(), placement=nowhere, service="").instance is None
