"""Goodput against a service level, the calculator over the API, and what engines use of their GPUs."""

import json
import zlib
from typing import Any

import pytest
from django.test import Client

from heliograph.accounts.models import ApiKey, Project
from heliograph.query import engine_use, roofline
from heliograph.query.filters import InvalidFilterError
from heliograph.query.goodput import Slo, goodput, over_time
from heliograph.query.roofline import Asked, estimate
from heliograph.query.scores import wilson_interval
from tests.query.rows import HOUR, START, at, llm, new_trace_id, point, spans_in_hour, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")
MS = 10**6


def call(seconds: float, ttft_ms: float | None, tpot_ms: float, tokens: int = 101, **fields: Any) -> dict[str, Any]:
    """A call of `tokens` tokens; the client's duration is the first token's time and that of the others."""
    whole = (ttft_ms or 0) + tpot_ms * (tokens - 1)
    ttft = None if ttft_ms is None else round(ttft_ms * MS)
    row = llm(new_trace_id(), seconds, ttft_ns=ttft, duration_ns=round(whole * MS), output_tokens=tokens)
    return row | {"decode_ns": None} | fields


@pytest.fixture
def traffic(project_id: int) -> int:
    store_spans(
        project_id,
        *(call(number, 300, 30) for number in range(60)),  # good
        *(call(number, 500, 30) for number in range(10)),  # late
        *(call(number, 300, 50) for number in range(10)),  # slow
        *(call(number, 300, 30, status="error") for number in range(10)),
        *(call(number, 300, 0, tokens=1) for number in range(5)),  # has no TPOT, and is exempt from it only
        *(call(number, 900, 0, tokens=1) for number in range(5)),
        *(call(number, None, 30) for number in range(7)),  # nobody knows
        # The same call, reported once more around it.
        *(call(number, 300, 30, usage_counted=False) for number in range(3)),
    )
    return project_id


def test_goodput_counts_what_meets_every_limit(traffic: int) -> None:
    found = goodput(traffic, spans_in_hour(), Slo())
    assert (found.requests, found.judged, found.good, found.failed, found.unjudged) == (107, 100, 65, 10, 7)
    assert found.attainment == pytest.approx(0.65)
    assert (found.low, found.high) == wilson_interval(65, 100)
    assert found.good_requests_per_s == pytest.approx(65 / 3600)
    assert found.good_tokens_per_s == pytest.approx((60 * 101 + 5) / 3600)


def test_a_limit_that_is_left_out_is_not_asked_for(traffic: int) -> None:
    assert goodput(traffic, spans_in_hour(), Slo(ttft_ms=None, tpot_ms=40)).good == 60 + 10 + 5 + 5
    assert goodput(traffic, spans_in_hour(), Slo(ttft_ms=450, tpot_ms=None)).good == 60 + 10 + 5
    assert goodput(traffic, spans_in_hour(), Slo(ttft_ms=None, tpot_ms=None, e2e_ms=3_400)).unjudged == 0


def test_the_engines_own_decode_time_goes_before_the_clients(project_id: int) -> None:
    store_spans(project_id, call(1, 300, 50, decode_ns=3_000 * MS))
    assert goodput(project_id, spans_in_hour(), Slo()).good == 1


def test_goodput_over_time_adds_up(traffic: int) -> None:
    points = over_time(traffic, spans_in_hour(), Slo(), buckets=60)
    assert sum(each.goodput.good for each in points) == 65
    assert points[0].start_s == int(START.timestamp())


def test_without_requests_nothing_is_attained_and_nothing_missed(project_id: int) -> None:
    found = goodput(project_id, spans_in_hour(), Slo())
    assert (found.requests, found.attainment, found.low) == (0, None, None)


@pytest.mark.parametrize("limits", [{"ttft_ms": -1}, {"ttft_ms": None, "tpot_ms": None}, {"e2e_ms": 1e12}])
def test_a_service_level_without_a_usable_limit_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidFilterError):
        Slo(**limits)


def test_the_calculator_answers_the_checked_figures() -> None:
    found = estimate(
        Asked(model="meta-llama/Llama-3.1-8B-Instruct", gpu="NVIDIA H100 80GB HBM3", tokens_per_s=150, context=2048)
    )
    assert round(found.of("mbu").value or 0, 2) == 0.73
    assert round(found.of("mfu").value or 0, 4) == 0.0024
    assert found.of("bound").word == "memory"
    assert found.of("weights").value == pytest.approx(16.06e9)
    assert found.of("kv_sequence").value == 2048 * 131_072
    # The ceiling of 209 tok/s is that of the weights alone.
    short = estimate(Asked(model="Llama-3.1-8B", gpu="H100 SXM", context=1))
    assert round(short.of("ceiling").value or 0) == 209


def test_what_the_calculator_cannot_know_is_null_with_a_reason() -> None:
    found = estimate(Asked(model="gpt-4o", gpu="NVIDIA H100 NVL"))
    assert all(figure.value is None and figure.reason for figure in found.figures)
    assert "number of parameters" in found.of("weights").reason
    assert "config.json" in found.of("kv_per_token").reason
    known = estimate(Asked(model="made-up-7b", gpu="L4"))
    assert known.of("weights").value == 14e9
    assert known.of("mfu").reason == roofline.NO_RATE


def test_a_rate_that_the_hardware_cannot_reach_is_an_error_and_no_chart() -> None:
    found = estimate(Asked(model="Llama-3.1-8B", gpu="H100 SXM", batch=512, tokens_per_s=100_000))
    assert (found.of("mfu").value, found.of("mfu").is_error) == (None, True)


def test_a_config_json_and_stated_parameters_stand_in_for_the_table() -> None:
    config = json.dumps({"num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096})
    found = estimate(Asked(model="mine", config_json=config, params_b=6.74, gpu="L4", bits=4, context=4096))
    assert found.of("kv_per_token").value == 32 * 8192 * 2
    assert found.of("kv_sequences").value == int(int((24e9 * 0.9 - 6.74e9 / 2) / (32 * 8192 * 2)) / 4096)


def test_a_mixture_of_experts_is_a_range() -> None:
    mbu = estimate(Asked(model="Mixtral-8x7B-v0.1", gpu="H100 SXM", gpus=4, batch=8, tokens_per_s=400)).of("mbu")
    assert mbu.value is not None
    assert mbu.high is not None
    assert mbu.value < mbu.high


@pytest.mark.parametrize("bad", [{"gpus": 0}, {"batch": 0}, {"context": 10**9}, {"usable": 1.5}, {"bits": 0.0}])
def test_numbers_that_cannot_be_meant_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidFilterError):
        estimate(Asked(model="Llama-3.1-8B", **bad))


def engine(project_id: int, out_tok_s: float, *, host: str = "node-1", instance: str = "1", **said: str) -> None:
    """Two scrapes, 50 minutes apart, of a vLLM that serves an 8B with 32 requests running."""
    resource = {"service.name": "vllm", "service.instance.id": instance} | said
    labels = {"model_name": "meta-llama/Llama-3.1-8B-Instruct"}
    first = zlib.crc32(instance.encode())  # series of their own
    common = {"service": "vllm", "host": host, "resource": resource, "attributes": labels}
    rows = []
    for seconds, factor in ((0, 0.0), (3_000, 3_000.0)):
        for series, (metric, rate) in enumerate(
            (("generation_tokens_total", out_tok_s), ("prompt_tokens_total", 100.0))
        ):
            counter = {"type": "sum", "temporality": "cumulative", "is_monotonic": True, "series": first + series}
            rows.append(point(f"vllm:{metric}", 10 + seconds, rate * factor, **common, **counter))
        rows.append(point("vllm:num_requests_running", 10 + seconds, 32.0, series=first + 2, **common))
    store_rows(project_id, "metric_points", rows)


def gpus(project_id: int, *names: str, host: str = "node-1", first: int = 0, pid: int = 100, **fields: Any) -> None:
    """A process that holds one or more GPUs, from number `first` on, all hour unless told otherwise."""
    times = {"first_seen": at(fields.pop("since", 0)), "last_seen": at(fields.pop("until", 3_500))}
    said = {"process.pid": str(pid), "process.executable.name": "python3"} | fields
    rows = [
        {
            "host": host,
            "gpu_uuid": f"GPU-{number}",
            "series": pid * 100 + number,
            "week": START,
            **times,
            "attributes": said,
            "gpu_name": name,
            "retention_days": 90,
        }
        for number, name in enumerate(names, first)
    ]
    store_rows(project_id, "gpu_processes", rows)


def test_an_engines_use_of_its_gpu_comes_from_its_counters(project_id: int) -> None:
    engine(project_id, 2_400)
    gpus(project_id, "NVIDIA H100 80GB HBM3")
    [use] = engine_use.of_engines(project_id, HOUR)
    assert (use.gpu, use.gpus, use.strength, use.reason) == ("H100 SXM", 1, "host", "")
    assert use.tokens_per_s == pytest.approx(2_400)
    assert use.mfu_at_most == pytest.approx(2 * 8.03e9 * 2_500 / 989e12, rel=1e-3)
    # 75 steps a second of 16.06 GB; the cache is left out.
    assert use.mbu_at_least == pytest.approx(75 * 16.06e9 / 3.35e12, rel=1e-3)


def test_use_is_not_guessed_where_gpus_cannot_be_told_apart(project_id: int) -> None:
    engine(project_id, 2_400)
    assert "no GPU agent" in engine_use.of_engines(project_id, HOUR)[0].reason
    gpus(project_id, "NVIDIA H100 80GB HBM3", "NVIDIA L4")
    assert "several models" in engine_use.of_engines(project_id, HOUR)[0].reason
    engine(project_id, 2_400, instance="2")
    assert {"2 engines report from node-1; neither process nor address tells whose GPUs are whose"} == {
        use.reason for use in engine_use.of_engines(project_id, HOUR)
    }


H100 = "NVIDIA H100 80GB HBM3"


def at_port(port: int, address: str = "10.0.0.5") -> dict[str, Any]:
    return {"gpu.process.listen": f"0.0.0.0:{port}", "gpu.process.addresses": address}


def uses(project_id: int) -> dict[str, engine_use.EngineUse]:
    return {use.instance.instance: use for use in engine_use.of_engines(project_id, HOUR)}


def mfu(out_tok_s: float, count: int) -> Any:
    return pytest.approx(2 * 8.03e9 * (out_tok_s + 100) / (989e12 * count), rel=1e-3)


def test_two_engines_of_a_host_have_each_its_own_figure_by_where_they_listen(project_id: int) -> None:
    engine(project_id, 2_400, instance="10.0.0.5:8000")
    engine(project_id, 600, instance="10.0.0.5:8001")
    gpus(project_id, H100, pid=100, **at_port(8000))
    gpus(project_id, H100, H100, first=1, pid=200, **at_port(8001))
    found = uses(project_id)
    one, two = found["10.0.0.5:8000"], found["10.0.0.5:8001"]
    assert [(use.gpus, use.gpus_shared, use.strength, use.reason) for use in (one, two)] == [
        (1, 0, "socket", ""),
        (2, 0, "socket", ""),
    ]
    assert (one.mfu_at_most, two.mfu_at_most) == (mfu(2_400, 1), mfu(600, 2))
    assert "10.0.0.5:8001" in two.gpus_how


def test_two_engines_of_one_gpu_have_each_their_own_share_of_it(project_id: int) -> None:
    engine(project_id, 2_400, instance="10.0.0.5:8000")
    engine(project_id, 600, instance="10.0.0.5:8001")
    gpus(project_id, H100, pid=100, **at_port(8000))
    gpus(project_id, H100, pid=200, **at_port(8001))
    found = uses(project_id)
    for address, rate in (("10.0.0.5:8000", 2_400), ("10.0.0.5:8001", 600)):
        use = found[address]
        assert (use.gpus, use.gpus_shared, use.mfu_at_most) == (1, 1, mfu(rate, 1))


def test_an_engine_that_says_its_process_or_pod_is_joined_by_it(project_id: int) -> None:
    engine(project_id, 2_400, instance="a", **{"process.pid": "100"})
    engine(project_id, 600, instance="b", host="", **{"k8s.pod.uid": "pod-2"})
    # The process that is named started those that hold the GPUs.
    below: dict[str, Any] = {"gpu.process.parent_pids": "100,1"}
    for number, worker in enumerate((101, 102)):
        gpus(project_id, H100, first=number, pid=worker, **below)
    pod: dict[str, Any] = {"k8s.pod.uid": "pod-2"}
    gpus(project_id, H100, first=2, pid=300, **pod)
    found = uses(project_id)
    assert (found["a"].gpus, found["a"].strength) == (2, "pid")
    assert (found["b"].gpus, found["b"].strength) == (1, "container")


def test_an_engine_that_nothing_tells_apart_has_no_figure_though_its_neighbour_has(project_id: int) -> None:
    engine(project_id, 2_400, instance="10.0.0.5:8000")
    engine(project_id, 600, instance="llm")
    gpus(project_id, H100, pid=100, **at_port(8000))
    gpus(project_id, H100, first=1, pid=200)
    found = uses(project_id)
    assert found["10.0.0.5:8000"].mfu_at_most is not None
    assert (found["llm"].mfu_at_most, found["llm"].gpus) == (None, 0)
    assert "2 engines report" in found["llm"].reason


def test_a_program_beside_the_only_engine_of_a_host_makes_its_gpus_unknown(project_id: int) -> None:
    engine(project_id, 2_400)
    gpus(project_id, H100, pid=100)
    gpus(project_id, H100, first=1, pid=200)
    [use] = engine_use.of_engines(project_id, HOUR)
    assert use.mfu_at_most is None
    assert use.reason.startswith("2 programs hold GPUs of node-1")


@pytest.mark.parametrize(("second", "known"), [(0, True), (1, False)])
def test_a_restarted_engine_keeps_its_figure_where_it_keeps_its_gpu(project_id: int, second: int, known: bool) -> None:
    engine(project_id, 2_400, instance="10.0.0.5:8000")
    gpus(project_id, H100, pid=100, until=1_500, **at_port(8000))
    gpus(project_id, H100, first=second, pid=200, since=1_700, **at_port(8000))
    [use] = engine_use.of_engines(project_id, HOUR)
    assert (use.mfu_at_most is not None, use.gpus_shared) == (known, 0)
    assert ("changed" in use.reason) is not known


def test_an_impossible_rate_of_an_engine_is_an_error_in_the_data(project_id: int) -> None:
    engine(project_id, 1_000_000)
    gpus(project_id, "NVIDIA H100 80GB HBM3")
    [use] = engine_use.of_engines(project_id, HOUR)
    assert use.is_error
    assert (use.mfu_at_most, use.mbu_at_least) == (None, None)


@pytest.mark.django_db
def test_the_api_answers_goodput_use_and_the_calculators(traffic: int, project: Project) -> None:
    client = Client(headers={"x-api-key": ApiKey.issue(project, "test")[1]})
    hour = {"start": HOUR.start.isoformat(), "end": HOUR.end.isoformat()}

    def get(path: str, **more: Any) -> Any:
        answer = client.get(f"/api/v1/{path}", more)
        assert answer.status_code == 200, answer.content
        return json.loads(answer.content)

    assert get("goodput", **hour)["total"]["good"] == 65
    assert get("goodput", **hour, tpot_ms=0)["total"]["good"] == 75
    assert get("serving/use", **hour) == {"items": []}
    figures = {each["key"]: each for each in get("calculator", model="Llama-3.1-8B", gpu="L4")["figures"]}
    assert figures["weights"]["value"] == pytest.approx(16.06e9)
    stages = get("calculator/zero", params_b=7.5, gpus=8)["stages"]
    assert [round(each["bytes_per_gpu"] / 1e9, 1) for each in stages] == [120.0, 41.2, 28.1, 15.0]
    assert client.get("/api/v1/calculator", {"model": "x", "gpus": 0}).status_code == 400
    assert client.get("/api/v1/goodput", {**hour, "ttft_ms": 0, "tpot_ms": 0}).status_code == 400
