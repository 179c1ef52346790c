"""Texts that were taken out of spans are found by their words and read whole, by every question that reads texts."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from collectors.contents import Splitter
from heliograph.clickhouse import client
from heliograph.query import evaluation, spans
from heliograph.query.evaluation import Watermark
from tests.query.rows import llm, new_trace_id, spans_in_hour, store_spans

pytestmark = pytest.mark.usefixtures("store")
FILLER = "and so on, and on " * 100


def store_call(project_id: int, question: str, answer: str, documents: str = "") -> str:
    """Store a model call as the ingest does; return its span's id."""
    splitter = Splitter(project_id.to_bytes(8, "big"))
    used: list[str] = []
    asked = [{"role": "user", "parts": [{"type": "text", "content": question}]}]
    said = [{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]
    found = json.dumps([{"content": documents}]) if documents else ""
    row = llm(
        new_trace_id(),
        1,
        input=splitter.split(json.dumps(asked), used, "i"),
        output=splitter.split(json.dumps(said), used, "o"),
        documents=splitter.split(found, used, "x") if found else "",
        input_preview=question[:200],
        output_preview=answer[:200],
        contents=used,
    )
    hashes = list(splitter.texts)
    columns = {"project_id": [project_id] * len(hashes), "hash": hashes, "text": list(splitter.texts.values())}
    client.insert("contents", columns | {"expires_on": [datetime.now(UTC).date() + timedelta(days=90)] * len(hashes)})
    store_spans(project_id, row)
    return str(row["span_id"])


def found_by(project_id: int, text: str) -> set[str]:
    return {row.span_id for row in spans.list_spans(project_id, spans_in_hour(text=text)).items}


def test_a_search_finds_words_in_long_texts_on_the_side_where_they_stand(project_id: int) -> None:
    asked = store_call(project_id, f"Where is the Zebra? {FILLER}", "short answer")
    said = store_call(project_id, "short question", f'{FILLER} a "zebra" \n crossing')
    assert found_by(project_id, "zebra") == {asked, said}
    assert found_by(project_id, "zebra crossing") == {said}
    # One word in the long text, the other in what stayed in the span.
    assert found_by(project_id, "zebra user") == {asked}
    assert found_by(project_id, "zebra answer") == set()
    assert found_by(project_id, "zeb") == set()


def test_a_search_finds_nothing_in_another_projects_texts(project_id: int) -> None:
    store_call(project_id, f"Where is the okapi? {FILLER}", "short")
    assert found_by(project_id + 10**6, "okapi") == set()


def test_evaluators_read_whole_texts(project_id: int) -> None:
    question, answer, document = (f'{word} "{FILLER}"\n' for word in ("asked", "said", "read"))
    store_call(project_id, question, answer, document)
    (span,) = evaluation.spans_to_evaluate(project_id, Watermark(0), datetime.now(UTC) + timedelta(minutes=1))
    assert (span.question, span.answer, span.documents[0].content) == (question, answer, document)
