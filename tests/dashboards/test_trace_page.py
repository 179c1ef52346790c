"""The page of one trace, whatever its senders put into it."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from collectors.semconv.evaluations import SentScore
from heliograph.accounts.models import Membership, Project
from heliograph.clickhouse import client
from heliograph.dashboards.trace import FIRST_ROWS
from heliograph.query import sent_scores
from heliograph.query.scores import Score, write_scores
from tests.dashboards.conftest import IN_HOUR
from tests.query.rows import SECOND, at, llm, new_trace_id, span, store_rows, store_spans
from tests.query.test_log_events import exchange

pytestmark = pytest.mark.usefixtures("store")
HOSTILE = '</pre></script><script>alert(1)</script><img src=x onerror="alert(2)">'


def path(project: Project, trace_id: str, span_id: str = "") -> str:
    arguments = [project.slug, trace_id] + ([span_id] if span_id else [])
    return reverse("trace-span" if span_id else "trace", args=arguments)


def messages(text: str, role: str = "user") -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def store_call(project: Project, **fields: Any) -> dict[str, Any]:
    row = llm(new_trace_id(), 1, parent_span_id="", **fields)
    store_spans(project.pk, row)
    return row


def test_a_trace_shows_its_conversation_tokens_and_price(reader: Client, project: Project) -> None:
    answer = messages("Paris.", "assistant")
    row = store_call(project, input=messages("Capital of France?"), output=answer, input_tokens=12, output_tokens=3)
    page = reader.get(path(project, row["trace_id"])).content.decode()
    assert "Capital of France?" in page
    assert "Paris." in page
    assert "gpt-4o" in page


def test_a_call_shows_what_was_asked_for_and_which_tools_it_had(reader: Client, project: Project) -> None:
    tools = json.dumps([{"name": "get_weather", "description": HOSTILE, "parameters": {"type": "object"}}])
    row = store_call(
        project,
        request={"temperature": "0.2", "stop_sequences": '["END"]'},
        response={"system_fingerprint": "fp_1"},
        tools=tools,
        modality_tokens={"audio_input": 30},
        input_tokens=40,
    )
    page = reader.get(path(project, row["trace_id"], row["span_id"])).content.decode()
    for said in ("temperature", "<dd>0.2</dd>", "fp_1", "get_weather", "audio input</span>", "Tools it could call (1)"):
        assert said in page
    assert HOSTILE not in page
    answer = reader.get(f"/api/v1/traces/{row['trace_id']}/spans/{row['span_id']}?project={project.slug}").json()
    assert answer["request"] == {"temperature": "0.2", "stop_sequences": '["END"]'}
    assert answer["modality_tokens"] == {"audio_input": 30}
    assert answer["tools"][0]["parameters"] == {"type": "object"}


def test_an_editor_pins_a_trace_and_a_viewer_sees_the_mark(
    reader: Client, project: Project, django_user_model: Any
) -> None:
    row = store_call(project)
    here = path(project, row["trace_id"])
    assert ">Pin</button>" in reader.get(here).content.decode()
    assert reader.post(f"{here}/pin").status_code == 302
    page = reader.get(here).content.decode()
    assert ">pinned</span>" in page
    assert ">Unpin</button>" in page
    assert ">pinned</span>" in reader.get(f"{reverse('traces', args=[project.slug])}?{IN_HOUR}").content.decode()
    viewer = Client()
    viewer.force_login(django_user_model.objects.create(username="viewer"))
    Membership.objects.create(
        organization=project.organization, user=django_user_model.objects.get(username="viewer"), role="viewer"
    )
    seen = viewer.get(here).content.decode()
    assert ">pinned</span>" in seen
    assert ">Unpin</button>" not in seen
    assert viewer.post(f"{here}/pin", {"off": "1"}).status_code == 403
    reader.post(f"{here}/pin", {"off": "1"})
    assert ">pinned</span>" not in reader.get(here).content.decode()
    assert reader.post(path(project, "f" * 32) + "/pin").status_code == 404


def test_an_unknown_id_is_a_page_that_says_why(reader: Client, project: Project) -> None:
    answer = reader.get(path(project, "f" * 32))
    assert answer.status_code == 404
    assert b"may belong to another project" in answer.content


def test_an_id_that_is_none_is_answered_the_same_and_escaped(reader: Client, project: Project) -> None:
    answer = reader.get(path(project, "'><script>alert(1)"))
    assert answer.status_code == 404
    assert b"<script>alert" not in answer.content


def test_a_trace_of_another_project_is_not_shown(reader: Client, project: Project) -> None:
    row = llm(new_trace_id(), 1)
    store_spans(project.pk + 1_000_000, row)
    assert reader.get(path(project, row["trace_id"])).status_code == 404
    assert reader.get(path(project, row["trace_id"], row["span_id"])).status_code == 404


@pytest.mark.parametrize(
    "field", ["name", "model", "service", "release", "session_id", "user_id", "status_message", "error_type", "host"]
)
def test_a_hostile_field_is_escaped(reader: Client, project: Project, field: str) -> None:
    row = store_call(project, status="error", **{field: HOSTILE})
    page = reader.get(path(project, row["trace_id"])).content.decode()
    assert "<script>alert" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize(
    "stored",
    [
        HOSTILE,
        messages(HOSTILE),
        messages(HOSTILE, HOSTILE),
        json.dumps([{"role": "assistant", "parts": [{"type": "tool_call", "name": HOSTILE, "arguments": HOSTILE}]}]),
        json.dumps([{"role": "tool", "parts": [{"type": "tool_call_response", "id": HOSTILE, "response": HOSTILE}]}]),
        json.dumps([{"role": "user", "parts": [{"type": "uri", "uri": "javascript:alert(1)"}]}]),
        json.dumps([{"role": "user", "parts": [{"type": HOSTILE, "mime_type": HOSTILE}]}]),
        '[{"role": "user", "parts": ' + "[" * 500,
    ],
)
def test_hostile_messages_are_text(reader: Client, project: Project, stored: str) -> None:
    row = store_call(project, input=stored, output=stored)
    answer = reader.get(path(project, row["trace_id"]))
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert not re.search(r'(href|src)="\s*javascript:', page)


def test_hostile_attributes_documents_and_scores_are_text(reader: Client, project: Project) -> None:
    documents = json.dumps([{"id": HOSTILE, "content": HOSTILE, "score": 0.5}])
    row = store_call(project, attributes={HOSTILE: HOSTILE, "link": "javascript:alert(1)"}, documents=documents)
    judged = {"trace_id": row["trace_id"], "span_id": row["span_id"], "source": "api"}
    details = json.dumps({"sentences": [{"start": 0, "end": 10**9, "probability": "high"}, HOSTILE]})
    score = Score(score_id="a", time_ns=at(1), name=HOSTILE, value=0.5, label=HOSTILE, explanation=HOSTILE, **judged)
    odd = Score(score_id="b", time_ns=at(1), name="groundedness", value=0.5, details=details, **judged)
    write_scores(project.pk, [score, odd], 90)
    page = reader.get(path(project, row["trace_id"])).content.decode()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert not re.search(r'(href|src)="\s*javascript:', page)


def test_a_link_to_a_trace_id_that_is_none_is_no_script(reader: Client, project: Project) -> None:
    row = store_call(project, session_id="javascript:alert(1)")
    page = reader.get(path(project, row["trace_id"])).content.decode()
    assert "sessions/one?id=javascript%3Aalert%281%29" in page


def test_a_trace_without_its_root_says_so(reader: Client, project: Project) -> None:
    row = llm(new_trace_id(), 1)
    store_spans(project.pk, row)
    page = reader.get(path(project, row["trace_id"])).content
    assert b"still running" in page
    assert b"parent missing" in page


def test_spans_whose_parents_form_a_circle_are_all_shown(reader: Client, project: Project) -> None:
    trace_id = new_trace_id()
    first, second = llm(trace_id, 1), llm(trace_id, 2)
    first["parent_span_id"], second["parent_span_id"] = second["span_id"], first["span_id"]
    store_spans(project.pk, first, second)
    rows = reader.get(path(project, trace_id)).context["rows"]
    assert sorted(row.span.span_id for row in rows) == sorted([first["span_id"], second["span_id"]])


def long_trace(project: Project, calls: int = 2_999) -> tuple[str, list[dict[str, Any]]]:
    """A root and many calls under it, of which the last failed."""
    trace_id = new_trace_id()
    root = span(trace_id, 0, duration_ns=calls * SECOND)
    rows = [llm(trace_id, number, parent_span_id=root["span_id"]) for number in range(calls)]
    rows[-1] |= {"status": "error", "name": "the refund failed", "ttft_ns": 5}
    store_spans(project.pk, root, *rows)
    return trace_id, [root, *rows]


def test_a_trace_of_three_thousand_spans_is_a_small_page_and_packed_rows(reader: Client, project: Project) -> None:
    trace_id, stored = long_trace(project)
    answer = reader.get(path(project, trace_id))
    assert len(answer.context["rows"]) == FIRST_ROWS
    assert len(answer.content) < 400_000
    packed = reader.get(reverse("trace-rows", args=[project.slug, trace_id])).json()
    assert [row[0] for row in packed["rows"]] == [row["span_id"] for row in stored]
    first, last = packed["rows"][0], packed["rows"][-1]
    assert first[1:3] == [0, len(stored) - 1]
    assert (last[1], packed["words"][last[3]], last[8], last[9]) == (1, "the refund failed", 5, 1)
    # One call after another: the whole duration is theirs, and the root has none of its own.
    assert sum(row[13] or 0 for row in packed["rows"]) == packed["length_ns"] == stored[0]["duration_ns"]
    assert first[13] is None


def test_a_text_is_found_in_names_errors_and_messages_of_this_trace_alone(reader: Client, project: Project) -> None:
    trace_id, stored = long_trace(project, 3)
    said = llm(trace_id, 1, input=messages("Where is my Parcel?"), model="other")
    store_spans(project.pk, said, llm(new_trace_id(), 1, input=messages("my parcel")))

    def found(text: str) -> list[str]:
        ids: list[str] = reader.get(reverse("trace-found", args=[project.slug, trace_id]), {"find": text}).json()[
            "spans"
        ]
        return ids

    assert found("REFUND") == found("error") == found(stored[3]["span_id"]) == [stored[3]["span_id"]]
    assert found("parcel where") == [said["span_id"]]
    assert found("gpt-4") == [row["span_id"] for row in stored[1:]]
    assert found("nowhere") == found("  ") == found("%'") == []
    assert reader.get(reverse("trace-found", args=[project.slug, trace_id]), {"find": "x" * 1001}).status_code == 400


def test_the_list_that_the_reader_came_from_stays_in_the_page_s_links(reader: Client, project: Project) -> None:
    rows = [store_call(project, service=service) for service in ("shop", "other", "shop")]
    listed = f"{reverse('traces', args=[project.slug])}?service=shop&{IN_HOUR}"
    page = reader.get(path(project, rows[0]["trace_id"]), headers={"referer": f"http://testserver{listed}"})
    assert page.context["listed"] == listed.partition("?")[2]
    elsewhere = reader.get(path(project, rows[0]["trace_id"]), headers={"referer": f"http://evil.example{listed}"})
    assert elsewhere.context["listed"] == ""
    address = reverse("trace-neighbours", args=[project.slug, rows[2]["trace_id"]])
    links = reader.get(address, {"list": page.context["listed"]})
    assert links.context["is_listed"]
    found = links.context["older"] + links.context["newer"]
    assert rows[0]["trace_id"] in found
    assert rows[1]["trace_id"] not in found
    assert "list=service%3Dshop" in found
    assert reader.get(address, {"list": "q=latency>>"}).status_code == 400


def test_the_curl_command_names_the_trace_and_leaves_the_key_to_the_shell(reader: Client, project: Project) -> None:
    row = store_call(project)
    page = reader.get(path(project, row["trace_id"]))
    assert page.context["curl"].endswith(f"http://testserver/api/v1/traces/{row['trace_id']}")
    assert "$HELIOGRAPH_API_KEY" in page.context["curl"]


def test_the_address_names_the_span_and_the_fragment_is_that_span(reader: Client, project: Project) -> None:
    trace_id = new_trace_id()
    root = span(trace_id, 0, attributes={"who": "root"})
    child = llm(trace_id, 1, parent_span_id=root["span_id"], attributes={"who": "child"})
    store_spans(project.pk, root, child)
    assert reader.get(path(project, trace_id)).context["span"].span_id == child["span_id"]
    whole = reader.get(path(project, trace_id), {"span": root["span_id"]})
    assert whole.context["span"].span_id == root["span_id"]
    fragment = reader.get(path(project, trace_id, root["span_id"]))
    assert b"<html" not in fragment.content
    assert fragment.context["span"].attributes == {"who": "root"}
    assert f'hx-get="{path(project, trace_id, root["span_id"])}"' in whole.content.decode()
    assert reader.get(path(project, trace_id, "0" * 16)).status_code == 404


def test_a_failed_span_shows_what_went_wrong(reader: Client, project: Project) -> None:
    row = store_call(project, status="error", error_type="RateLimitError", status_message="Slow down.")
    page = reader.get(path(project, row["trace_id"])).content.decode()
    assert "RateLimitError" in page
    assert "Slow down." in page


def test_a_score_without_a_value_shows_its_reason_and_no_number(reader: Client, project: Project) -> None:
    row = store_call(project)
    judged = {"trace_id": row["trace_id"], "span_id": row["span_id"], "name": "groundedness", "source": "evaluator"}
    unscored = Score(score_id="a", time_ns=at(1), value=None, label="unscored", explanation="empty context", **judged)
    write_scores(project.pk, [unscored], 90)
    page = reader.get(path(project, row["trace_id"])).content.decode()
    assert 'title="empty context">groundedness unscored</span>' in page


def test_the_head_names_a_few_scores_and_counts_the_others(reader: Client, project: Project) -> None:
    row = store_call(project)
    judged = {"trace_id": row["trace_id"], "span_id": row["span_id"], "source": "api"}
    given = [Score(score_id="a", time_ns=at(1), name=f"score-{number}", value=0.5, **judged) for number in range(20)]
    write_scores(project.pk, given, 90)
    answer = reader.get(path(project, row["trace_id"]))
    assert len(answer.context["trace_scores"]) == 8
    assert b"12</span> more scores" in answer.content


def test_messages_and_scores_that_came_as_log_records_stand_on_the_span_s_page_and_in_the_api(
    reader: Client, project: Project
) -> None:
    call = llm(new_trace_id(), 10, parent_span_id="")
    store_spans(project.pk, call)
    late = [each | {"time": each["time"] + 2 * 86_400 * SECOND} for each in exchange(call)]
    store_rows(project.pk, "log_records", late)
    said = SentScore(
        "otlp-1", "relevance", 0.75, "", "it answers", call["start_time"], call["trace_id"], call["span_id"]
    )
    sent_scores.write(project.pk, [said], 90)
    page = reader.get(reverse("trace", args=[project.slug, call["trace_id"]])).content.decode()
    for text in ("How long does delivery take?", "Two days.", "relevance", "it answers"):
        assert text in page
    address = reverse("api-span", args=[call["trace_id"], call["span_id"]])
    span = reader.get(address, {"project": project.slug}).json()
    assert "Two days." in str(span["output"])
    trace = reader.get(reverse("api-trace", args=[call["trace_id"]]), {"project": project.slug}).json()
    assert [score["value"] for score in trace["scores"]] == [0.75]


def test_a_trace_says_how_far_it_is(reader: Client, project: Project) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1)
    whole = store_call(project, received_at=long_ago)
    lacking = llm(new_trace_id(), 1, received_at=long_ago, is_entry=True)
    store_spans(project.pk, lacking)
    just_now = store_call(project)
    shown = {row["trace_id"]: reader.get(path(project, row["trace_id"])).content.decode() for row in (whole, lacking)}
    assert "incomplete: root missing" in shown[lacking["trace_id"]]
    assert "incomplete" not in shown[whole["trace_id"]]
    assert "just ended" in reader.get(path(project, just_now["trace_id"])).content.decode()
    listed = reader.get(f"{reverse('traces', args=[project.slug])}?{IN_HOUR}").content.decode()
    assert "incomplete: root missing" in listed
    assert listed.count("just ended") == 1


def test_a_trace_that_was_sampled_out_says_so_with_what_is_still_known(reader: Client, project: Project) -> None:
    row = store_call(project, name="answer me", input_tokens=12, output_tokens=3)
    client.query(project.pk, "DELETE FROM spans WHERE project_id = %(project_id)s", tag="tests.delete")
    mark = {"trace_id": row["trace_id"], "removed_at": datetime.now(UTC), "removed_why": "no sampling rule wanted it"}
    store_rows(project.pk, "trace_states", [mark | {"start_time": datetime.now(UTC), "retention_days": 90}])
    answer = reader.get(path(project, row["trace_id"]))
    page = answer.content.decode()
    assert answer.status_code == 410
    assert "no sampling rule wanted it" in page
    assert "answer me" in page
