"""The pages of sessions, users, prompts and of two traces, with what senders may have put into them."""

import json
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import ApiKey, Project
from heliograph.dashboards.text_diff import MAX_LINES, difference
from heliograph.query.scores import Score, write_scores
from tests.query.rows import HOUR, at, llm, new_trace_id, span, store_spans

pytestmark = pytest.mark.usefixtures("store")
HOSTILE = '"/><script>alert(1)</script>../?&#'
IN_HOUR = {"from": HOUR.start.isoformat(), "to": HOUR.end.isoformat()}


def said(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def exchange(project: Project, seconds: float, asked: str, answer: str, **fields: Any) -> dict[str, Any]:
    usual = {"input": said("user", asked), "output": said("assistant", answer), "cost": Decimal("0.25")}
    usual |= {"input_preview": asked[:200], "output_preview": answer[:200], "prompt_name": "", "prompt_version": ""}
    row = llm(new_trace_id(), seconds, **(usual | {"parent_span_id": ""} | fields))
    store_spans(project.pk, row)
    return row


def get(reader: Client, page: str, project: Project, **query: str) -> Any:
    return reader.get(reverse(page, args=[project.slug]), query | IN_HOUR)


def test_a_session_is_listed_opened_and_leads_to_its_trace_and_user(reader: Client, project: Project) -> None:
    first = exchange(project, 1, "Where is it?", "On its way.", session_id=HOSTILE, user_id="ann")
    exchange(project, 2, "Thanks!", "Gladly.", session_id=HOSTILE, user_id="ann", status="error")
    score = Score(score_id="g", trace_id=first["trace_id"], time_ns=at(1), name="g", value=0.5, source="api")
    write_scores(project.pk, [score], 90)
    listed = get(reader, "sessions", project)
    assert "<script>alert" not in listed.content.decode()
    [entry] = listed.context["listed"]
    assert (entry.row.traces, entry.row.failed, entry.row.cost) == (2, 1, Decimal("0.5"))
    one = get(reader, "sessions-one", project, id=HOSTILE).content.decode()
    assert "<script>alert" not in one
    assert one.index("Where is it?") < one.index("On its way.") < one.index("Thanks!") < one.index("Gladly.")
    assert reverse("trace", args=[project.slug, first["trace_id"]]) in one
    user = get(reader, "sessions-user", project, id="ann")
    assert [each.row.id for each in user.context["sessions"]] == [HOSTILE]
    assert user.context["traces"][0].trace_id == first["trace_id"]
    for name in ("sessions-one", "sessions-user"):
        missing = get(reader, name, project, id="nobody")
        assert (missing.status_code, b"longer time range" in missing.content) == (404, True)


def test_what_the_pages_say_the_api_says(project: Project) -> None:
    row = exchange(project, 1, "Where?", "Here.", session_id="s", user_id="u", prompt_name="p", prompt_version="7")
    program = Client(headers={"x-api-key": ApiKey.issue(project, "test")[1]})

    def ask(path: str, **parameters: str) -> Any:
        times = {"start": IN_HOUR["from"], "end": IN_HOUR["to"]}
        return program.get(f"/api/v1/{path}", parameters | times)

    [session] = ask("sessions").json()["items"]
    assert (session["id"], session["cost"], session["others"]) == ("s", "0.250000000000", ["u"])
    [user] = ask("users", q="u").json()["items"]
    assert (user["id"], user["traces"], user["latency_p50_ns"]) == ("u", 1, row["duration_ns"])
    conversation = ask("sessions/one", id="s").json()
    assert [(one["said"], one["answered"]) for one in conversation["items"]] == [("Where?", "Here.")]
    [prompt] = ask("prompts").json()["items"]
    assert (prompt["name"], prompt["latest_version"], prompt["calls"]) == ("p", "7", 1)
    [version] = ask("prompts/versions", name="p").json()["items"]
    assert (version["version"], version["text"], version["cost_per_call"]) == ("7", "Where?", "0.250000000000")
    assert ask("sessions/one", id="nobody").status_code == ask("prompts/versions", name="nobody").status_code == 404
    assert ask("sessions", cursor="bm9uZQ").status_code == 400


def test_versions_of_a_prompt_stand_beside_each_other_with_what_their_text_changed(
    reader: Client, project: Project
) -> None:
    for number, text in enumerate(("Be brief.\nNever guess.", "Be kind.\nNever guess. <b>")):
        version = str(number + 1)
        exchange(project, number, "", "", prompt_name=HOSTILE, prompt_version=version, input=said("system", text))
    assert HOSTILE in [row.name for row in get(reader, "models-prompts", project).context["rows"]]
    page = get(reader, "models-prompt", project, name=HOSTILE)
    compared = page.context["compared"]
    assert (compared.before, compared.after) == ("1", "2")
    lines = [(line.kind, "".join(piece.text for piece in line.pieces)) for line in compared.difference.lines]
    assert lines == [
        ("removed", "Be brief."),
        ("removed", "Never guess."),
        ("added", "Be kind."),
        ("added", "Never guess. <b>"),
    ]
    text = page.content.decode()
    assert "<mark>kind</mark>" in text
    assert "guess. <b>" not in text
    assert "<script>alert" not in text
    assert get(reader, "models-prompt", project, name="nobody").status_code == 404


def test_a_version_leads_to_its_traces_and_its_quality_to_the_worse_of_them(reader: Client, project: Project) -> None:
    rows = [
        exchange(project, number, "Refund?", f"{number}", prompt_name=HOSTILE, prompt_version=f"v {number % 2}")
        for number in range(6)
    ]
    judged = {"name": "kind", "source": "api"}
    given = [
        Score(
            score_id=str(number),
            time_ns=at(number),
            value=number / 10,
            trace_id=row["trace_id"],
            span_id=row["span_id"],
            **judged,
        )
        for number, row in enumerate(rows)
    ]
    write_scores(project.pk, given, 90)
    shown = next(
        one for one in get(reader, "models-prompt", project, name=HOSTILE).context["rows"] if one.row.version == "v 1"
    )
    assert _listed(reader, project, shown.calls) == {rows[number]["trace_id"] for number in (1, 3, 5)}
    assert _listed(reader, project, shown.worse) == {rows[1]["trace_id"]}


def _listed(reader: Client, project: Project, text: str) -> set[str]:
    return {row.trace.trace_id for row in get(reader, "traces", project, q=text).context["listed"]}


def test_two_traces_are_compared_by_figures_spans_texts_and_parameters(reader: Client, project: Project) -> None:
    key = "gen_ai.request.temperature"
    before = exchange(project, 1, "Refund?", "90 days.", attributes={key: "0"})
    after = exchange(project, 2, "Refund?", "30 days.", duration_ns=3 * 10**9, attributes={key: "1"})
    step = span(after["trace_id"], 2, parent_span_id=after["span_id"], name="new step", is_entry=False)
    store_spans(project.pk, step)
    url = reverse("traces-compare", args=[project.slug])
    page = reader.get(url, {"before": before["trace_id"], "after": after["trace_id"]})
    assert {figure.title: figure.change for figure in page.context["figures"]}["Duration"] == 2.0
    pairs = [(bool(row.pair.before), bool(row.pair.after)) for row in page.context["pairs"]]
    assert pairs == [(True, True), (False, True)]
    chosen = page.context["chosen"]
    assert chosen.said.is_same
    assert [(one.key, one.before, one.after) for one in chosen.parameters] == [(key, "0", "1")]
    assert "<mark>30</mark>" in page.content.decode()
    stranger = llm(new_trace_id(), 1)
    store_spans(project.pk + 1_000_000, stranger)
    for other in ("f" * 32, stranger["trace_id"]):
        missing = reader.get(url, {"before": before["trace_id"], "after": other})
        assert (missing.status_code, b"no trace after" in missing.content) == (404, True)


def test_a_difference_names_each_changed_line_and_is_bounded() -> None:
    found = difference("\n".join("abcdefghij"), "\n".join("abcdefgXij"))
    assert (found.lines[0].kind, found.lines[0].skipped) == ("same", 4)
    assert [line.pieces[0].text for line in found.lines if line.kind != "same"] == ["h", "X"]
    assert difference("same", "same").is_same
    assert difference("", "new").lines[0].kind == "added"
    long = difference("\n".join(map(str, range(MAX_LINES + 5))), "")
    assert (long.is_cut, long.removed) == (True, MAX_LINES)
