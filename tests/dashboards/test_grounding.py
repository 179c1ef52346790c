"""The sentences of a judged answer stand beside the words of the documents that decided."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.query.scores import Score, write_scores
from tests.query.rows import at, llm, new_trace_id, span, store_spans

pytestmark = pytest.mark.usefixtures("store")
DOCUMENTS = ["Bicycles may be returned within 30 days.", "Delivery costs 39 euros."]
CONTEXT = "\n\n".join(DOCUMENTS)
ANSWER = "You have 30 days. Delivery is free."


def offsets(text: str, part: str) -> dict[str, int]:
    return {"start": text.index(part), "end": text.index(part) + len(part)}


def verdict(part: str, word: str, *evidence: str) -> dict[str, Any]:
    quotes = [offsets(CONTEXT, quote) for quote in evidence]
    return offsets(ANSWER, part) | {"probability": 0.5, "verdict": word, "evidence": quotes}


def judge(project: Project, row: dict[str, Any], entries: list[Any]) -> None:
    details = json.dumps({"sentences": entries})
    judged = {"trace_id": row["trace_id"], "span_id": row["span_id"], "name": "groundedness", "source": "evaluator"}
    write_scores(project.pk, [Score(score_id="a", time_ns=at(2), value=0.5, details=details, **judged)], 90)


def retrieved(*texts: str) -> str:
    return json.dumps([{"content": text} for text in texts])


ENTRIES = [
    verdict("You have 30 days.", "grounded", "returned within 30 days."),
    verdict("Delivery is free.", "hallucinated", "Delivery costs 39 euros."),
]


def sentences(reader: Client, project: Project, row: dict[str, Any]) -> list[tuple[str, bool, tuple[str, ...]]]:
    page = reader.get(reverse("trace", args=[project.slug, row["trace_id"]]), {"span": row["span_id"]})
    answer = reader.get(reverse("trace-evidence", args=[project.slug, row["trace_id"], row["span_id"]]))
    assert [one.text for one in page.context["sentences"]] == [one.text for one in answer.context["sentences"]]
    return [(one.text, one.is_supported, one.evidence) for one in answer.context["sentences"]]


EXPECTED = [
    ("You have 30 days.", True, ("returned within 30 days.",)),
    ("Delivery is free.", False, ("Delivery costs 39 euros.",)),
]


def test_sentences_quote_the_documents_of_the_span(reader: Client, project: Project) -> None:
    row = llm(new_trace_id(), 2, output=ANSWER, documents=retrieved(*DOCUMENTS))
    store_spans(project.pk, llm(row["trace_id"], 1, output="an earlier call"), row)
    judge(project, row, ENTRIES)
    assert sentences(reader, project, row) == EXPECTED


def test_sentences_quote_the_documents_of_the_retrievers_before(reader: Client, project: Project) -> None:
    row = llm(new_trace_id(), 2, output=ANSWER)
    found = [
        span(row["trace_id"], second, kind="retriever", documents=retrieved(text))
        for second, text in enumerate(DOCUMENTS)
    ]
    store_spans(project.pk, row, *found)
    judge(project, row, ENTRIES)
    assert sentences(reader, project, row) == EXPECTED


@pytest.mark.parametrize(
    "entries",
    [
        [],
        ["text"],
        [{"start": 5, "end": 2, "probability": 1}],
        [{"start": 0, "end": 10**6, "probability": 1}],
        [{"start": "0", "end": None, "probability": 1}],
        [offsets(ANSWER, "You") | {"probability": None}],
    ],
)
def test_details_that_do_not_fit_show_no_sentence(reader: Client, project: Project, entries: list[Any]) -> None:
    row = llm(new_trace_id(), 2, output=ANSWER, documents=retrieved(*DOCUMENTS))
    store_spans(project.pk, row)
    judge(project, row, entries)
    assert sentences(reader, project, row) == []


def test_evidence_outside_the_documents_is_left_out(reader: Client, project: Project) -> None:
    row = llm(new_trace_id(), 2, output=ANSWER, documents=retrieved(*DOCUMENTS))
    store_spans(project.pk, row)
    entry = ENTRIES[0] | {"evidence": [{"start": 0, "end": 10_000}, "here"]}
    judge(project, row, [entry])
    assert sentences(reader, project, row) == [("You have 30 days.", True, ())]
