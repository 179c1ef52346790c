"""Which spans are the requests that GPUs worked on: each request once, with who it was for. Reads nothing.

- `requests_of(calls, processes) -> Requests`

A client's span, a gateway's and the engine's may all speak of one request. The one furthest down that is joined to a
GPU is it, and the model calls above it are the same request. A span that is joined by its host alone, or to one of
several engines, is nobody's request: it is counted, by the reason.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heliograph.query.placement import MODEL_KINDS, by_parent
from heliograph.query.placing import GpuProcess, Place, Placement, place
from heliograph.query.sharing import Request

# From an engine's span to the agent's root there are some ten; a loop of parents must end.
_MAX_ANCESTORS = 64
SHARES_OF = ("uuid", "pid", "socket", "container")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A span of a trace with model calls; what is not a model call only tells who it was for."""

    place: Place
    model: str = ""
    adapter: str = ""
    user_id: str = ""
    tenant: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    ttft_ns: int | None = None
    queue_ns: int | None = None
    prefill_ns: int | None = None
    has_cost: bool = False

    @property
    def work(self) -> Request:
        """When and on how many tokens the GPU worked: from the end of the queue to the span's end."""
        first, end = self.place.start_ns, self.place.end_ns
        start = min(first + (self.queue_ns or 0), end)
        if self.prefill_ns is not None:
            middle = start + self.prefill_ns
        elif self.ttft_ns is not None:
            middle = first + self.ttft_ns
        else:
            middle = start
        return Request(
            start_ns=start,
            prefill_end_ns=max(start, min(middle, end)),
            end_ns=end,
            prefill_tokens=max(0, (self.input_tokens or 0) - (self.cache_read_tokens or 0)),
            decode_tokens=self.output_tokens or 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRequest:
    """One request: the span that it is taken from, where that ran, and who it was for ('' where nobody says)."""

    call: Call
    placement: Placement
    span_ids: tuple[str, ...]
    user_id: str
    tenant: str
    adapter: str
    model: str


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A model call without a price that is joined to no GPU, and why in two words."""

    start_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Requests:
    """All requests of some spans, and the calls that could not be placed."""

    placed: tuple[GpuRequest, ...]
    unplaced: tuple[Unplaced, ...]


def requests_of(calls: Sequence[Call], processes: Sequence[GpuProcess]) -> Requests:
    """Return each request once. `calls` are all spans of the traces in question."""
    traces: dict[str, list[Call]] = {}
    for call in calls:
        traces.setdefault(call.place.trace_id, []).append(call)
    placed: list[GpuRequest] = []
    unplaced: list[Unplaced] = []
    for spans in traces.values():
        found, missed = _of_trace(spans, processes)
        placed += found
        unplaced += missed
    return Requests(tuple(placed), tuple(unplaced))


def _of_trace(calls: Sequence[Call], processes: Sequence[GpuProcess]) -> tuple[list[GpuRequest], list[Unplaced]]:
    by_id = {call.place.span_id: call for call in calls}
    below = by_parent([call.place for call in calls])
    models = [call for call in calls if call.place.kind in MODEL_KINDS and call.place.duration_ns]
    placements = {call.place.span_id: place(call.place, below, processes) for call in models}
    proven = [call for call in models if placements[call.place.span_id].strength in SHARES_OF]
    above = {call.place.span_id: [each.place.span_id for each in _ancestors(call, by_id)] for call in proven}
    repeated = {span_id for ancestors in above.values() for span_id in ancestors}
    placed = []
    for call in proven:
        if call.place.span_id in repeated:
            continue
        ancestors = list(_ancestors(call, by_id))
        same = [each.place.span_id for each in ancestors if each.place.kind in MODEL_KINDS]
        near = [call, *ancestors]
        placed.append(
            GpuRequest(
                call=call,
                placement=placements[call.place.span_id],
                span_ids=(call.place.span_id, *same),
                user_id=_first(each.user_id for each in near) or _only(each.user_id for each in calls),
                tenant=_first(each.tenant for each in near) or _only(each.tenant for each in calls),
                adapter=_first(each.adapter for each in near),
                model=_first(each.model for each in near),
            )
        )
    known = {span_id for request in placed for span_id in request.span_ids}
    unplaced = [
        Unplaced(call.place.start_ns, _why(placements[call.place.span_id]))
        for call in models
        if call.place.span_id not in known and not call.has_cost
    ]
    return placed, unplaced


def _ancestors(call: Call, by_id: dict[str, Call]) -> Iterator[Call]:
    seen = {call.place.span_id}
    parent = call.place.parent_span_id
    for _ in range(_MAX_ANCESTORS):
        if parent in seen or parent not in by_id:
            return
        seen.add(parent)
        yield by_id[parent]
        parent = by_id[parent].place.parent_span_id


def _why(placement: Placement) -> str:
    if placement.strength == "host":
        return "host only"
    return "several engines fit" if len(placement.candidates) > 1 else "no GPU found"


def _first(values: Iterator[str]) -> str:
    return next((value for value in values if value), "")


def _only(values: Iterator[str]) -> str:
    """The one value that a trace names, '' where it names several: then it is not known whose the request was."""
    found = Counter(value for value in values if value)
    return next(iter(found)) if len(found) == 1 else ""
