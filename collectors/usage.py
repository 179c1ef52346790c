"""Which spans' usage counts, where several report the same: sums over a trace must hold each model call once.

Two things say that spans report the same call: one is within the other (an instrumented library calls another one), or
both name the same response (two instrumentations side by side, a gateway and its model server).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

# Ancestors looked at: deeper chains of calls are not built by frameworks.
MAX_ANCESTORS = 64


class Use(NamedTuple):
    """A span that reports usage, within its trace; `is_settled` says that it counts already and stays so."""

    span_id: str
    response_id: str
    is_settled: bool = False


def repeats(uses: Iterable[Use], parents: Mapping[str, str]) -> set[str]:
    """Return which of the unsettled spans of one trace, in order, repeat another's usage.

    `parents` maps every known span of the trace to its parent. Of two spans within each other the inner one counts,
    and of two with one response the first; a settled one always does, so that what is stored need not change.
    """
    listed = list(uses)
    settled = {use.span_id for use in listed if use.is_settled}
    counted = {use.span_id for use in listed}
    responses = {use.response_id for use in listed if use.is_settled and use.response_id}
    for use in listed:
        span_id = use.span_id
        above = parents.get(span_id, "")
        for _ in range(MAX_ANCESTORS):
            if not above or above == span_id:
                break
            if above in settled and not use.is_settled:
                counted.discard(span_id)
            elif above in counted and above not in settled:
                counted.discard(above)
            above = parents.get(above, "")
    for use in listed:
        if use.response_id and not use.is_settled and use.span_id in counted:
            if use.response_id in responses:
                counted.discard(use.span_id)
            responses.add(use.response_id)
    return {use.span_id for use in listed} - counted
