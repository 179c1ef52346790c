"""The list of traces: filters, facets, paging, and what senders may put into a row."""

import html
import re

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import Project
from heliograph.query.scores import Score, write_scores
from tests.dashboards.conftest import IN_HOUR
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


@pytest.mark.parametrize("query", ["min_ms=fast", "min_ms=-1", "score_below=nan", "score_below=inf"])
def test_a_filter_that_is_no_number_is_explained_and_kept(reader: Client, address: str, query: str) -> None:
    answer = reader.get(f"{address}&{query}")
    assert answer.status_code == 200
    assert b"cannot be used" in answer.content
    assert f'value="{query.split("=")[1]}"'.encode() in answer.content


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


def test_a_filter_in_force_can_be_removed_by_its_pill(reader: Client, address: str, project: Project) -> None:
    store(project, {"service": "a"}, {"service": "b"})
    [pill] = reader.get(f"{address}&service=a").context["active"]
    assert len(shown(reader.get(reverse("traces", args=[project.slug]) + pill.remove_url).content)) == 2


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
