"""How much waits for a rule of evaluation, against plain SQL over the raw spans."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from heliograph.query import online
from heliograph.query.filters import EPOCH
from tests.query.rows import llm, new_trace_id, plain, span, spans_in_hour, store_spans

pytestmark = pytest.mark.usefixtures("store")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RAW = """
SELECT count() AS spans, min(received_at) AS oldest FROM spans
WHERE {mine} AND kind = 'llm' AND output != ''
    AND bitShiftRight(sipHash64('evaluate', trace_id), 11) < RATE * pow(2, 53)
    AND (received_at >= '2026-03-02 12:00:00' AND received_at < '2026-03-02 12:20:00'
        OR received_at >= '2026-03-02 12:40:00' AND received_at < '2026-03-02 13:00:00')
"""


@pytest.fixture
def answered(project_id: int) -> int:
    chance = random.Random(5)
    rows = []
    for number in range(120):
        # A text with a preview, one that has none (an image, say), and no text.
        output, preview = chance.choice([("[1]", "one"), ("[2]", ""), ("", "")])
        make = span if number % 10 == 0 else llm
        received = NOON + timedelta(minutes=number / 2, microseconds=number)
        rows.append(make(new_trace_id(), number, output=output, output_preview=preview, received_at=received))
    store_spans(project_id, *rows)
    return project_id


@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_what_waits_is_what_a_plain_count_finds(answered: int, rate: float) -> None:
    stretches = [(_micros(0), _micros(20)), (_micros(40), _micros(60))]
    found = online.waiting(answered, spans_in_hour(kind=("llm",)), rate, stretches)
    [raw] = plain(answered, RAW.replace("RATE", str(rate)))
    assert found.spans == raw["spans"]
    assert found.oldest == (raw["oldest"] if raw["spans"] else None)
    assert found.spans > 0 or rate < 1


def test_answers_with_and_without_a_preview_wait(answered: int) -> None:
    found = online.waiting(answered, spans_in_hour(), 1.0, [(_micros(0), _micros(60))])
    with_preview, without = (
        plain(answered, f"SELECT count() AS n FROM spans WHERE {{mine}} AND output = '{output}'")[0]["n"]
        for output in ("[1]", "[2]")
    )
    assert with_preview > 0
    assert without > 0
    assert found.spans == with_preview + without


@pytest.mark.parametrize("preview", ["one", ""])
def test_the_oldest_is_the_oldest_of_all_where_only_some_are_counted(
    project_id: int, monkeypatch: pytest.MonkeyPatch, preview: str
) -> None:
    monkeypatch.setattr(online, "MAX_COUNTED", 3)
    # What comes first in the order of storage arrived last.
    rows = [
        llm(
            new_trace_id(),
            60 * number,
            output="[1]",
            output_preview=preview,
            received_at=NOON + timedelta(minutes=50 - number),
        )
        for number in range(10)
    ]
    store_spans(project_id, *rows)
    found = online.waiting(project_id, spans_in_hour(), 1.0, [(_micros(0), _micros(60))])
    assert (found.spans, found.oldest) == (3, NOON + timedelta(minutes=41))


def _micros(minutes: int) -> int:
    return (NOON + timedelta(minutes=minutes) - EPOCH) // timedelta(microseconds=1)
