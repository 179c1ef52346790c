"""Pages of metrics: what each kind becomes, what is refused by line, and that no bytes raise."""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collectors.otlp import metrics
from collectors.otlp.limits import Limits
from collectors.prometheus.otlp import add_gauge, to_request
from collectors.prometheus.page import OPENMETRICS, PageLimits, read_page
from tests.collectors.build import NOW
from tests.collectors.tables import misfits

SECOND = 10**9


def rows(text: str | bytes, content_type: str = "", limits: PageLimits | None = None) -> list[dict[str, Any]]:
    """The page's rows as the store gets them."""
    page = read_page(text.encode() if isinstance(text, str) else text, content_type, limits)
    request = to_request(page, {"service.name": "llm"}, NOW)
    found = metrics.decode(request.SerializeToString(), content_type="protobuf", limits=Limits(), now_ns=NOW)
    names = list(found.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*found.columns.values(), strict=True)]


def one(text: str, content_type: str = "") -> dict[str, Any]:
    [row] = rows(text, content_type)
    return row


def test_a_gauge_keeps_its_name_labels_and_value() -> None:
    row = one('# TYPE kv_usage gauge\nkv_usage{model="a\\"b",engine="0"} 0.5\n')
    assert (row["metric"], row["type"], row["value"]) == ("kv_usage", "gauge", 0.5)
    assert row["attributes"] == {"model": 'a"b', "engine": "0"}
    assert (row["service"], row["time"]) == ("llm", NOW)


@pytest.mark.parametrize("name", ["tokens_total", "tgi_request_count"])
def test_a_counter_is_a_cumulative_sum_under_the_page_s_own_name(name: str) -> None:
    row = one(f"# TYPE {name} counter\n{name} 7\n")
    assert (row["metric"], row["type"], row["temporality"], row["is_monotonic"]) == (name, "sum", "cumulative", True)
    assert row["value"] == 7.0
    # Unknown: the point's own time, which the queries take for no restart.
    assert row["start_time"] == row["time"]


def test_a_histogram_keeps_its_buckets_as_explicit_bounds() -> None:
    row = one(
        "# TYPE ttft_seconds histogram\n"
        'ttft_seconds_bucket{le="0.1"} 2\nttft_seconds_bucket{le="1.0"} 5\nttft_seconds_bucket{le="+Inf"} 6\n'
        "ttft_seconds_sum 4.5\nttft_seconds_count 6\n"
    )
    assert (row["metric"], row["type"], row["unit"]) == ("ttft_seconds", "histogram", "s")
    assert (row["bounds"], row["bucket_counts"], row["count"], row["sum"]) == ([0.1, 1.0], [2, 3, 1], 6, 4.5)


def test_a_summary_keeps_its_quantiles() -> None:
    row = one('# TYPE d summary\nd{quantile="0.5"} 1\nd{quantile="0.9"} 3\nd_sum 10\nd_count 4\n')
    assert (row["type"], row["count"], row["sum"], row["bounds"]) == ("summary", 4, 10.0, [0.5, 0.9, 1.0, 3.0])


def test_info_states_and_unknown_types_are_gauges() -> None:
    text = (
        '# TYPE build info\nbuild_info{version="1"} 1\n'
        '# TYPE state stateset\nstate{state="on"} 1\n# TYPE odd unknown\nodd 3\n# EOF\n'
    )
    found = rows(text, OPENMETRICS)
    assert [(row["metric"], row["type"], row["value"]) for row in found] == [
        ("build_info", "gauge", 1.0),
        ("state", "gauge", 1.0),
        ("odd", "gauge", 3.0),
    ]


def test_openmetrics_brings_exemplars_and_start_times() -> None:
    began = NOW // SECOND - 60
    text = (
        "# TYPE wait_seconds histogram\n# UNIT wait_seconds seconds\n"
        f'wait_seconds_bucket{{le="1.0"}} 1 # {{trace_id="{"ab" * 16}",span_id="{"cd" * 8}"}} 0.7 {NOW // SECOND}\n'
        'wait_seconds_bucket{le="+Inf"} 1\nwait_seconds_sum 0.7\nwait_seconds_count 1\n'
        f"wait_seconds_created {began}\n# EOF\n"
    )
    row = one(text, f"{OPENMETRICS}; version=1.0.0; charset=utf-8")
    assert row["start_time"] == began * SECOND
    assert (row["exemplars.trace_id"], row["exemplars.span_id"]) == (["ab" * 16], ["cd" * 8])
    assert (row["exemplars.value"], row["exemplars.time"]) == ([0.7], [NOW // SECOND * SECOND])


def test_the_older_text_brings_start_times_as_gauges_of_their_own() -> None:
    began = NOW // SECOND - 60
    row = one(f"# TYPE c_total counter\nc_total 3\n# TYPE c_created gauge\nc_created {began}\n")
    assert (row["metric"], row["start_time"]) == ("c_total", began * SECOND)


def test_a_page_that_only_says_it_is_openmetrics_is_read_all_the_same() -> None:
    page = read_page(b"# TYPE a counter\na_total 1\nb 2\n", OPENMETRICS)
    assert page.samples == 2
    assert "no OpenMetrics" in page.errors[0].reason


def test_one_bad_line_costs_itself_and_is_named() -> None:
    text = "# TYPE a gauge\na 1\nb{ 2\n# TYPE c counter\nc_total 3\nnot a number x\n"
    page = read_page(text.encode())
    assert [(each.line, each.reason[-20:]) for each in page.errors] == [
        (3, page.errors[0].reason[-20:]),
        (6, page.errors[1].reason[-20:]),
    ]
    assert "'b{ 2'" in page.errors[0].reason
    assert sorted(row["metric"] for row in rows(text)) == ["a", "c_total"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('# TYPE h histogram\nh_bucket{le="1"} 5\nh_bucket{le="+Inf"} 3\n', "fall"),
        ('# TYPE h histogram\nh_bucket{le="x"} 5\n', "no number"),
        ('# TYPE h histogram\nh_bucket{le="1"} 5\n', "no +Inf"),
        ('# TYPE h histogram\nh_bucket{le="+Inf"} NaN\n', "count of nan"),
        ("a " + "9" * 400 + "\n", "no number holds"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused_by_name(text: str, reason: str) -> None:
    page = read_page(text.encode())
    assert not metrics_of(page)
    assert reason in page.errors[0].reason


def metrics_of(page: Any) -> list[Any]:
    return list(to_request(page, {}, NOW).resource_metrics[0].scope_metrics[0].metrics)


@pytest.mark.parametrize(
    ("limits", "kept", "reason"),
    [
        (PageLimits(max_bytes=10), 0, "larger than 10 bytes"),
        (PageLimits(max_samples=1), 1, "more than 1 samples"),
        (PageLimits(max_labels=1), 1, "more than 1 labels"),
        (PageLimits(max_label_chars=2), 1, "a label longer than 2"),
        (PageLimits(max_line_chars=12), 1, "longer than 12 characters"),
    ],
)
def test_every_cap_is_named(limits: PageLimits, kept: int, reason: str) -> None:
    page = read_page(b'a 1\nbb{x="123",y="4"} 2\n', limits=limits)
    assert page.samples == kept
    assert reason in page.errors[0].reason


def test_a_million_bad_lines_keep_a_handful_of_errors() -> None:
    page = read_page(b"{{{\n" * 50_000)
    assert page.error_count == 50_000
    assert len(page.errors) == PageLimits().max_errors


def test_the_scraper_s_own_numbers_stand_beside_the_page_s() -> None:
    request = to_request(read_page(b""), {"service.name": "llm"}, NOW)
    add_gauge(request, "up", "1", 0.0, NOW)
    found = metrics.decode(request.SerializeToString(), content_type="protobuf", limits=Limits(), now_ns=NOW)
    assert (found.columns["metric"], found.columns["value"]) == (["up"], [0.0])


NAMES = ["a", "a_total", "a_bucket", "a_sum", "a_count", "a_created", "a_info", "é", "{", "DCGM_FI_DEV_GPU_TEMP"]
lines = st.one_of(
    st.text(max_size=40),
    st.builds(
        lambda name, labels, value, rest: f"{name}{labels} {value}{rest}",
        st.sampled_from(NAMES),
        st.sampled_from(
            ["", '{le="1"}', '{le="+Inf"}', '{quantile="0.5"}', '{x="\\n\\"y"}', "{", '{le="NaN"}', '{"a"}']
        ),
        st.one_of(st.floats().map(str), st.integers().map(str), st.sampled_from(["+Inf", "NaN", "1_0", ""])),
        st.sampled_from(["", " 1", " -1e300", ' # {trace_id="ab"} 1', ' # {trace_id="' + "a" * 32 + '"} 1 1e400']),
    ),
    st.builds(
        lambda word, name, kind: f"# {word} {name} {kind}",
        st.sampled_from(["TYPE", "HELP", "UNIT", "EOF"]),
        st.sampled_from(NAMES),
        st.sampled_from(
            ["counter", "gauge", "histogram", "summary", "info", "stateset", "gaugehistogram", "untyped", "x"]
        ),
    ),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(lines, max_size=12).map("\n".join), st.sampled_from(["", OPENMETRICS, "text/html"]))
@example("# TYPE a counter\na_total 1 " + "9" * 400, OPENMETRICS)
@example('# TYPE a histogram\na_bucket{le="1"} 18446744073709551615\na_count 1e308', "")
def test_any_page_becomes_rows_that_the_table_takes(text: str, content_type: str) -> None:
    for row in rows(text, content_type):
        assert misfits("0005_metric_points.sql", row) == {}
        assert row["value"] is None or math.isfinite(row["value"])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["", OPENMETRICS]))
def test_any_bytes_become_a_page(body: bytes, content_type: str) -> None:
    page = read_page(body, content_type)
    to_request(page, {}, NOW).SerializeToString()
