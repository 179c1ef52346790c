"""LoRA adapters: which are used, which calls waited for one, and what a token costs by how many are in use."""

import json
import random
from collections import OrderedDict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from heliograph.accounts.models import ApiKey, GpuPrice, Project
from heliograph.query import adapter_cost, adapters, residency
from heliograph.query.attribution import Price
from heliograph.query.facets import facets
from heliograph.query.filters import InvalidFilterError, RollupFilter
from heliograph.query.overview import breakdown
from heliograph.query.spans import list_spans
from tests.query.rows import HOUR, START, at, llm, new_trace_id, span, spans_in_hour, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")
MS = 10**6
ROLLUP = RollupFilter(range=HOUR)


@pytest.fixture
def used(project_id: int) -> int:
    """Adapter a-1 is called once, a-2 twice, ... a-6 six times, and the base thrice."""
    rows = []
    for number in range(1, 7):
        for minute in range(number):
            rows.append(
                llm(
                    new_trace_id(),
                    minute * 60,
                    model="llama",
                    adapter=f"a-{number}",
                    output_tokens=10,
                    ttft_ns=number * MS,
                )
            )
    rows += [llm(new_trace_id(), 1, model="llama", adapter="") for _ in range(3)]
    # A tool and a root are no calls of a model.
    rows += [span(new_trace_id(), 1), span(new_trace_id(), 2, kind="tool")]
    store_spans(project_id, *rows)
    return project_id


def test_the_most_used_are_named_and_the_others_added_up(used: int) -> None:
    rows = adapters.by_adapter(used, ROLLUP, top=2)
    said = [(row.place, row.adapter, row.adapters, row.measures.requests) for row in rows]
    assert said == [("adapter", "a-6", 1, 6), ("adapter", "a-5", 1, 5), ("other", "", 4, 10), ("none", "", 1, 3)]
    assert rows[0].models == ("llama",)
    assert rows[0].measures.ttft_p50_ns == pytest.approx(6 * MS)
    assert rows[2].measures.output_tokens == 100


def test_calls_over_time_add_up_to_the_table(used: int) -> None:
    table = {(row.place, row.adapter): row.measures.requests for row in adapters.by_adapter(used, ROLLUP, top=3)}
    lines = adapters.over_time(used, ROLLUP, top=3, buckets=60)
    assert {
        (line.place, line.adapter): sum(p.measures.requests for p in line.points if p.measures) for line in lines
    } == table
    assert {len(line.points) for line in lines} == {60}


@pytest.mark.parametrize("top", [0, adapters.MAX_TOP + 1])
def test_a_table_of_no_size_is_refused(project_id: int, top: int) -> None:
    with pytest.raises(InvalidFilterError):
        adapters.by_adapter(project_id, ROLLUP, top=top)


def test_an_adapter_is_a_filter_a_facet_and_a_group_everywhere(used: int) -> None:
    assert len(list_spans(used, spans_in_hour(adapter=("a-2",))).items) == 2
    assert [each.value for each in facets(used, ROLLUP)["adapter"]][:2] == ["a-6", "a-5"]
    only = RollupFilter(range=HOUR, adapter=("a-4",))
    assert [(group.value, group.measures.requests) for group in breakdown(used, only, "adapter")] == [("a-4", 4)]


def timed(trace_id: str, seconds: float, adapter: str, overhead_ms: float, **fields: Any) -> dict[str, Any]:
    """An engine's span that queued 5 ms and read its prompt for 20 ms."""
    ttft = round((25 + overhead_ms) * MS)
    row = llm(trace_id, seconds, model="llama", adapter=adapter, ttft_ns=ttft, queue_ns=5 * MS, prefill_ns=20 * MS)
    return row | {"service_instance_id": "engine-1", "host": "node-1"} | fields


def served(slots: int, load_ms: float, count: int = 3_000) -> tuple[list[residency.Call], list[bool]]:
    """Calls of 12 adapters on an engine with room for `slots` of them, and which of the calls loaded theirs."""
    chance = random.Random(5)
    resident: OrderedDict[str, None] = OrderedDict()
    calls, loaded = [], []
    now = 0.0
    for number in range(count):
        now += chance.expovariate(1 / 0.8)
        adapter = f"a-{chance.choices(range(12), [2 ** -(n / 2) for n in range(12)])[0]}"
        loaded.append(adapter not in resident)
        resident[adapter] = None
        resident.move_to_end(adapter)
        if len(resident) > slots:
            resident.popitem(last=False)
        overhead = chance.gauss(4, 0.7) + (load_ms * chance.uniform(0.7, 1.3) if loaded[-1] else 0)
        calls.append(
            residency.Call(
                adapter=adapter,
                engine=("vllm", "node-1", "1"),
                trace_id=f"{number:032x}",
                span_id=f"{number:016x}",
                start_ns=round(now * 1e9),
                ttft_ns=round((25 + overhead) * MS),
                overhead_ns=round(overhead * MS),
            )
        )
    return calls, loaded


def test_loads_are_found_by_what_the_queue_and_the_prefill_do_not_explain() -> None:
    calls, loaded = served(slots=8, load_ms=300)
    verdicts = residency.classify(calls)
    cold = [each.residency == "cold" for each in verdicts]
    found = sum(a and b for a, b in zip(cold, loaded, strict=True))
    assert found / sum(loaded) > 0.95
    assert found / sum(cold) > 0.95
    loads = sorted(each.load_ns for each in verdicts if each.residency == "cold" and each.load_ns is not None)
    assert loads[len(loads) // 2] == pytest.approx(300 * MS, rel=0.15)


def test_an_engine_that_holds_every_adapter_has_no_cold_calls_but_the_first() -> None:
    calls, loaded = served(slots=12, load_ms=300)
    cold = sum(each.residency == "cold" for each in residency.classify(calls))
    assert sum(loaded) == 12
    assert cold == 12


def test_without_enough_warm_calls_nothing_is_judged() -> None:
    calls, _ = served(slots=12, load_ms=300, count=10)
    verdicts = residency.classify(calls)
    assert "cold" not in {each.residency for each in verdicts}
    assert residency.FEW_WARM in {each.reason for each in verdicts}


def test_an_engines_span_takes_the_adapter_of_the_call_above_it(project_id: int) -> None:
    rows = []
    for number in range(30):
        trace_id = new_trace_id()
        client = llm(trace_id, number * 1.5, model="sql-lora", adapter="sql-lora")
        http = span(trace_id, number * 1.5 + 0.001, parent_span_id=client["span_id"], kind="other", name="POST")
        engine = timed(trace_id, number * 1.5 + 0.002, "", 3, parent_span_id=http["span_id"])
        rows += [client, http, engine]
    late = new_trace_id()
    above = llm(late, 400, model="sql-lora", adapter="sql-lora")
    rows += [above, timed(late, 400.1, "", 900, parent_span_id=above["span_id"])]
    # Of another trace, without an adapter: the base's.
    rows.append(timed(new_trace_id(), 401, "", 5_000))
    store_spans(project_id, *rows)
    found = residency.residency(project_id, HOUR)
    [row] = found.adapters
    assert (row.adapter, row.calls, row.warm, row.cold, row.unknown) == ("sql-lora", 31, 30, 1, 0)
    assert row.load_p50_ns == pytest.approx(897 * MS, rel=0.01)
    assert found.slowest[0].trace_id == late
    assert not found.is_cut


def test_what_a_span_states_goes_before_the_rule(project_id: int) -> None:
    stated = (
        timed(new_trace_id(), 1, "a", 1, attributes={"lora.residency": "remote", "lora.load_time": "2.5"}),
        timed(new_trace_id(), 200, "a", 900, attributes={"lora.residency": "gpu"}),
        llm(new_trace_id(), 400, adapter="a")
        | {"events.time": [at(400)], "events.name": ["lora.load"], "events.attributes": [{"lora.load_time": "0.5"}]},
        llm(new_trace_id(), 600, adapter="a"),
    )
    for row in stated:
        store_spans(project_id, row)
    [row] = residency.residency(project_id, HOUR).adapters
    assert (row.warm, row.cold, row.unknown, row.stated) == (1, 2, 1, 3)
    assert (row.load_p50_ns, row.load_p95_ns) == (pytest.approx(1.5e9), pytest.approx(2.4e9))
    assert row.reason == residency.NO_TIMES


def share(minute: int, adapter: str, trace_id: str = "", seconds: float = 30.0, **fields: Any) -> dict[str, Any]:
    span_id = "" if not trace_id else "e" * 16
    return {
        "minute": START + timedelta(minutes=minute),
        "gpu_uuid": "GPU-0",
        "version": 1,
        "trace_id": trace_id,
        "span_id": span_id,
        "span_ids": [span_id] if span_id else [],
        "model": "llama",
        "adapter": adapter,
        "gpu_seconds": seconds,
        "joules": None,
        "joules_low": None,
        "joules_high": None,
        "unmetered_seconds": seconds,
        "retention_days": 90,
    } | fields


@pytest.fixture
def shared_out(project_id: int) -> int:
    """In minute 0 one adapter is in use, in minute 10 three are; each request reads and writes 100 tokens."""
    shares, spans = [], []
    for minute, adapters_in_use in ((0, ["a"]), (10, ["a", "b", "c"])):
        for adapter in adapters_in_use:
            trace_id = new_trace_id()
            shares.append(share(minute, adapter, trace_id, seconds=12))
            spans.append(
                llm(trace_id, minute * 60, span_id="e" * 16, adapter=adapter, input_tokens=60, output_tokens=40)
            )
        shares.append(share(minute, "", seconds=60 - 12 * len(adapters_in_use)))
    # A GPU that served no adapter is no part of it.
    shares.append(share(0, "", new_trace_id(), seconds=60, gpu_uuid="GPU-1"))
    windows = [
        {"minute": START + timedelta(minutes=minute), "gpu_uuid": gpu, "version": 1, "retention_days": 90}
        for minute, gpu in ((0, "GPU-0"), (10, "GPU-0"), (0, "GPU-1"))
    ]
    store_rows(project_id, "attributions", shares)
    store_rows(project_id, "attribution_windows", windows)
    store_spans(project_id, *spans)
    return project_id


PRICE = Price(valid_from=START - timedelta(days=1), usd_per_gpu_hour=Decimal(6))


def test_a_token_costs_less_the_more_adapters_share_the_gpu(shared_out: int) -> None:
    found = adapter_cost.cost_by_active_adapters(shared_out, HOUR, [PRICE], step_s=300)
    assert [(step.adapters, step.input_tokens, step.output_tokens, step.gpu_seconds) for step in found.steps] == [
        (1, 60, 40, pytest.approx(60)),
        (3, 180, 120, pytest.approx(60)),
    ]
    # A minute of a GPU at 6 USD an hour is 0.1 USD, idle time included.
    assert [(group.fewest, group.most, group.usd_per_million) for group in found.groups] == [
        (1, 1, Decimal("1000.000000")),
        (3, 3, Decimal("333.333333")),
    ]
    assert found.reason == ""


def test_without_a_price_or_without_gpus_the_cost_is_unknown_and_says_why(shared_out: int) -> None:
    unpriced = adapter_cost.cost_by_active_adapters(shared_out, HOUR, step_s=300)
    assert not unpriced.groups
    assert "price per GPU-hour" in unpriced.reason
    assert unpriced.unpriced_gpu_seconds == pytest.approx(120)
    nothing = adapter_cost.cost_by_active_adapters(shared_out, HOUR, [PRICE], step_s=300, model=("other",))
    assert nothing.steps == ()
    assert "joined to a GPU" in nothing.reason


def test_a_price_that_begins_in_the_middle_leaves_the_steps_before_it_out(shared_out: int) -> None:
    late = Price(valid_from=START + timedelta(minutes=5), usd_per_gpu_hour=Decimal(6))
    found = adapter_cost.cost_by_active_adapters(shared_out, HOUR, [late], step_s=300)
    assert [(step.adapters, step.usd_per_million is None) for step in found.steps] == [(1, True), (3, False)]
    assert [group.fewest for group in found.groups] == [3]


@pytest.mark.parametrize("step_s", [59, 90, 0])
def test_steps_are_whole_minutes(project_id: int, step_s: int) -> None:
    with pytest.raises(InvalidFilterError):
        adapter_cost.cost_by_active_adapters(project_id, HOUR, step_s=step_s)


@pytest.mark.django_db
def test_the_api_answers_all_three(shared_out: int, project: Project) -> None:
    GpuPrice.objects.create(project=project, valid_from=PRICE.valid_from, usd_per_gpu_hour=6)
    client = Client(headers={"x-api-key": ApiKey.issue(project, "test")[1]})
    hour = {"start": HOUR.start.isoformat(), "end": HOUR.end.isoformat()}

    def get(path: str, **more: Any) -> Any:
        answer = client.get(f"/api/v1/{path}", {**hour, **more})
        assert answer.status_code == 200, answer.content
        return json.loads(answer.content)

    body = get("adapters", top=1)
    assert [(row["place"], row["adapter"], row["measures"]["requests"]) for row in body["items"]] == [
        ("adapter", "a", 2),
        ("other", "", 2),
    ]
    assert len(body["series"]) == 2
    assert [row["adapter"] for row in get("adapters/residency", adapter="a")["adapters"]] == ["a"]
    assert get("adapters/cost", step=300)["groups"][0]["usd_per_million"] == "1000.000000000000"
    assert len(get("spans", adapter="a")["items"]) == 2
    assert client.get("/api/v1/adapters", {**hour, "top": 0}).status_code == 400
