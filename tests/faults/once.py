"""Everything acknowledged is there exactly once: in the rows, in each sum that is made of them, and in the books."""

from collections import Counter
from decimal import Decimal
from typing import Any

from tests.faults.load import INPUT_TOKENS, ITEMS, OUTPUT_TOKENS, Load, Sent
from tests.ingest.books import books
from tests.ingest.stack import Stack, Tenant, eventually


def is_once(stack: Stack, tenant: Tenant, sent: Sent) -> None:
    """Assert that what was sent, and nothing else, is stored once and counted once."""

    def rows(sql: str) -> list[tuple[Any, ...]]:
        return stack.query(sql, project=tenant.id)

    stored = rows("SELECT trace_id, span_id, count() FROM spans WHERE project_id = %(project)s GROUP BY 1, 2")
    assert {(trace, span): n for trace, span, n in stored} == {
        (trace, span): 1 for trace, spans in sent.spans.items() for span in spans
    }
    calls = sum(len(spans) - 1 for spans in sent.spans.values())
    wanted = {
        trace: (len(spans), (len(spans) - 1) * INPUT_TOKENS, (len(spans) - 1) * OUTPUT_TOKENS, 1)
        for trace, spans in sent.spans.items()
    }
    summed = {trace: tuple(sums) for trace, *sums in rows(_TRACES)}
    differing = {trace for trace in wanted.keys() | summed.keys() if wanted.get(trace) != summed.get(trace)}
    # Trace -> what `traces` has, what it should have.
    assert {trace: (summed.get(trace), wanted.get(trace)) for trace in differing} == {}
    assert dict(rows(_STATES)) == {trace: len(spans) for trace, spans in sent.spans.items()}
    [(spans, tokens, cost)] = rows(_ROLLUPS)
    assert (spans, tokens) == (calls + len(sent.spans), calls * (INPUT_TOKENS + OUTPUT_TOKENS))
    [(cost_of_rows,)] = rows("SELECT sum(cost) FROM spans WHERE project_id = %(project)s")
    assert cost == cost_of_rows
    assert cost == 0 or isinstance(cost, Decimal)
    assert rows("SELECT sum(spans) FROM ingest_stored_1m WHERE project_id = %(project)s") == [(spans,)]

    assert {(sender, time): (value, n) for sender, time, value, n in rows(_POINTS)} == {
        key: (value, 1) for key, value in sent.points.items()
    }
    by_sender: dict[str, list[float]] = {}
    for (sender, _), value in sorted(sent.points.items()):
        by_sender.setdefault(sender, []).append(value)
    assert {sender: tuple(shape) for sender, *shape in rows(_METRIC_ROLLUPS)} == {
        sender: (values[0], values[-1], min(values), max(values)) for sender, values in by_sender.items()
    }
    assert Counter(dict(rows(_RECORDS))) == Counter(sent.records)


_TRACES = """
SELECT trace_id, sum(span_count), sum(input_tokens), sum(output_tokens), max(has_root)
FROM traces WHERE project_id = %(project)s GROUP BY trace_id
"""
_STATES = "SELECT trace_id, sum(span_count) FROM trace_states WHERE project_id = %(project)s GROUP BY trace_id"
_ROLLUPS = """
SELECT sum(spans), sum(input_tokens) + sum(output_tokens), sum(cost)
FROM span_rollups_1m WHERE project_id = %(project)s
"""
_POINTS = """
SELECT attributes['sender'], toUnixTimestamp64Nano(time), any(value), count()
FROM metric_points FINAL WHERE project_id = %(project)s GROUP BY 1, 2
"""
_METRIC_ROLLUPS = """
SELECT any(attributes)['sender'], argMinMerge(first), argMaxMerge(last), min(min), max(max)
FROM metric_rollups_1m WHERE project_id = %(project)s GROUP BY series
"""
_RECORDS = "SELECT body, count() FROM log_records FINAL WHERE project_id = %(project)s GROUP BY body"


def is_balanced(found: Counter[str]) -> bool:
    """Say whether the books of one signal add up: docs/ingest-ledger.md has the sum."""
    waiting = found["spooled"] - found["replayed"]
    gone = found["stored"] + found["duplicates"] + found["sampled"] + found["dead"]
    return found["accepted"] + found["revived"] == gone + waiting


def books_agree(stack: Stack, tenant: Tenant, load: Load) -> None:
    """Assert that the ledger says what the senders heard. For a time in which no ingest process was killed."""
    for signal, items in ITEMS.items():
        heard = load.answers(signal)

        def are_complete(signal: str = signal, heard: Counter[int] = heard) -> Counter[str] | None:
            found = books(stack, tenant, signal)
            is_complete = found["requests"] >= heard.total() and found["replayed"] >= found["spooled"]
            return found if is_complete and is_balanced(found) else None

        found = eventually(are_complete)
        assert found["requests"] == heard.total()
        assert found["refused"] == heard[503]
        assert found["accepted"] == found["stored"] == heard[200] * items
        assert found["spooled"] == found["replayed"]
        assert found["duplicates"] == found["dead"] == 0
