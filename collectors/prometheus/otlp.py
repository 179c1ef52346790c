"""Families of samples to an OTLP request, so that a scraped point goes the way of a sent one.

Counters become cumulative monotonic sums under the name that the page gives them, histograms get explicit bounds,
summaries their quantiles; info, state sets and unknown types become gauges. `_created` of OpenMetrics is the start
time; where a page has none the start is unknown and left out.
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import SupportsFloat

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from prometheus_client import Metric
from prometheus_client.samples import Exemplar, Sample

from collectors.prometheus.page import Page, PageLimits

SCOPE = "heliograph.scrape"
_CUMULATIVE = pb.AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_UNITS = {"seconds": "s", "bytes": "By", "ratio": "1", "joules": "J", "celsius": "Cel", "watts": "W", "hertz": "Hz"}
_MAX_UINT64 = 2**64 - 1
_HEX = re.compile(r"[0-9a-fA-F]+")
Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Group:
    """The samples of one histogram or summary: those that share all labels but `le` or `quantile`."""

    pairs: list[tuple[float, float]] = field(default_factory=list)
    count: float | None = None
    sum: float | None = None
    created: float | None = None
    at: SupportsFloat | None = None
    exemplars: list[Exemplar] = field(default_factory=list)


def to_request(
    page: Page, resource: Mapping[str, str], now_ns: int, limits: PageLimits | None = None
) -> ExportMetricsServiceRequest:
    """Return the page's samples as a request. `now_ns` is the time of samples without one.

    A family that is no histogram though it says so is left out and named in `page.errors`.
    """
    limits = limits or PageLimits()
    request = ExportMetricsServiceRequest()
    into = request.resource_metrics.add()
    into.resource.attributes.extend(_attributes(resource.items()))
    scope = into.scope_metrics.add()
    scope.scope.name = SCOPE
    created = _created(page.families)
    for family in page.families:
        _READERS.get(family.type, _gauges)(scope, family, page, now_ns, created, limits)
    return request


def add_gauge(request: ExportMetricsServiceRequest, name: str, unit: str, value: float, now_ns: int) -> None:
    """Add a number that the scraper itself measured."""
    metric = request.resource_metrics[0].scope_metrics[0].metrics.add(name=name, unit=unit)
    metric.gauge.data_points.add(time_unix_nano=now_ns, as_double=value)


def _attributes(pairs: Iterable[tuple[str, str]]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in pairs]


def _created(families: list[Metric]) -> dict[tuple[str, Labels], float]:
    """Return the start times by family and labels: samples in OpenMetrics, gauges of their own in the older text."""
    found: dict[tuple[str, Labels], float] = {}
    for family in families:
        for sample in family.samples:
            if sample.name.endswith("_created") and math.isfinite(sample.value):
                found[sample.name.removesuffix("_created"), _labels(sample)] = sample.value
    return found


def _labels(sample: Sample, without: str = "") -> Labels:
    return tuple(sorted((key, value) for key, value in sample.labels.items() if key != without))


def _ns(seconds: SupportsFloat | None, otherwise: int) -> int:
    """Return nanoseconds to the millisecond that pages give; `otherwise` for what is no moment."""
    if seconds is None:
        return otherwise
    try:
        number = float(seconds)
    except OverflowError:
        return otherwise
    # NaN is in no interval; 2**33 is in the year 2242.
    return round(number * 1_000) * 1_000_000 if 0 < number < 2**33 else otherwise


def _unit(family: Metric) -> str:
    if family.unit:
        return _UNITS.get(family.unit, family.unit)
    last = family.name.rpartition("_")[2]
    return _UNITS.get(last, "")


_Context = dict[tuple[str, Labels], float]


def _gauges(
    scope: pb.ScopeMetrics, family: Metric, page: Page, now_ns: int, created: _Context, limits: PageLimits
) -> None:
    by_name: dict[str, pb.Metric] = {}
    for sample in family.samples:
        if sample.name.endswith("_created"):
            continue
        metric = by_name.get(sample.name)
        if metric is None:
            metric = by_name[sample.name] = scope.metrics.add(name=sample.name, unit=_unit(family))
        metric.gauge.data_points.add(
            time_unix_nano=_ns(sample.timestamp, now_ns),
            as_double=float(sample.value),
            attributes=_attributes(sample.labels.items()),
        )


def _counters(
    scope: pb.ScopeMetrics, family: Metric, page: Page, now_ns: int, created: _Context, limits: PageLimits
) -> None:
    metric = None
    for sample in family.samples:
        if sample.name.endswith("_created"):
            continue
        if metric is None:
            # The library ends a counter in `_total` where the page does not.
            name = family.name if family.name in page.plain_counters else sample.name
            metric = scope.metrics.add(name=name, unit=_unit(family))
            metric.sum.aggregation_temporality = _CUMULATIVE
            metric.sum.is_monotonic = True
        at = _ns(sample.timestamp, now_ns)
        point = metric.sum.data_points.add(
            time_unix_nano=at,
            start_time_unix_nano=_start(created.get((family.name, _labels(sample))), at),
            as_double=float(sample.value),
            attributes=_attributes(sample.labels.items()),
        )
        if sample.exemplar is not None:
            _add_exemplar(point.exemplars.add(), sample.exemplar, at)


def _start(created: float | None, at: int) -> int:
    """Return the start, 0 where it is unknown or behind the sample."""
    start = _ns(created, 0)
    return start if start < at else 0


def _groups(family: Metric, key: str) -> dict[Labels, _Group]:
    groups: dict[Labels, _Group] = {}
    for sample in family.samples:
        labels = _labels(sample, without=key)
        group = groups.setdefault(labels, _Group())
        suffix = sample.name.removeprefix(family.name)
        value = float(sample.value)
        if suffix == "_count":
            group.count = value
        elif suffix == "_sum":
            group.sum = value
        elif suffix == "_created":
            group.created = value
        elif key in sample.labels:
            group.pairs.append((float(sample.labels[key]), value))
        if sample.timestamp is not None:
            group.at = sample.timestamp
        if sample.exemplar is not None:
            group.exemplars.append(sample.exemplar)
    return groups


def _histograms(
    scope: pb.ScopeMetrics, family: Metric, page: Page, now_ns: int, created: _Context, limits: PageLimits
) -> None:
    try:
        groups = _groups(family, "le")
    except (ValueError, OverflowError) as error:
        page.add_error(0, f"{family.name[:80]}: a bucket whose bound is no number: {error}", limits)
        return
    metric = None
    for labels, group in groups.items():
        if not group.pairs and group.count is None:
            # The `_created` gauge of the older text, or a family without a sample.
            continue
        try:
            bounds, counts = _buckets(group)
        except ValueError as error:
            page.add_error(0, f"{family.name[:80]}: {error}", limits)
            continue
        if metric is None:
            metric = scope.metrics.add(name=family.name, unit=_unit(family))
            metric.histogram.aggregation_temporality = _CUMULATIVE
        at = _ns(group.at, now_ns)
        point = metric.histogram.data_points.add(
            time_unix_nano=at,
            start_time_unix_nano=_start(group.created or created.get((family.name, labels)), at),
            count=sum(counts),
            explicit_bounds=bounds,
            bucket_counts=counts,
            attributes=_attributes(labels),
        )
        if group.sum is not None and math.isfinite(group.sum):
            point.sum = group.sum
        for exemplar in group.exemplars:
            _add_exemplar(point.exemplars.add(), exemplar, at)


def _buckets(group: _Group) -> tuple[list[float], list[int]]:
    """Return the finite bounds and the count of each bucket, one more than the bounds."""
    pairs = sorted(group.pairs)
    cumulative = [_count(value) for _, value in pairs]
    bounds = [bound for bound, _ in pairs]
    if any(math.isnan(bound) for bound in bounds) or len(set(bounds)) != len(bounds):
        raise ValueError("bounds that are no numbers or occur twice")
    if not bounds or bounds[-1] != math.inf:
        if group.count is None:
            raise ValueError("no +Inf bucket and no count")
        bounds.append(math.inf)
        cumulative.append(_count(group.count))
    if any(later < earlier for earlier, later in pairwise(cumulative)):
        raise ValueError("buckets that fall")
    counts = [later - earlier for earlier, later in pairwise([0, *cumulative])]
    finite = bounds[:-1]
    if finite and finite[0] == -math.inf:
        raise ValueError("a bound of -Inf")
    return finite, counts


def _count(value: float) -> int:
    if not math.isfinite(value) or not 0 <= value < _MAX_UINT64:
        raise ValueError(f"a count of {value}")
    return int(value)


def _summaries(
    scope: pb.ScopeMetrics, family: Metric, page: Page, now_ns: int, created: _Context, limits: PageLimits
) -> None:
    try:
        groups = _groups(family, "quantile")
    except (ValueError, OverflowError) as error:
        page.add_error(0, f"{family.name[:80]}: a quantile that is no number: {error}", limits)
        return
    metric = None
    for labels, group in groups.items():
        if not group.pairs and group.count is None and group.sum is None:
            continue
        try:
            count = _count(group.count or 0.0)
        except ValueError as error:
            page.add_error(0, f"{family.name[:80]}: {error}", limits)
            continue
        if metric is None:
            metric = scope.metrics.add(name=family.name, unit=_unit(family))
        at = _ns(group.at, now_ns)
        point = metric.summary.data_points.add(
            time_unix_nano=at,
            start_time_unix_nano=_start(group.created or created.get((family.name, labels)), at),
            count=count,
            sum=group.sum or 0.0,
            attributes=_attributes(labels),
        )
        for quantile, value in sorted(group.pairs):
            point.quantile_values.add(quantile=quantile, value=value)


def _add_exemplar(into: pb.Exemplar, exemplar: Exemplar, at: int) -> None:
    into.as_double = float(exemplar.value)
    into.time_unix_nano = _ns(exemplar.timestamp, at)
    for key, value in exemplar.labels.items():
        id_of = {"trace_id": 32, "span_id": 16}.get(key)
        if id_of == len(value) and _HEX.fullmatch(value):
            setattr(into, key, bytes.fromhex(value))
        else:
            into.filtered_attributes.extend(_attributes([(key, value)]))


def _unsupported(
    scope: pb.ScopeMetrics, family: Metric, page: Page, now_ns: int, created: _Context, limits: PageLimits
) -> None:
    page.add_error(0, f"{family.name[:80]}: OTLP has no {family.type}, it is left out", limits)


_READERS: dict[str, Callable[[pb.ScopeMetrics, Metric, Page, int, _Context, PageLimits], None]] = {
    "counter": _counters,
    "histogram": _histograms,
    "summary": _summaries,
    "gaugehistogram": _unsupported,
}
