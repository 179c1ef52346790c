"""A span is joined to its GPU by what is known, and to none where two fit or nothing does."""

from typing import Any

import pytest

from heliograph.query.placement import by_parent
from heliograph.query.placing import GpuProcess, Place, Placement, place

NOW = 1_800_000_000 * 10**9
SECOND = 10**9
BEFORE = "2027-01-15T07:00:00.000Z"  # an hour before NOW
CONTAINER, OTHER = "4f" * 32, "aa" * 32


def at(**fields: Any) -> Place:
    """A model call of a second on node-1, as its engine's server reports it."""
    usual: dict[str, Any] = {
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "parent_span_id": "",
        "start_ns": NOW,
        "duration_ns": SECOND,
        "kind": "llm",
        "span_kind": "server",
        "service": "vllm",
        "service_instance_id": "i-1",
        "host": "node-1",
        "host_id": "",
        "process_id": None,
        "container": "",
        "pod": "",
        "server_address": "",
        "server_port": None,
        "gpu_uuids": (),
    }
    return Place(**(usual | fields))


def call(address: str, port: int | None = 8000, **fields: Any) -> Place:
    return at(**{"span_kind": "client", "service": "shop", "server_address": address, "server_port": port} | fields)


def process(pid: int, gpu: int, **fields: Any) -> GpuProcess:
    usual: dict[str, Any] = {
        "host": "node-1",
        "host_id": "m-1",
        "gpu_uuid": f"GPU-{gpu}",
        "gpu_index": str(gpu),
        "gpu_name": "H100",
        "pid": pid,
        "created": BEFORE,
        "executable": "python3",
        "container": "",
        "pod": "",
        "parents": (),
        "listen": (),
        "addresses": (),
        "first_ns": NOW - 1800 * SECOND,
        "last_ns": NOW + 1800 * SECOND,
    }
    return GpuProcess(**(usual | fields))


def placed(span: Place, *processes: GpuProcess, below: tuple[Place, ...] = ()) -> Placement:
    return place(span, by_parent(below), processes)


def uuids(found: Placement) -> list[str]:
    return [gpu.uuid for gpu in found.gpus]


ENGINE = [process(101 + gpu, gpu, parents=(100,), listen=("0.0.0.0:8000",), addresses=("10.0.0.5",)) for gpu in (0, 1)]
ANOTHER = process(200, 2, listen=("127.0.0.1:9000",))


def test_a_server_span_is_placed_on_the_gpus_of_its_workers_by_pid():
    found = placed(at(process_id=100), *ENGINE, ANOTHER)
    assert (found.strength, uuids(found)) == ("pid", ["GPU-0", "GPU-1"])
    assert found.engine is not None
    assert (found.engine.pid, found.instance) == (100, "i-1")
    assert "Process 100 of node-1" in found.reason


def test_a_span_of_the_process_that_computes_is_placed_by_pid():
    assert uuids(placed(at(process_id=200, span_kind="internal"), *ENGINE, ANOTHER)) == ["GPU-2"]


def test_the_same_pid_on_another_host_proves_nothing():
    found = placed(at(process_id=100, host="node-9"), *ENGINE)
    assert (found.strength, uuids(found)) == ("none", [])
    assert "node-9" in found.reason


def test_a_host_is_known_by_its_id_too_and_not_by_a_name_that_all_have():
    assert placed(at(process_id=100, host="renamed", host_id="m-1"), *ENGINE).strength == "pid"
    nameless = [process(100, 0, host="localhost", host_id="")]
    assert placed(at(process_id=100, host="localhost"), *nameless).strength == "none"


def test_a_pid_inside_a_container_is_not_a_pid_of_the_host():
    engine = process(100, 0, container=CONTAINER)
    assert placed(at(process_id=100, container=OTHER), engine).strength == "host"
    assert placed(at(process_id=7, container=CONTAINER, host="4f4f4f4f4f4f"), engine).strength == "container"
    assert placed(at(process_id=100, container=CONTAINER), engine).strength == "pid"


def test_a_container_is_known_by_its_id_its_short_id_as_host_name_or_its_pod():
    engine = process(100, 0, container=CONTAINER, pod="0a1b")
    for span in (at(container=CONTAINER, host="x"), at(host="4f4f4f4f4f4f"), at(pod="0a1b", host="web-0")):
        found = placed(span, engine, process(300, 3, container=OTHER, pod="ffff"))
        assert (found.strength, uuids(found)) == ("container", ["GPU-0"])
    assert placed(at(host="4f4f4f4f4f40"), engine).strength == "none"


@pytest.mark.parametrize("address", ["10.0.0.5", "node-1", "NODE-1", "localhost", "127.0.0.1", "[::1]"])
def test_a_call_is_placed_by_the_socket_that_it_names(address):
    found = placed(call(address), *ENGINE, ANOTHER)
    assert (found.strength, uuids(found)) == ("socket", ["GPU-0", "GPU-1"])
    assert found.service == ""  # the caller's service is not the engine's


@pytest.mark.parametrize(
    ("span", "why"),
    [
        (call("10.0.0.5", 8001), "proxy or a translated address"),  # nobody listens there
        (call("10.0.0.6"), "proxy or a translated address"),  # another host's address
        (call("localhost", host="node-2"), "node-2"),  # the caller's own machine is another
        (call("localhost", container=OTHER), "listens at localhost:8000"),  # a container's own loopback
        (call("localhost", pod="0a1b"), "listens at localhost:8000"),
        (call("vllm.default.svc.cluster.local"), "name of a service"),
        (call("node-1", 9000), "without a GPU process at this port"),  # listens on loopback only
        (call("10.0.0.5", None), "without a port"),
        (call("", None), "names no server address"),
    ],
)
def test_a_call_whose_server_cannot_be_told_is_placed_nowhere_and_says_why(span, why):
    found = placed(span, *ENGINE, ANOTHER)
    assert (found.strength, found.gpus, found.engine) == ("none", (), None)
    assert why in found.reason


def test_a_published_port_of_a_container_is_not_taken_for_the_sockets_inside():
    inside = process(100, 0, container=CONTAINER, listen=("0.0.0.0:8000",), addresses=("172.17.0.2",))
    assert placed(call("node-1"), inside).strength == "none"
    assert placed(call("localhost"), inside).strength == "none"
    assert placed(call("172.17.0.2"), inside).strength == "socket"
    assert placed(call("localhost", container=CONTAINER, host="x"), inside).strength == "socket"


def test_a_caller_is_not_placed_by_its_own_process_or_host():
    found = placed(call("api.openai.com", 443, process_id=200), ANOTHER)
    assert (found.strength, uuids(found)) == ("none", [])


def test_two_engines_that_fit_are_listed_and_none_is_chosen():
    twins = [
        process(100, 0, host=f"node-{n}", host_id=f"m-{n}", listen=("0.0.0.0:8000",), addresses=("172.17.0.1",))
        for n in (1, 2)
    ]
    found = placed(call("172.17.0.1"), *twins)
    assert (found.strength, found.gpus) == ("none", ())
    assert [engine.host for engine in found.candidates] == ["node-1", "node-2"]
    assert "2 engines fit by socket" in found.reason


def test_runners_of_one_parent_that_serve_a_model_each_are_not_one_engine():
    runners = [
        process(101 + gpu, gpu, executable="ollama_llama_server", parents=(100,), listen=("127.0.0.1:11434",))
        for gpu in (0, 1)
    ]
    found = placed(call("localhost", 11434), *runners)
    assert (found.strength, len(found.candidates)) == ("none", 2)


def test_a_call_is_placed_by_the_server_span_below_it_even_through_a_service_name():
    client = call("vllm.default.svc.cluster.local", span_id="c" * 16)
    gateway = at(span_id="d" * 16, parent_span_id="c" * 16, service="gateway", host="edge", kind="other")
    server = at(span_id="e" * 16, parent_span_id="d" * 16, process_id=100)
    found = placed(client, *ENGINE, ANOTHER, below=(client, gateway, server))
    assert (found.strength, uuids(found), found.via_span_id) == ("pid", ["GPU-0", "GPU-1"], "e" * 16)
    assert "“vllm”" in found.reason


def test_a_span_above_calls_to_two_engines_names_both_and_takes_none():
    agent = at(span_id="c" * 16, span_kind="internal", kind="agent", host="edge")
    one = at(span_id="d" * 16, parent_span_id="c" * 16, process_id=100)
    two = at(span_id="e" * 16, parent_span_id="c" * 16, process_id=200)
    found = placed(agent, *ENGINE, ANOTHER, below=(agent, one, two))
    assert (found.strength, found.gpus, len(found.candidates)) == ("none", (), 2)


def test_a_trace_whose_spans_are_their_own_parents_ends():
    loop = call("nowhere", span_id="c" * 16, parent_span_id="c" * 16)
    assert placed(loop, *ENGINE, below=(loop,)).strength == "none"


def test_with_the_host_alone_its_engines_are_listed_and_none_is_chosen():
    found = placed(at(), *ENGINE, ANOTHER)
    assert (found.strength, found.engine, found.is_proven) == ("host", None, False)
    assert len(found.candidates) == 2
    assert "host only" in found.reason


def test_the_gpus_that_a_span_names_go_first():
    found = placed(at(gpu_uuids=("GPU-7", "GPU-1"), process_id=200), *ENGINE, ANOTHER)
    assert (found.strength, uuids(found)) == ("uuid", ["GPU-7", "GPU-1"])
    assert found.gpus[1].label == "GPU 1 of node-1"


def test_a_process_counts_only_for_the_time_in_which_it_lived():
    early = process(100, 0, last_ns=NOW - 61 * SECOND)
    late = process(100, 1, first_ns=NOW + 62 * SECOND)
    unborn = process(100, 2, created="2027-01-15T08:00:05.000Z")
    for one in (early, late, unborn):
        assert placed(at(process_id=100), one).strength == "none"
    assert placed(at(process_id=100), process(100, 0, last_ns=NOW - 30 * SECOND)).strength == "pid"


def test_a_pid_that_the_system_gave_again_belongs_to_the_process_that_began_last():
    first = process(100, 0, created="2027-01-15T07:00:00.000Z", last_ns=NOW - 40 * SECOND)
    second = process(100, 1, created="2027-01-15T07:59:30.000Z", first_ns=NOW - 30 * SECOND)
    assert uuids(placed(at(process_id=100), first, second)) == ["GPU-1"]
