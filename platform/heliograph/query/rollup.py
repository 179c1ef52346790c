"""The rollup's rows of a whole range, summed: what a question asks that wants no minute of them.

- `summed(filter, by, *, sums=SUMS, digests=DIGESTS, step_s=None) -> Clause`: rows named as the rollup's own, for
  FROM (...) AS r; with `step_s` each has the `start_s` of its step, in epoch seconds
- `in_steps(filter, by, step_s, ...) -> Clause`: the same for a step of any whole minutes
- `whole_seconds(filter, by) -> int`: what a step of `summed` is a multiple of

Whole hours, or quarters of one where the kind, the model or the service alone tells rows apart, are read from the
rollup's projections (schema 0062, 0065, 0066), the minutes before and after them from itself.
"""

from collections.abc import Sequence
from dataclasses import fields

from heliograph.query.clauses import Clause, put
from heliograph.query.filters import RollupFilter

SUMS = (
    *("spans", "errors", "input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens", "cost"),
    *("unpriced_count", "unseen_spans", "unseen_input_tokens", "unseen_output_tokens", "unseen_cost"),
)
DIGESTS = ("duration", "ttft", "tpot")
_QUARTER_S = 900
_HOUR_S = 3_600
# The columns of each projection of quarters; that of hours has all.
_QUARTERS = ({"is_root", "kind", "provider", "model", "adapter"}, {"is_root", "kind", "service"})
_STARTS = {_HOUR_S: "toStartOfHour(r.minute)", _QUARTER_S: "toStartOfFifteenMinutes(r.minute)"}

_ROWS = """
    SELECT {columns}
    FROM span_rollups_1m AS r
    WHERE r.project_id = %(project_id)s AND {within}
    GROUP BY {names}"""
_IN_WHOLES = "{start} >= toDateTime(%(wholes_start_s)s, 'UTC') AND {start} < toDateTime(%(wholes_end_s)s, 'UTC')"
_IN_MINUTES = """(r.minute >= toDateTime(%(start_s)s, 'UTC') AND r.minute < toDateTime(%(wholes_start_s)s, 'UTC')
        OR r.minute >= toDateTime(%(wholes_end_s)s, 'UTC') AND r.minute < toDateTime(%(end_s)s, 'UTC'))"""
_STEP = "intDiv(toUnixTimestamp({start}), %(step_s)s) * %(step_s)s"
# Where a step is shorter than what the projections have.
_MINUTES = """
    SELECT {columns}
    FROM span_rollups_1m AS r
    WHERE r.project_id = %(project_id)s AND {where}"""


def summed(
    chosen: RollupFilter,
    by: Sequence[str],
    *,
    sums: Sequence[str] = SUMS,
    digests: Sequence[str] = DIGESTS,
    step_s: int | None = None,
) -> Clause:
    """Return the rows that a filter leaves, summed by columns of the rollup; there may be two of the same values.

    Raises ValueError for a step that is no multiple of `whole_seconds`.
    """
    span = chosen.range.whole_minutes()
    start_s, end_s = span.start_ns // 10**9, span.end_ns // 10**9
    whole_s = whole_seconds(chosen, by)
    if step_s is not None and step_s % whole_s:
        raise ValueError(f"A step of {step_s} s is no multiple of {whole_s} s")
    # The start of the first whole one and the end of the last; the same moment where there is none.
    first_s = -(-start_s // whole_s) * whole_s
    last_s = end_s // whole_s * whole_s
    if first_s >= last_s:
        first_s = last_s = end_s
    given = {"start_s": start_s, "end_s": end_s, "wholes_start_s": first_s, "wholes_end_s": last_s}
    if step_s is not None:
        given["step_s"] = step_s
    picked, parameters = chosen.picked()
    columns = [f"r.{name} AS {name}" for name in by]
    columns += [f"sum(r.{name}) AS {name}" for name in sums]
    columns += [f"quantilesTDigestMergeState(0.5, 0.95, 0.99)(r.{name}) AS {name}" for name in digests]
    names = [f"r.{name}" for name in by]
    if step_s is not None:
        columns.append(f"{_STEP} AS start_s")
        names.append("start_s")
    # What is read, and the time by which it is told apart.
    parts = [(_IN_MINUTES, "r.minute")]
    if first_s < last_s:
        parts.insert(0, (_IN_WHOLES, _STARTS[whole_s]))
    rows = (
        put(
            put(_ROWS, columns=", ".join(columns), names=", ".join(names), within=f"{within} AND {picked}"), start=start
        )
        for within, start in parts
    )
    return "\n    UNION ALL".join(rows), parameters | given


def in_steps(
    chosen: RollupFilter,
    by: Sequence[str],
    step_s: int,
    *,
    sums: Sequence[str] = SUMS,
    digests: Sequence[str] = DIGESTS,
) -> Clause:
    """Return rows with the `start_s` of their step, of which there may be many of the same values."""
    if step_s % whole_seconds(chosen, by) == 0:
        return summed(chosen, by, sums=sums, digests=digests, step_s=step_s)
    where, parameters = chosen.where()
    columns = [f"r.{name} AS {name}" for name in (*by, *sums, *digests)]
    columns.append(put(f"{_STEP} AS start_s", start="r.minute"))
    return put(_MINUTES, columns=", ".join(columns), where=where), parameters | {"step_s": step_s}


def whole_seconds(chosen: RollupFilter, by: Sequence[str]) -> int:
    """Return the seconds of a row of the projection that answers a question by these columns of the rollup."""
    narrowed = {field.name for field in fields(chosen) if field.name != "range" and getattr(chosen, field.name)}
    return _QUARTER_S if any(columns >= narrowed.union(by) for columns in _QUARTERS) else _HOUR_S
