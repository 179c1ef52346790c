"""Why a call was slow, by rules that a person can check: no reading of anything, numbers in, sentences out.

- `judge(evidence) -> Verdict`

A measure is up where it is over RISE times the median of the hour before and above its 90th percentile; what is not
up is flat. Then: TTFT up points at the queue, the prompt or the way to the engine; TPOT up at the memory for the KV
cache, at hardware that was slowed down, or at a crowded batch; both flat with a longer call, at a longer output.
"""

from heliograph.query.verdicts.evidence import Evidence, Finding, GpuEvidence, Usual, Verdict

# A call a third slower than the median is felt; below that, queues of a few milliseconds would be causes.
RISE = 1.3
# Fewer calls than this give no 90th percentile worth the name.
MIN_CALLS = 20
# Of the time that a GPU was slowed down, and of the clock that it kept.
THROTTLED_SHARE, KEPT_CLOCK = 0.05, 0.95
# An engine begins to preempt near here.
FULL_CACHE = 0.9
# A part explains a rise where it grew by at least this share of it.
PART_OF_RISE = 0.5
# Twice as many requests in a batch is another load, not noise.
CROWDED = 2.0
# Reasons of gpu.throttle.time; a reason that is not here (idle, sync boost, a clock that was set) is nobody's fault.
_LIMITS = {
    "thermal": "thermally limited",
    "sw_thermal_slowdown": "thermally limited",
    "hw_thermal_slowdown": "thermally limited",
    "sw_power_cap": "limited by its power cap",
    "hw_slowdown": "slowed down by the hardware",
    "hw_power_brake_slowdown": "slowed down by the power brake",
}


def judge(evidence: Evidence) -> Verdict:
    """Return what was slow and why."""
    call, usual = evidence.call, evidence.baseline
    if usual.calls < MIN_CALLS:
        summary = (
            f"No verdict: {usual.calls} calls of this model and engine in the hour before, {MIN_CALLS} are needed to "
            "say what is usual."
        )
        return Verdict(outcome="unknown", summary=summary, missing=evidence.missing)
    if call.ttft_s is None and call.tpot_s is None and call.e2e_s is None:
        summary = "No verdict: the call carries no time to the first token, no time per token and no end."
        return Verdict(outcome="unknown", summary=summary, missing=evidence.missing)
    ttft_up = is_up(call.ttft_s, usual.ttft_s)
    tpot_up = is_up(call.tpot_s, usual.tpot_s)
    e2e_up = is_up(call.e2e_s, usual.e2e_s)
    findings: list[Finding] = []
    if ttft_up:
        findings += _first_token(evidence)
    if tpot_up:
        findings += [*_throttling(evidence), *_memory(evidence), *_crowding(evidence)]
    if e2e_up and ttft_up is False and tpot_up is False:
        findings += _longer_output(evidence)
    findings.sort(key=lambda finding: -finding.weight)
    slow = [
        f"{name} {_seconds(value)} against {_seconds(before.median)} usually"
        for name, is_slow, value, before in (
            ("TTFT", ttft_up, call.ttft_s, usual.ttft_s),
            ("TPOT", tpot_up, call.tpot_s, usual.tpot_s),
            ("whole call", e2e_up, call.e2e_s, usual.e2e_s),
        )
        if is_slow and value is not None and before is not None
    ]
    if not slow:
        compared = [up for up in (ttft_up, tpot_up, e2e_up) if up is not None]
        if not compared:
            summary = "No verdict: the hour before carries none of the times that this call does."
            return Verdict(outcome="unknown", summary=summary, missing=evidence.missing)
        summary = f"As usual: not slower than the {usual.calls:,} calls of the hour before."
        return Verdict(outcome="usual", summary=summary, missing=evidence.missing)
    summary = f"Slower than usual: {'; '.join(slow)} (median of {usual.calls:,} calls in the hour before)."
    if not findings:
        summary += " No cause found in what is known."
    return Verdict(
        outcome="explained" if findings else "unexplained",
        summary=summary,
        findings=tuple(findings),
        missing=evidence.missing,
    )


def is_up(value: float | None, usual: Usual | None) -> bool | None:
    """Return whether a measure is up, None where that cannot be said."""
    if value is None or usual is None:
        return None
    return value > RISE * usual.median and value > usual.p90


def _first_token(evidence: Evidence) -> list[Finding]:
    """What made the first token late."""
    call, usual = evidence.call, evidence.baseline
    assert call.ttft_s is not None  # it is up
    assert usual.ttft_s is not None
    rise = call.ttft_s - usual.ttft_s.median
    findings = []
    queue_grew = _grew(call.queue_s, usual.queue_s)
    prefill_grew = _grew(call.prefill_s, usual.prefill_s)
    if queue_grew is not None and call.queue_s is not None and queue_grew >= PART_OF_RISE * rise:
        waiting = evidence.engine.waiting
        told = f": {waiting:,.0f} requests waited" if waiting is not None and waiting >= 1 else ""
        sentence = (
            f"TTFT is queueing{told}; {_seconds(call.queue_s)} of {_seconds(call.ttft_s)} passed in the queue, "
            f"{_seconds(call.queue_s - queue_grew)} usually."
        )
        findings.append(Finding(cause="queue", sentence=sentence, weight=queue_grew))
    if prefill_grew is not None and call.prefill_s is not None and prefill_grew >= PART_OF_RISE * rise:
        sentence = (
            f"TTFT is prefill: {_seconds(call.prefill_s)}, {_seconds(call.prefill_s - prefill_grew)} usually"
            f"{_longer_prompt(evidence)}."
        )
        findings.append(Finding(cause="prefill", sentence=sentence, weight=prefill_grew))
    if queue_grew is not None and prefill_grew is not None:
        rest = rise - queue_grew - prefill_grew
        if rest >= PART_OF_RISE * rise:
            sentence = (
                f"TTFT rose outside the engine's queue and prefill by {_seconds(rest)}: the network, the front end or "
                "loading an adapter."
            )
            findings.append(Finding(cause="network", sentence=sentence, weight=rest))
    return findings


def _longer_prompt(evidence: Evidence) -> str:
    tokens, usual = evidence.call.input_tokens, evidence.baseline.input_tokens
    if tokens is None or usual is None or not is_up(tokens, usual):
        return ""
    return f", for a prompt of {tokens:,} tokens where {usual.median:,.0f} are usual"


def _throttling(evidence: Evidence) -> list[Finding]:
    """GPUs that were held back and did lose clock for it: both, since a cap that costs no clock costs no time."""
    return [finding for gpu in evidence.gpus for finding in [_held_back(gpu, _excess(evidence))] if finding is not None]


def _held_back(gpu: GpuEvidence, excess: float) -> Finding | None:
    held = {reason: seconds for reason, seconds in gpu.throttled_s.items() if reason in _LIMITS}
    if not held or not gpu.seconds or gpu.clock_hz is None or not gpu.usual_clock_hz:
        return None
    reason, seconds = max(held.items(), key=lambda item: item[1])
    share, kept = seconds / gpu.seconds, gpu.clock_hz / gpu.usual_clock_hz
    if share <= THROTTLED_SHARE or kept >= KEPT_CLOCK:
        return None
    sentence = (
        f"TPOT rose because {gpu.label} was {_LIMITS[reason]} for {_seconds(seconds)} of {_seconds(gpu.seconds)}: its "
        f"clock was {gpu.clock_hz / 1e6:,.0f} MHz, {gpu.usual_clock_hz / 1e6:,.0f} MHz usually."
    )
    return Finding(cause="throttling", sentence=sentence, weight=excess * min(1.0, share))


def _memory(evidence: Evidence) -> list[Finding]:
    engine = evidence.engine
    full = engine.kv_usage is not None and engine.kv_usage > FULL_CACHE
    preempted = engine.preemptions is not None and engine.preemptions >= 1
    if not full and not preempted:
        return []
    said = []
    if engine.kv_usage is not None and full:
        said.append(f"the KV cache was {engine.kv_usage * 100:.0f} % full")
    if engine.preemptions is not None and preempted:
        said.append(f"{engine.preemptions:,.0f} requests were preempted")
    sentence = f"TPOT rose under memory pressure: {' and '.join(said)}."
    return [Finding(cause="memory", sentence=sentence, weight=_excess(evidence) * (1.0 if preempted else 0.5))]


def _crowding(evidence: Evidence) -> list[Finding]:
    running, usual = evidence.engine.running, evidence.engine.usual_running
    if running is None or usual is None or running < CROWDED * max(usual, 1.0):
        return []
    sentence = f"TPOT rose in a crowded batch: {running:,.0f} requests ran together, {usual:,.0f} usually."
    return [Finding(cause="crowding", sentence=sentence, weight=_excess(evidence) * (1 - max(usual, 1.0) / running))]


def _longer_output(evidence: Evidence) -> list[Finding]:
    tokens, usual, call = evidence.call.output_tokens, evidence.baseline.output_tokens, evidence.call
    if tokens is None or usual is None or not is_up(tokens, usual):
        return []
    assert call.e2e_s is not None  # it is up
    assert evidence.baseline.e2e_s is not None
    sentence = f"The call was longer because its output was: {tokens:,} tokens where {usual.median:,.0f} are usual."
    return [Finding(cause="longer_output", sentence=sentence, weight=call.e2e_s - evidence.baseline.e2e_s.median)]


def _excess(evidence: Evidence) -> float:
    """Seconds that the slower tokens cost the whole call."""
    call, usual = evidence.call, evidence.baseline.tpot_s
    if call.tpot_s is None or usual is None:
        return 0.0
    return (call.tpot_s - usual.median) * max((call.output_tokens or 2) - 1, 1)


def _grew(value: float | None, usual: Usual | None) -> float | None:
    return None if value is None or usual is None else value - usual.median


def _seconds(seconds: float) -> str:
    if abs(seconds) >= 60:
        return f"{seconds / 60:.1f} min"
    if abs(seconds) >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1000:.3g} ms"
