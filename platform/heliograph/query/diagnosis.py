"""Where model calls ran, where their time went, and why they were slow: gathers what `verdicts` judges.

- `of_span(project_id, trace_id, span_id) -> Diagnosis | None`
- `of_trace(project_id, trace_id) -> TraceDiagnosis | None`: its longest calls

A client's call and the engine's span below it are one call here: first token and length are the caller's, queue,
prefill and time per token the engine's, each held against the hour before of its own side. Counters are read only
where something was slower than usual; what could not be read is said.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from heliograph.query import calls, engines, hardware, placement
from heliograph.query.asking import asking
from heliograph.query.calls import ModelCall
from heliograph.query.engines import Match
from heliograph.query.placing import GpuProcess, Place, Placement, place
from heliograph.query.serving import EngineInstance
from heliograph.query.timing import Split, across
from heliograph.query.verdicts import Baseline, EngineEvidence, Evidence, GpuEvidence, Measured, Verdict, judge

# A judged call costs some ten questions where it was slow.
MAX_JUDGED = 10
MINUTE_NS = 60 * 10**9
# Engine and GPUs compute these; what the caller's side measures of them holds the way to the engine too.
_OF_THE_ENGINE = ("tpot_s", "queue_s", "prefill_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One model call: where it ran, its time, and the verdict. `served` is the engine's own span where it sent one."""

    call: ModelCall
    placement: Placement
    split: Split
    measured: Measured
    baseline: Baseline
    verdict: Verdict
    served: ModelCall | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceDiagnosis:
    """A trace's longest calls, by what their findings weigh, and where each of its calls ran.

    `engines` are the serving engines behind them, as far as they are known; `unjudged` counts the calls beyond
    MAX_JUDGED.
    """

    calls: tuple[Diagnosis, ...]
    placements: Mapping[str, Placement]
    engines: tuple[Match, ...]
    unjudged: int

    @property
    def slowest(self) -> "Diagnosis | None":
        """The call whose causes weigh most, else one that was slower than usual, else any."""
        return next(iter(self.calls), None)


@dataclass(slots=True)
class _Trace:
    """What is read once for all calls of a trace."""

    project_id: int
    spans: Sequence[Place]
    calls: Mapping[str, ModelCall]
    processes: Sequence[GpuProcess]
    placements: dict[str, Placement]
    baselines: dict[tuple[object, ...], Baseline] = field(default_factory=dict)
    instances: dict[str, tuple[list[EngineInstance], str]] = field(default_factory=dict)

    def usual(self, call: ModelCall) -> Baseline:
        """The hour before the call's minute, read once for calls of the same kind."""
        self.know_usual([call])
        return self.baselines[_like(call)]

    def know_usual(self, asked: Iterable[ModelCall]) -> None:
        """Read the hours before several calls at once."""
        missing = {_like(call): call for call in asked if _like(call) not in self.baselines}
        with asking() as ask:
            found = {like: ask(calls.usual, self.project_id, call, _until(call)) for like, call in missing.items()}
        self.baselines |= {like: baseline.result() for like, baseline in found.items()}

    def engines(self, service: str) -> tuple[list[EngineInstance], str]:
        """The engines that sent metrics during the trace, and why there are none where there are too many."""
        if service not in self.instances:
            start_ns = min(each.start_ns for each in self.calls.values())
            end_ns = max(each.end_ns for each in self.calls.values())
            self.instances[service] = engines.instances(self.project_id, start_ns, end_ns, service=service)
        return self.instances[service]

    def served(self, call: ModelCall) -> ModelCall | None:
        """The engine's span for a client's call."""
        return self.calls.get(self.placements[call.span_id].via_span_id)


def _until(call: ModelCall) -> int:
    return call.start_ns // MINUTE_NS * MINUTE_NS


def _like(call: ModelCall) -> tuple[object, ...]:
    address = (call.service_instance_id, call.host, call.server_address)
    return (call.kind, call.service, call.model, *address, _until(call))


def of_span(project_id: int, trace_id: str, span_id: str) -> Diagnosis | None:
    """Return the diagnosis of one model call; None where the trace has no such call among its first MAX_CALLS."""
    trace = _read(project_id, trace_id)
    if trace is None or span_id not in trace.placements:
        return None
    return _diagnose(trace, trace.calls[span_id])


def of_trace(project_id: int, trace_id: str) -> TraceDiagnosis | None:
    """Return the diagnoses of the trace's MAX_JUDGED longest calls; None where it has no model call."""
    trace = _read(project_id, trace_id)
    if trace is None:
        return None
    repeated = {each.via_span_id for each in trace.placements.values()}
    asked = [call for span_id, call in trace.calls.items() if span_id not in repeated]
    longest = sorted(asked, key=lambda call: call.start_ns - call.end_ns)[:MAX_JUDGED]
    trace.know_usual(each for call in longest for each in (call, trace.served(call)) if each)
    found = sorted((_diagnose(trace, call) for call in longest), key=_weight, reverse=True)
    matches = [_engine(trace, call) for call in longest]
    known = {each.instance.key: each for each in matches if each.instance}
    return TraceDiagnosis(
        calls=tuple(found),
        placements=trace.placements,
        engines=tuple(known.values()) or tuple(matches[:1]),
        unjudged=len(asked) - len(longest),
    )


def _read(project_id: int, trace_id: str) -> _Trace | None:
    found = calls.of_trace(project_id, trace_id)
    if not found:
        return None
    spans = placement.places(project_id, trace_id)
    start_ns, end_ns = min(each.start_ns for each in found), max(each.end_ns for each in found)
    processes = placement.processes(project_id, start_ns, end_ns)
    below = placement.by_parent(spans)
    by_id = {each.span_id: each for each in found}
    placements = {each.span_id: place(each, below, processes) for each in spans if each.span_id in by_id}
    # A trace of more spans than a waterfall draws has calls without a place among those that were read.
    return _Trace(project_id, spans, {key: by_id[key] for key in placements}, processes, placements)


def _diagnose(trace: _Trace, call: ModelCall) -> Diagnosis:
    served = trace.served(call)
    where = trace.placements[call.span_id]
    measured, baseline = call.measured, trace.usual(call)
    parts = call.split
    if served is not None:
        parts = across(call.timed, served.timed, f"“{served.service or served.name}”")
        measured, baseline = _joined(measured, baseline, served.measured, trace.usual(served))
    evidence = Evidence(call=measured, baseline=baseline)
    verdict = judge(evidence)
    if verdict.outcome in ("explained", "unexplained"):
        verdict = judge(_with_counters(trace, call, evidence))
    return Diagnosis(
        call=call,
        placement=where,
        split=parts,
        measured=measured,
        baseline=baseline,
        verdict=verdict,
        served=served,
    )


def _joined(own: Measured, usual: Baseline, its: Measured, its_usual: Baseline) -> tuple[Measured, Baseline]:
    """Take each measure, with what is usual for it, from the side that knows it best."""
    measured: dict[str, float | None] = {}
    compared = {}
    for name in Measured.__dataclass_fields__:
        sides = [(getattr(own, name), getattr(usual, name)), (getattr(its, name), getattr(its_usual, name))]
        if name in _OF_THE_ENGINE:
            sides.reverse()
        # One that has something to be held against, else one that was measured at all.
        chosen = next((side for side in sides if None not in side), None) or next(
            (side for side in sides if side[0] is not None), sides[0]
        )
        measured[name], compared[name] = chosen
    calls_before = max(usual.calls, its_usual.calls)
    return replace(own, **measured), Baseline(calls=calls_before, **compared)  # type: ignore[arg-type]  # both are tokens or seconds by name


def _with_counters(trace: _Trace, call: ModelCall, evidence: Evidence) -> Evidence:
    """Add what GPUs and engine did during the call, and say what is not known."""
    served = trace.served(call) or call
    where = trace.placements[call.span_id]
    missing: list[str] = []
    gpus: list[GpuEvidence] = []
    if where.is_proven:
        gpus, missing = hardware.around(trace.project_id, where.gpus, served.start_ns, served.end_ns)
    else:
        missing.append(f"The GPUs could not be looked at: {where.reason}")
    engine = EngineEvidence()
    match = _engine(trace, call)
    if match.instance is None:
        missing.append(f"The engine's counters could not be looked at: {match.reason}")
    else:
        engine, unread = engines.around(trace.project_id, match.instance, served.start_ns, served.end_ns)
        missing += unread
    return replace(evidence, gpus=tuple(gpus), engine=engine, missing=tuple(missing))


def _engine(trace: _Trace, call: ModelCall) -> Match:
    served = trace.served(call) or call
    where = trace.placements[call.span_id]
    service = where.service or served.service
    found, too_many = trace.engines(service)
    if too_many:
        return Match(None, too_many)
    instance = where.instance or served.service_instance_id
    return engines.serving_engine(found, where, trace.processes, service=service, instance=instance)


def _weight(found: Diagnosis) -> tuple[float, bool, float]:
    findings = found.verdict.findings
    slow = found.verdict.outcome in ("explained", "unexplained")
    return (max((each.weight for each in findings), default=0.0), slow, found.measured.e2e_s or 0.0)
