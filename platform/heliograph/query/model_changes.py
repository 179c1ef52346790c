"""What answered what was asked for, and when that changed.

- `served(project_id, range, ...) -> list[Served]`: each model and fingerprint that answered
- `changes(project_id, range, ...) -> list[ModelChange]`: the moments from which something else answered

A model or fingerprint that answers again after an hour's pause, in which another one did, is a change; those that take
turns within an hour, as behind a load balancer, are not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any

from heliograph.clickhouse import client
from heliograph.query.filters import Clause, Parameters, TimeRange, put, to_ns

GAP_NS = 3_600 * 10**9
# What answered before the range is looked for so far back.
LOOK_BACK = timedelta(days=7)
# A hundred services with ten models and their fingerprints, in each hour of a month.
MAX_ROWS = 200_000
MAX_CHANGES = 500

SERVED = """
SELECT service, model_requested, model, fingerprint, toUnixTimestamp64Nano(min(s.first_seen)) AS first_ns,
    toUnixTimestamp64Nano(max(s.last_seen)) AS last_ns
FROM served_models AS s
WHERE project_id = %(project_id)s
    AND hour >= toStartOfHour(fromUnixTimestamp64Nano(%(from_ns)s, 'UTC'))
    AND hour < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC') AND {where}
GROUP BY {hour}service, model_requested, model, fingerprint
ORDER BY service, model_requested, first_ns, model, fingerprint
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model that answered for a service what was asked for; `fingerprint` is '' where none was sent."""

    service: str
    model_requested: str
    model: str
    fingerprint: str
    first_ns: int
    last_ns: int

    @property
    def answer(self) -> tuple[str, str]:
        """What answered."""
        return self.model, self.fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChange:
    """From `time_ns` on something else answered; `what` is `model`, or `fingerprint` where the model is the same."""

    time_ns: int
    service: str
    model_requested: str
    what: str
    before: str
    after: str

    @property
    def words(self) -> str:
        """The change in a few words, for a mark on a chart."""
        if self.what == "model":
            return f"{self.model_requested}: {self.before} → {self.after}"
        return f"{self.model_requested}: fingerprint {self.before or '(none)'} → {self.after or '(none)'}"


def served(
    project_id: int, span: TimeRange, *, service: tuple[str, ...] = (), model: tuple[str, ...] = ()
) -> list[Served]:
    """Return what answered in the hours of the range, by service and what was asked for; `model` is as asked."""
    return _read(project_id, span.start_ns, span.end_ns, service, model, hour="")


def changes(
    project_id: int, span: TimeRange, *, service: tuple[str, ...] = (), model: tuple[str, ...] = ()
) -> list[ModelChange]:
    """Return the changes in the range, earliest first, the last MAX_CHANGES of them."""
    rows = _read(project_id, to_ns(span.start - LOOK_BACK), span.end_ns, service, model, hour="hour, ")
    found: list[ModelChange] = []
    for (_, _), of_one in groupby(rows, key=lambda row: (row.service, row.model_requested)):
        found += _changes(list(of_one))
    inside = [each for each in found if span.start_ns <= each.time_ns < span.end_ns]
    return sorted(inside, key=lambda each: each.time_ns)[-MAX_CHANGES:]


def _changes(rows: Sequence[Served]) -> Iterable[ModelChange]:
    """Of one service and one name that was asked for: the moments at which an answer begins anew after another's."""
    for begun in _episodes(rows):
        # An answer that took its turn lately, before this one's, is what this one follows.
        others = [row for row in rows if row.answer != begun.answer and row.first_ns < begun.first_ns]
        before = max(others, key=lambda row: min(row.last_ns, begun.first_ns), default=None)
        own = max(
            (row.last_ns for row in rows if row.answer == begun.answer and row.last_ns < begun.first_ns), default=0
        )
        if before is None or min(before.last_ns, begun.first_ns) <= own:
            continue  # the first answer of all, or the same one after a silence
        is_model = before.model != begun.model
        yield ModelChange(
            time_ns=begun.first_ns,
            service=begun.service,
            model_requested=begun.model_requested,
            what="model" if is_model else "fingerprint",
            before=before.model if is_model else before.fingerprint,
            after=begun.model if is_model else begun.fingerprint,
        )


def _episodes(rows: Sequence[Served]) -> list[Served]:
    """The rows at which an answer begins: its first, and each after a pause of GAP_NS."""
    last: dict[tuple[str, str], int] = {}
    begun = []
    for row in sorted(rows, key=lambda row: row.first_ns):
        if row.answer not in last or row.first_ns - last[row.answer] >= GAP_NS:
            begun.append(row)
        last[row.answer] = max(last.get(row.answer, 0), row.last_ns)
    return begun


def _read(
    project_id: int, from_ns: int, end_ns: int, service: tuple[str, ...], model: tuple[str, ...], *, hour: str
) -> list[Served]:
    where, parameters = _narrowed(service, model)
    asked: dict[str, Any] = parameters | {"from_ns": max(0, from_ns), "end_ns": end_ns, "limit": MAX_ROWS}
    rows = client.query(project_id, put(SERVED, where=where, hour=hour), asked, tag="model_changes.served")
    return [Served(**row) for row in rows]


def _narrowed(service: tuple[str, ...], model: tuple[str, ...]) -> Clause:
    clauses, parameters = ["1"], Parameters()
    for name, column, values in (("services", "service", service), ("models", "model_requested", model)):
        if values:
            clauses.append(f"{column} IN %({name})s")
            parameters[name] = values
    return " AND ".join(clauses), parameters
