"""Every engine's page, scraped twice, answers with the same canonical metrics, or says why it does not."""

import math
from datetime import timedelta

import pytest

from collectors import serving as table
from collectors.serving.model import CANONICAL
from heliograph.query import serving
from heliograph.query.filters import InvalidFilterError, TimeRange
from heliograph.query.serving import InstanceMetrics, Reading, canonical, instances, merge_buckets, quantile
from tests.query.rows import START, at
from tests.serving.scrapes import emptied, page, request_of, store, two_scrapes

pytestmark = pytest.mark.usefixtures("store")
SPAN = TimeRange(START, START + timedelta(seconds=200))
LABELS = {"service.name": "llm", "service.instance.id": "gpu-1:8000"}


def only(project_id: int, span: TimeRange = SPAN, **options: object) -> InstanceMetrics:
    [found] = canonical(project_id, span, **options)  # type: ignore[arg-type]
    return found


def reading(found: InstanceMetrics, metric: str) -> Reading:
    series = found.of(metric)
    assert series.reason == ""
    [one] = series.readings
    return one


# What the pages' numbers mean, by hand: over the 100 seconds between the two scrapes.
EXPECTED: dict[str, dict[str, float]] = {
    "vllm-0.33.0": {
        "ttft": 0.31 / 3,
        "tpot": 0.071 / 3,
        "itl": 0.02,
        "e2e": 6.7 / 3,
        "queue": 0.325 / 3,
        "prefill": 0.04,
        "decode": 6.2 / 3,
        "running": 3,
        "waiting": 2,
        "kv_usage": 0.42,
        "prefix_hit": 0.25,
        "preemptions": 0.01,
        "spec_accept": 0.75,
        "batch": 521 / 3,
        "out_tok_s": 6,
        "in_tok_s": 10,
        "requests_s": 0.03,
    },
    "vllm-0.8.5": {"tpot": 0.02, "itl": 0.02, "kv_usage": 0.42, "prefix_hit": 0.25, "out_tok_s": 6},
    "sglang-0.5.23": {
        "ttft": 0.31 / 3,
        "tpot": 0.071 / 3,
        "itl": 0.02,
        "e2e": 6.7 / 3,
        "queue": 0.325 / 3,
        "running": 3,
        "waiting": 2,
        "kv_usage": 0.42,
        "prefix_hit": 0.25,
        "preemptions": 0.01,
        "spec_accept": 0.75,
        "batch": 3,
        "out_tok_s": 6,
        "in_tok_s": 10,
        "requests_s": 0.03,
    },
    "tgi-3.3.7": {
        "ttft": 0.33 / 3 + 0.12 / 3,
        "tpot": 0.03,
        "e2e": 2.2,
        "queue": 0.11,
        "prefill": 0.04,
        "running": 3,
        "waiting": 2,
        "spec_accept": 0.25,
        "batch": 2,
        "out_tok_s": 6,
        "in_tok_s": 10,
        "requests_s": 0.03,
    },
    "lorax-0.12.1": {"ttft": 0.15, "waiting": 2, "running": 3, "out_tok_s": 6, "e2e": 2.2},
    "llama.cpp-2026-05": {"tpot": 0.02, "running": 3, "waiting": 2, "batch": 2, "out_tok_s": 6, "in_tok_s": 10},
    "llama.cpp-2025-04": {"kv_usage": 0.42, "tpot": 0.02},
    "triton-trtllm": {
        "ttft": 0.31 / 3,
        "e2e": 6.7 / 4,
        "queue": 0.325 / 4,
        "running": 3,
        "waiting": 2,
        "kv_usage": 0.42,
        "batch": 2,
        "requests_s": 0.03,
    },
    "trtllm-serve-1.0": {"ttft": 0.31 / 3, "tpot": 0.071 / 3, "e2e": 6.7 / 3, "queue": 0.325 / 3, "requests_s": 0.03},
    "trtllm-serve-0.20": {"ttft": 0.31 / 3, "tpot": 0.071 / 3, "e2e": 6.7 / 3, "queue": 0.325 / 3, "requests_s": 0.03},
}
# What has no value says why, in words.
ABSENT = {
    "vllm-0.33.0": set(),
    "sglang-0.5.23": {"prefill", "decode"},
    "tgi-3.3.7": {"itl", "decode", "kv_usage", "prefix_hit", "preemptions"},
    "llama.cpp-2026-05": {
        *("ttft", "itl", "e2e", "queue", "prefill", "decode", "kv_usage", "prefix_hit", "preemptions", "spec_accept"),
        "requests_s",
    },
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_engine_s_page_gives_its_canonical_metrics(project_id: int, name: str) -> None:
    two_scrapes(project_id, name, **LABELS)
    found = only(project_id)
    assert (found.instance.service, found.instance.instance) == ("llm", "gpu-1:8000")
    assert name.startswith(found.instance.engine) or found.instance.engine == "triton"
    for metric, value in EXPECTED[name].items():
        assert reading(found, metric).value == pytest.approx(value), metric


@pytest.mark.parametrize("name", sorted(ABSENT))
def test_what_an_engine_does_not_expose_is_null_with_a_reason(project_id: int, name: str) -> None:
    two_scrapes(project_id, name, **LABELS)
    found = only(project_id)
    assert {each.metric for each in found.metrics} == {each.name for each in CANONICAL}
    assert {each.metric for each in found.metrics if each.reason} == ABSENT[name]
    assert all(not each.readings for each in found.metrics if each.reason)


def test_a_histogram_gives_quantiles_from_its_buckets(project_id: int) -> None:
    two_scrapes(project_id, "vllm-0.33.0", **LABELS)
    ttft = reading(only(project_id), "ttft")
    assert (ttft.count, ttft.is_beyond) == (3, False)
    # 0.03, 0.08 and 0.2 lie in (0.01, 0.05], (0.05, 0.1] and (0.1, 0.25]; the median is halfway through the second.
    assert ttft.p50 == pytest.approx(0.075)
    assert ttft.p99 == pytest.approx(0.1 + 0.15 * 0.97)


def test_histograms_of_two_series_are_added_before_any_quantile(project_id: int) -> None:
    two_scrapes(project_id, "vllm-0.33.0", **LABELS)
    slow = page("vllm-0.33.0").replace(b'engine="0"', b'engine="1"')
    request = request_of(slow, 100, **LABELS)
    begun = request_of(slow, 0, **LABELS)
    store(project_id, emptied(begun))
    store(project_id, request)
    found = only(project_id)
    assert reading(found, "ttft").count == 6
    assert reading(found, "running").value == 6
    # A share is a mean over the engines of one process, never their sum.
    assert reading(found, "kv_usage").value == pytest.approx(0.42)


def test_tgi_s_ttft_is_a_lower_bound_without_quantiles(project_id: int) -> None:
    two_scrapes(project_id, "tgi-3.3.7", **LABELS)
    series = only(project_id).of("ttft")
    assert series.bound == "lower"
    assert series.sources == ("tgi_request_queue_duration", "tgi_batch_inference_duration")
    assert series.readings[0].p99 is None


def test_lorax_has_a_queue_of_its_own_name_and_no_adapter_label(project_id: int) -> None:
    two_scrapes(project_id, "lorax-0.12.1", **LABELS)
    found = only(project_id)
    assert found.of("waiting").sources == ("lorax_queue_length",)
    assert b"adapter" not in page("lorax-0.12.1").partition(b"\n")[2]


def test_vllm_s_lora_requests_info_counts_no_adapter() -> None:
    # 0.33.0 writes every adapter into both labels, running or not.
    assert b'running_lora_adapters="sql,support"' in page("vllm-0.33.0")
    assert "vllm:lora_requests_info" not in table.BY_NAME["vllm"].needed


def test_sglang_s_hit_rate_comes_from_counters_not_from_its_gauge(project_id: int) -> None:
    two_scrapes(project_id, "sglang-0.5.23", **LABELS)
    assert b"sglang:cache_hit_rate{" in page("sglang-0.5.23")
    hit = only(project_id).of("prefix_hit")
    assert hit.sources == ("sglang:cached_tokens_total", "sglang:prompt_tokens_total")
    assert hit.readings[0].value == pytest.approx(0.25)


def test_a_renamed_metric_is_read_by_its_version(project_id: int) -> None:
    # The gap between tokens, under the name that the newest version took for the time of a whole request's tokens.
    two_scrapes(project_id, "vllm-0.8.5", **LABELS, **{table.VERSION_KEY: "0.33.0"})
    found = only(project_id)
    assert found.instance.version == "0.33.0"
    assert found.of("kv_usage").reason.startswith("no samples of vllm:kv_cache_usage_perc")


def test_an_old_version_s_names_are_read_where_no_version_is_stated(project_id: int) -> None:
    two_scrapes(project_id, "vllm-0.8.5", **LABELS)
    assert only(project_id).of("kv_usage").sources == ("vllm:gpu_cache_usage_perc",)


def test_a_counter_that_began_again_tells_nothing_below_zero(project_id: int) -> None:
    two_scrapes(project_id, "vllm-0.33.0", **LABELS)
    store(project_id, emptied(request_of(page("vllm-0.33.0"), 150, **LABELS)))
    found = only(project_id, step_s=50)
    rates = found.of("out_tok_s").readings
    assert [each.reason for each in rates] == [
        "one sample only: a counter needs two",
        "no samples",
        "",
        "counter reset",
    ]
    assert rates[2].value == pytest.approx(6)
    ttft = found.of("ttft").readings
    assert [each.reason for each in ttft][2:] == ["", "counter reset"]
    # Over the whole range the restart's step is left out of the rate and its time.
    assert reading(only(project_id), "out_tok_s").value == pytest.approx(6)


def test_a_restart_that_no_value_shows_is_known_by_its_start_time(project_id: int) -> None:
    first, second = (request_of(page("vllm-0.33.0"), seconds, **LABELS) for seconds in (0, 100))
    for metric in second.resource_metrics[0].scope_metrics[0].metrics:
        for point in (*metric.sum.data_points, *metric.histogram.data_points):
            point.start_time_unix_nano = at(50)
    store(project_id, first)
    store(project_id, second)
    found = only(project_id)
    assert reading(found, "ttft").count == 3
    assert reading(found, "out_tok_s").reason == "counter reset"


def test_a_time_without_requests_has_no_latency_and_says_so(project_id: int) -> None:
    request = request_of(page("vllm-0.33.0"), 0, **LABELS)
    store(project_id, request)
    store(project_id, request_of(page("vllm-0.33.0"), 100, **LABELS))
    found = only(project_id)
    for metric in ("ttft", "prefix_hit", "spec_accept"):
        assert (reading(found, metric).value, reading(found, metric).reason) == (
            None,
            "nothing was counted in this time",
        )
    assert reading(found, "out_tok_s").value == 0


def test_metrics_that_came_by_otlp_without_endings_are_the_same(project_id: int) -> None:
    request = request_of(page("vllm-0.33.0"), 100, **LABELS)
    for each in (emptied(request_of(page("vllm-0.33.0"), 0, **LABELS)), request):
        for metric in each.resource_metrics[0].scope_metrics[0].metrics:
            metric.name = metric.name.removesuffix("_total").replace(":", "_")
        store(project_id, each)
    found = only(project_id)
    assert reading(found, "out_tok_s").value == pytest.approx(6)
    assert reading(found, "prefix_hit").value == pytest.approx(0.25)
    assert reading(found, "ttft").count == 3


def test_two_instances_stay_apart_and_each_names_its_model(project_id: int) -> None:
    two_scrapes(project_id, "vllm-0.33.0", **LABELS)
    two_scrapes(project_id, "sglang-0.5.23", **(LABELS | {"service.instance.id": "gpu-2:30000"}))
    found = instances(project_id, SPAN)
    assert [(each.engine, each.instance, each.models) for each in found] == [
        ("sglang", "gpu-2:30000", ("Qwen/Qwen3-8B",)),
        ("vllm", "gpu-1:8000", ("meta-llama/Llama-3.1-8B-Instruct",)),
    ]
    assert [each.instance.engine for each in canonical(project_id, SPAN, engine="vllm")] == ["vllm"]
    assert canonical(project_id, SPAN, service="another") == []


@pytest.mark.parametrize(
    ("options", "field"), [({"metrics": ["speed"]}, "metric"), ({"step_s": 0}, "step"), ({"step_s": 1}, "start")]
)
def test_a_question_that_may_not_be_asked_says_what_is_wrong(project_id: int, options: dict, field: str) -> None:
    span = TimeRange(START - timedelta(days=8), START) if field == "start" else SPAN
    with pytest.raises(InvalidFilterError) as caught:
        canonical(project_id, span, **options)
    assert caught.value.field == field


def test_no_engine_needs_a_name_of_another() -> None:
    for engine in table.ENGINES:
        for name in engine.needed:
            assert table.engine_of(name) in (engine, None), name
        assert set(engine.ways) <= {each.name for each in CANONICAL}


def test_a_quantile_beyond_the_last_bound_says_that_it_is_at_least_that() -> None:
    assert quantile(0.99, [1.0, 2.0], [1, 1, 8]) == (2.0, True)
    assert quantile(0.5, [1.0, 2.0], [10, 0, 0]) == (0.5, False)


def test_histograms_with_other_bounds_are_added_over_those_they_share() -> None:
    assert merge_buckets([([1.0, 2.0, 4.0], [1, 1, 1, 1]), ([2.0, 4.0], [5, 0, 1])]) == ([2.0, 4.0], [7, 1, 2])
    assert merge_buckets([([1.0], [1, 1]), ([2.0], [1, 1])]) is None
    assert merge_buckets([]) is None


def test_every_reading_is_finite_or_none(project_id: int) -> None:
    for name in EXPECTED:
        two_scrapes(project_id, name, **{"service.name": name, "service.instance.id": name})
    for found in canonical(project_id, SPAN, step_s=10):
        for series in found.metrics:
            for one in series.readings:
                assert all(math.isfinite(each) for each in (one.value, one.p50, one.p95, one.p99) if each is not None)
                assert (one.value is None) == bool(one.reason)


def test_the_largest_range_and_most_instances_are_bounded() -> None:
    assert serving.MAX_INSTANCES * len(CANONICAL) * 100 < serving.MAX_ROWS
