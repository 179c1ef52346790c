"""Where the time of a model call went: queue, prefill, decode and the rest.

- `split(call: TimedCall) -> Split`: a pure function of what a span carries
- `across(client: TimedCall, server: TimedCall, name) -> Split`: of a client's call with the server's span for it

Read from the engine's own timings (vLLM and SGLang spans), else from the headers of TGI and LoRAX where the client put
them on its span, else from the time to the first token alone. A part that nobody measured is no part: the rest stands
under a name that says what it may hold.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Name = Literal["queue", "prefill", "before first token", "decode", "inference", "other", "network"]
# Where an HTTP instrumentation puts response headers (semantic conventions 1.44), and where a wrapper may.
_HEADERS = ("http.response.header.", "")
_MS = 1_000_000
# Clocks and rounding: parts that overshoot the span by more than this do not belong to it.
_OVERSHOOT = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedCall:
    """What a span says about its time, in ns; None where it does not say."""

    duration_ns: int | None
    dialect: str = ""
    ttft_ns: int | None = None
    queue_ns: int | None = None
    prefill_ns: int | None = None
    decode_ns: int | None = None
    output_tokens: int | None = None
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the call's time, in ns, in the order in which it passed."""

    name: Name
    nanoseconds: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The parts add up to the call's duration; without parts, `reason` says why.

    `ttft_ns` and `tpot_ns` (per output token after the first) are None where they are not known; a call of one output
    token has no TPOT. `ttft_at_least_ns` is a bound where only queue and prefill are known.
    """

    parts: tuple[Part, ...]
    source: str
    reason: str
    ttft_ns: int | None = None
    ttft_at_least_ns: int | None = None
    tpot_ns: int | None = None

    def of(self, name: Name) -> int | None:
        """Return the length of a part in ns, None where it was not measured."""
        return next((part.nanoseconds for part in self.parts if part.name == name), None)


def split(call: TimedCall) -> Split:
    """Return where the time of a call went."""
    duration = call.duration_ns
    if not duration:
        return Split(parts=(), source="", reason="The span has not ended.")
    headers = _headers(call.attributes)
    ttft = call.ttft_ns if call.ttft_ns is not None else headers.get("x-time-to-first-token")
    tpot = _tpot(call, ttft, headers)
    lengths: dict[Name, int]
    at_least = None
    if call.dialect == "tgi" or (headers and call.prefill_ns is None and call.decode_ns is None):
        # These engines time prefill and decode together; their spans name it inference, which is stored as decode.
        from_span = call.dialect == "tgi"
        queue = call.queue_ns if from_span else headers.get("x-queue-time")
        inference = call.decode_ns if from_span else headers.get("x-inference-time")
        source = "the span of TGI or LoRAX" if from_span else "the response headers of TGI or LoRAX"
        lengths = _known(queue=queue)
        if inference is not None and ttft is not None and queue is not None and queue <= ttft <= queue + inference:
            lengths |= {"prefill": ttft - queue, "decode": queue + inference - ttft}
        elif inference is not None:
            lengths["inference"] = inference
            at_least = queue
    else:
        source = "the engine's own timings"
        lengths = _known(queue=call.queue_ns, prefill=call.prefill_ns, decode=call.decode_ns)
        if not lengths and ttft is not None and ttft <= duration:
            source = "the time to the first token"
            lengths = {"before first token": ttft, "decode": duration - ttft}
        elif ttft is None and call.queue_ns is not None and call.prefill_ns is not None:
            at_least = call.queue_ns + call.prefill_ns
    if not lengths:
        reason = "The span carries neither the engine's timings nor a time to the first token."
        return Split(parts=(), source="", reason=reason, ttft_ns=ttft, tpot_ns=tpot)
    return _filled(lengths, duration, source, ttft, at_least, tpot)


def across(client: TimedCall, server: TimedCall, name: str) -> Split:
    """Return where the time of a client's call went, by the span of the server that answered it.

    What the server's span leaves of the client's is the network with all that lies in between: gateways, connection,
    the client's own work. Two lengths are compared, so clocks that differ do no harm. `name` is the server's.
    """
    own, its = split(client), split(server)
    if not client.duration_ns or not server.duration_ns or not its.parts:
        return own
    between = client.duration_ns - server.duration_ns
    if between < 0:
        reason = f"{its.reason} The server's span is longer than the client's: it went on after the client had left."
        return replace(its, reason=reason, ttft_ns=_first(own.ttft_ns, its.ttft_ns))
    whole = client.duration_ns
    parts = [Part(part.name, part.nanoseconds, part.nanoseconds / whole) for part in its.parts]
    if between:
        parts.append(Part("network", between, between / whole))
    reason = f"{its.reason} “Network” is by how much the client's span is longer than that of {name}: gateways too."
    return Split(
        parts=tuple(parts),
        source=its.source,
        reason=reason,
        ttft_ns=_first(own.ttft_ns, its.ttft_ns),
        ttft_at_least_ns=its.ttft_at_least_ns,
        tpot_ns=_first(its.tpot_ns, own.tpot_ns),
    )


def _first(*lengths: int | None) -> int | None:
    return next((length for length in lengths if length is not None), None)


def _filled(
    lengths: dict[Name, int], duration: int, source: str, ttft: int | None, at_least: int | None, tpot: int | None
) -> Split:
    total = sum(lengths.values())
    if total > duration * _OVERSHOOT:
        reason = f"The parts add up to {total / 1e9:.3g} s, more than the span's {duration / 1e9:.3g} s: not shown."
        return Split(parts=(), source=source, reason=reason, ttft_ns=ttft, ttft_at_least_ns=at_least, tpot_ns=tpot)
    lengths["other"] = max(0, duration - total)
    whole = max(duration, total)
    parts = tuple(Part(name, length, length / whole) for name, length in lengths.items() if length)
    reason = f"From {source}."
    if lengths["other"]:
        reason += " “Other” is what these leave of the span: network, tokenisation, the client's own work."
    return Split(parts=parts, source=source, reason=reason, ttft_ns=ttft, ttft_at_least_ns=at_least, tpot_ns=tpot)


def _known(queue: int | None = None, prefill: int | None = None, decode: int | None = None) -> dict[Name, int]:
    named: tuple[tuple[Name, int | None], ...] = (("queue", queue), ("prefill", prefill), ("decode", decode))
    return {name: length for name, length in named if length is not None}


def _tpot(call: TimedCall, ttft: int | None, headers: Mapping[str, int]) -> int | None:
    if "x-time-per-output-token" in headers:
        return headers["x-time-per-output-token"]
    tokens = call.output_tokens
    if tokens is None or tokens < 2:
        return None
    # The engine's own decode time where there is one: a client's holds the network too.
    if call.decode_ns is not None and call.dialect != "tgi":
        return call.decode_ns // (tokens - 1)
    if ttft is not None and call.duration_ns is not None and call.duration_ns >= ttft:
        return (call.duration_ns - ttft) // (tokens - 1)
    return None


_NAMES = ("x-queue-time", "x-inference-time", "x-time-to-first-token", "x-time-per-output-token")


def _headers(attributes: Mapping[str, str]) -> dict[str, int]:
    """Return the timing headers in ns; a header comes as a text or as a JSON list of one."""
    found: dict[str, int] = {}
    for name in _NAMES:
        for prefix in _HEADERS:
            text = attributes.get(prefix + name, "")
            if text.startswith("["):
                try:
                    values = json.loads(text)
                except (ValueError, RecursionError):  # cut at a cap
                    continue
                text = str(values[0]) if len(values) == 1 else ""
            if text.strip().isdecimal() and len(text.strip()) <= 12:  # milliseconds; 12 digits are thirty years
                found.setdefault(name, int(text) * _MS)
    return found
