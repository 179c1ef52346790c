"""The list of traces: filters, facets, paging, and what senders may put into a row."""

import csv
import html
import io
import json
import re
import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.dashboards import trace_export
from heliograph.query.scores import Score, write_scores
from tests.dashboards.conftest import IN_HOUR, Signed
from tests.query.rows import at, llm, new_trace_id, span, store_spans

pytestmark = pytest.mark.usefixtures("store")
HTMX = {"HX-Request": "true"}


@pytest.fixture
def address(project: Project) -> str:
    return f"{reverse('traces', args=[project.slug])}?{IN_HOUR}"


def shown(page: bytes) -> list[str]:
    return re.findall(r'<tr data-href="[^"]*/traces/([0-9a-f]+)"', page.decode())


def store(project: Project, *fields: dict[str, object]) -> list[str]:
    rows = [span(new_trace_id(), number, **given) for number, given in enumerate(fields)]
    store_spans(project.pk, *rows)
    return [row["trace_id"] for row in rows]


def test_an_empty_list_teaches_how_to_send(reader: Client, address: str) -> None:
    assert b"OTEL_EXPORTER_OTLP_ENDPOINT" in reader.get(address).content


def test_a_filter_without_a_match_says_so_instead_of_teaching(reader: Client, address: str) -> None:
    page = reader.get(f"{address}&service=nobody").content
    assert b"No trace matches" in page
    assert b"OTEL_EXPORTER" not in page


@pytest.mark.parametrize(
    ("query", "matching"),
    [
        ("service=a", {0, 1}),
        ("service=a&service=b", {0, 1, 2}),
        ("status=error", {1}),
        ("environment=live", {2}),
        ("q=zebra", {0}),
        ("min_ms=1500", {2}),
        ("user=u1", {1}),
        ("session=s1", {2}),
        ("tag=blue", {0}),
        ("service=a&status=error", {1}),
        ("", {0, 1, 2}),
    ],
)
def test_filters_show_what_they_say(
    reader: Client, address: str, project: Project, query: str, matching: set[int]
) -> None:
    ids = store(
        project,
        {"service": "a", "input": "a zebra crossing", "tags": ["blue"]},
        {"service": "a", "status": "error", "user_id": "u1"},
        {"service": "b", "environment": "live", "duration_ns": 2 * 10**9, "session_id": "s1"},
    )
    assert sorted(shown(reader.get(f"{address}&{query}").content)) == sorted(ids[number] for number in matching)


def test_a_bound_on_the_score_shows_the_badly_grounded_only(reader: Client, address: str, project: Project) -> None:
    rows = [llm(new_trace_id(), number, parent_span_id="") for number in range(2)]
    store_spans(project.pk, *rows)
    for row, value in zip(rows, (0.2, 0.9), strict=True):
        judged = {"trace_id": row["trace_id"], "span_id": row["span_id"], "name": "groundedness", "source": "api"}
        write_scores(project.pk, [Score(score_id="a", time_ns=at(1), value=value, **judged)], 90)
    listed = reader.get(f"{address}&score_below=0.5").context["listed"]
    assert [row.trace.trace_id for row in listed] == [rows[0]["trace_id"]]
    assert [score.value for score in listed[0].scores] == [0.2]


@pytest.mark.parametrize("query", ["min_ms=fast", "score_below=nan", "q=modle:x", 'q="refund'])
def test_a_filter_that_cannot_be_read_is_explained_and_kept(reader: Client, address: str, query: str) -> None:
    answer = reader.get(f"{address}&{query}")
    assert answer.status_code == 200
    assert b"This filter cannot be read: at character" in answer.content
    assert html.escape(answer.context["text"], quote=True).replace("&#x27;", "&#39;").encode() in answer.content
    assert query.split("=")[1] in answer.context["text"]


def test_a_cursor_that_nobody_gave_out_is_refused(reader: Client, address: str) -> None:
    assert reader.get(f"{address}&cursor=%00nonsense").status_code == 400


def test_older_traces_show_each_trace_once_and_none_is_left_out(reader: Client, address: str, project: Project) -> None:
    rows = []
    for number in range(120):
        trace_id = new_trace_id()
        rows += [span(trace_id, number), llm(trace_id, number + 0.5)]
    store_spans(project.pk, *rows)
    seen, answer = [], reader.get(address)
    for _ in range(5):
        seen += shown(answer.content)
        link = re.search(r'hx-get="([^"]+)"', answer.content.decode())
        if link is None:
            break
        answer = reader.get(reverse("traces", args=[project.slug]) + html.unescape(link.group(1)), headers=HTMX)
        assert b"<html" not in answer.content
    assert sorted(seen) == sorted({row["trace_id"] for row in rows})


def test_a_facet_link_adds_its_filter_and_a_second_one_takes_it_away(
    reader: Client, address: str, project: Project
) -> None:
    ids = store(project, {"service": "a&b"}, {"service": "c"})
    path = reverse("traces", args=[project.slug])

    def link(url: str) -> tuple[str, bool]:
        panels = {panel.field: panel.links for panel in reader.get(url).context["facets"]}
        return next((path + entry.url, entry.current) for entry in panels["service"] if entry.value == "a&b")

    on, was_current = link(address)
    assert not was_current
    assert shown(reader.get(on).content) == [ids[0]]
    off, is_current = link(on)
    assert is_current
    assert len(shown(reader.get(off).content)) == 2


def test_a_facet_edits_the_text_and_leaves_the_rest_of_it(reader: Client, address: str, project: Project) -> None:
    ids = store(project, {"service": "a", "status": "error"}, {"service": "b", "status": "error"}, {"service": "a"})
    page = reader.get(f"{address}&q=-status:ok latency>10ms")
    [link] = [each for panel in page.context["facets"] for each in panel.links if each.value == "a"]
    answer = reader.get(reverse("traces", args=[project.slug]) + link.url)
    assert answer.context["text"] == "service:a -status:ok latency>10ms"
    assert shown(answer.content) == [ids[0]]
    assert b"Counts are of spans" in answer.content


def test_what_links_name_stands_in_the_box(reader: Client, address: str) -> None:
    page = reader.get(f"{address}&q=refund&service=a&service=b c&min_ms=5&score_below=0.5")
    assert page.context["text"] == 'refund service:a,"b c" latency>=5ms score.groundedness<0.5'


def test_the_address_says_which_columns_there_are(reader: Client, address: str, project: Project) -> None:
    store(project, {"session_id": "s-77", "user_id": "u-88"})
    page = reader.get(f"{address}&cols=session&cols=user&cols=nonsense").content.decode()
    assert "s-77" in page
    assert re.findall(r'<th(?: class="num")?>([^<]+)</th>', page)[:2] == ["Session", "User"]
    assert "s-77" not in reader.get(address).content.decode()


def content(answer: Any) -> str:
    async def joined() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    return async_to_sync(joined)().decode()


def test_an_export_holds_what_matches_and_only_what_is_chosen(reader: Client, address: str, project: Project) -> None:
    ids = store(project, {"service": "a"}, {"service": "=1+1"}, {"service": "b"})
    export = reverse("traces-export", args=[project.slug])
    lines = [json.loads(line) for line in content(reader.get(f"{export}?{IN_HOUR}&q=-service:b")).splitlines()]
    assert {line["trace_id"] for line in lines} == {*ids[:2]}
    assert {line["service"] for line in lines} == {"a", "=1+1"}
    table = content(reader.get(f"{export}?{IN_HOUR}&format=csv&item={ids[1]}&item={'f' * 32}"))
    [row] = csv.DictReader(io.StringIO(table))
    assert (row["trace_id"], row["service"]) == (ids[1], "'=1+1")
    assert reader.get(f"{export}?format=xlsx").status_code == 400
    assert reader.get(f"{export}?q=modle:x").status_code == 400


def test_an_export_pages_through_all_of_it_up_to_its_bound(
    reader: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(project, *({} for _ in range(12)))
    monkeypatch.setattr(trace_export, "_PAGE", 5)
    export = f"{reverse('traces-export', args=[project.slug])}?{IN_HOUR}"
    assert len(set(content(reader.get(export)).splitlines())) == 12
    monkeypatch.setattr(trace_export, "MAX_TRACES", 7)
    assert len(content(reader.get(export)).splitlines()) == 7


def test_new_traces_arrive_once_the_list_is_followed(reader: Client, project: Project) -> None:
    live = reverse("traces-live", args=[project.slug])

    def look(since: str) -> tuple[list[str], str]:
        answer = reader.get(live, {"since": since, "q": "service:a"}, headers=HTMX)
        return shown(answer.content), json.loads(answer["HX-Trigger-After-Swap"])["heliograph:live"]["since"]

    now = time.time_ns()
    before = span(new_trace_id(), 0, service="a", start_time=now - 3000 * 10**9, received_at=(now - 60 * 10**9) // 1000)
    store_spans(project.pk, before)
    found, since = look("0")
    assert found == []
    new = [span(new_trace_id(), 0, service=service, start_time=now) for service in ("a", "b")]
    store_spans(project.pk, *new)
    found, since = look(since)
    assert found == [new[0]["trace_id"]]
    # What came just before the last look may come again: the browser replaces its row.
    assert set(look(since)[0]) <= {new[0]["trace_id"]}
    assert reader.get(live, {"since": "soon"}).status_code == 400


def options(answer: Any) -> list[tuple[str, str]]:
    return [(each.label, each.text) for each in answer.context["suggestions"]]


def test_the_box_completes_fields_and_values_at_the_caret(reader: Client, project: Project) -> None:
    complete = f"{reverse('traces-complete', args=[project.slug])}?{IN_HOUR}"
    store(
        project,
        {"service": "checkout", "session_id": "s-1", "attributes": {"acme.region": "eu west"}, "tags": ["blue"]},
        {"service": "checkout"},
        {"service": "chat"},
    )

    def at(text: str, caret: int | None = None) -> Any:
        place: Any = {"q": text, "at": len(text) if caret is None else caret}
        return reader.get(complete, place)

    assert ("model", "model:") in options(at("mod"))
    assert ("latency", "latency>") in options(at("status:error -lat"))
    assert options(at("service:ch")) == [("checkout", "checkout "), ("chat", "chat ")]
    assert options(at("service:a,che")) == [("checkout", "checkout ")]
    assert options(at("status:")) == [(each, f"{each} ") for each in ("ok", "error", "unset")]
    assert options(at("session:")) == [("s-1", "s-1 ")]
    assert options(at("tag:b")) == [("blue", "blue ")]
    assert options(at("attributes.acme")) == [("attributes.acme.region", "attributes.acme.region:")]
    assert options(at("attributes.acme.region:e")) == [("eu west", '"eu west" ')]
    assert options(at('"words in quotes are no fie')) == []
    [one] = at("service:che model:gpt", 11).context["suggestions"]
    assert (one.start, one.end) == (8, 11)


def test_the_box_completes_what_a_call_asked_for_and_what_the_server_said_of_itself(
    reader: Client, project: Project
) -> None:
    store(
        project,
        {"kind": "llm", "request": {"temperature": "0.7", "seed": "42"}, "response": {"service_tier": "flex"}},
        {"kind": "llm", "request": {"temperature": "0.2"}, "response": {}},
    )

    def at(text: str) -> list[tuple[str, str]]:
        complete = f"{reverse('traces-complete', args=[project.slug])}?{IN_HOUR}"
        return options(reader.get(complete, {"q": text, "at": len(text)}))

    assert ("request", "request.") in at("req")
    assert ("response", "response.") in at("resp")
    assert at("kind:llm request.tem") == [("request.temperature", "request.temperature:")]
    assert ("request.top_p", "request.top_p:") in at("request.")
    assert at("response.tier") == [("response.service_tier", "response.service_tier:")]
    assert at("request.temperature:0.7") == [("0.7", "0.7 ")]
    assert sorted(at("request.temperature:")) == [("0.2", "0.2 "), ("0.7", "0.7 ")]
    assert at("response.service_tier:") == [("flex", "flex ")]
    assert at("request.colour") == []


def test_a_view_is_kept_for_its_author_or_for_everybody(
    reader: Client, address: str, project: Project, signed_in: Signed
) -> None:
    save = reverse("traces-views-save", args=[project.slug])
    kept = {"name": "Slow", "query": "q=latency%3E2s&cols=time&cursor=x&range=7d"}
    assert reader.post(save, kept)["location"].endswith("traces?q=latency%3E2s&cols=time&range=7d")
    other = signed_in()
    assert [view.name for view, _ in reader.get(address).context["views"]] == ["Slow"]
    assert not other.get(address).context["views"]
    reader.post(save, kept | {"is_shared": "on", "query": "q=latency%3E3s"})
    [(view, url)] = other.get(address).context["views"]
    assert url.endswith("traces?q=latency%3E3s")
    other.post(reverse("traces-views-remove", args=[project.slug, view.pk]))
    assert not reader.get(address).context["views"]
    assert reader.post(save, {"name": "", "query": ""}).status_code == 422


def test_a_label_that_somebody_gave_is_shown_counted_and_filtered_by(
    reader: Client, address: str, project: Project
) -> None:
    rows = [llm(new_trace_id(), 1, parent_span_id="", name=f"call {label}") for label in ("rude", "kind")]
    store_spans(project.pk, *rows)
    given = [
        Score(
            score_id="a", name="tone", value=None, label=label, source="human", time_ns=at(1), trace_id=row["trace_id"]
        )
        for label, row in zip(("rude", "kind"), rows, strict=True)
    ]
    write_scores(project.pk, given, 90)
    page = reader.get(address).content.decode()
    assert "tone <b>rude</b>" in page
    assert "unscored" not in page
    assert 'title="tone=rude"' in page
    narrowed = reader.get(f"{address}&label=tone%3Drude").content.decode()
    assert "call rude" in narrowed
    assert "call kind" not in narrowed
    assert "reads name=label" in reader.get(f"{address}&label=rude").content.decode()


def test_hostile_texts_are_escaped(reader: Client, address: str, project: Project) -> None:
    hostile = '"><script>alert(1)</script>'
    store(
        project,
        dict.fromkeys(("service", "name", "release", "input_preview", "output_preview", "environment"), hostile),
    )
    page = reader.get(address).content.decode()
    assert hostile not in page
    assert "<script>alert" not in page


def test_traces_of_another_project_are_not_listed(reader: Client, address: str, project: Project) -> None:
    store_spans(project.pk + 1_000_000, span(new_trace_id(), 1))
    assert shown(reader.get(address).content) == []
