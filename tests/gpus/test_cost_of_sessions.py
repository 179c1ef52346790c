"""What sessions and users cost of the GPUs is what their traces cost, on the pages too, and agrees with the models."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from heliograph.accounts.models import GpuPrice, Membership, Project, User
from heliograph.clickhouse import client
from heliograph.query import attribution, attribution_totals, subjects
from heliograph.query.attribution import Price
from heliograph.query.filters import TimeRange
from heliograph.query.subjects import Kind
from heliograph.query.traces import summaries
from tests.gpus.conftest import Played

pytestmark = pytest.mark.usefixtures("store")
KINDS: tuple[Kind, ...] = ("session", "user")
HOURLY = Decimal("3.6")

# Of each trace, from the rows that nobody wrote again since: no summary, no join over minutes.
GPU_SECONDS = """
SELECT subject, sum(seconds) AS gpu_seconds
FROM (
    SELECT DISTINCT trace_id, {column} AS subject FROM spans
    WHERE project_id = %(project_id)s AND subject != ''
) AS named
INNER JOIN (
    SELECT trace_id, sum(gpu_seconds) AS seconds
    FROM attributions AS a
    INNER JOIN (
        SELECT minute, gpu_uuid, max(version) AS newest FROM attribution_windows
        WHERE project_id = %(project_id)s GROUP BY minute, gpu_uuid
    ) AS w ON w.minute = a.minute AND w.gpu_uuid = a.gpu_uuid AND w.newest = a.version
    WHERE a.project_id = %(project_id)s AND span_id != ''
    GROUP BY trace_id
) AS shares ON shares.trace_id = named.trace_id
GROUP BY subject
"""


COPIED: dict[str, str] = {
    # The day names users and no session; one in five of its traces is of the same conversation.
    "spans": ", if(user_id = '', '', concat('talk-', toString(cityHash64(trace_id) %% 5))) AS session_id",
    "attributions": "",
    "attribution_windows": "",
}


@pytest.fixture
def talked(played: Played, project_id: int) -> int:
    """A project with the same day, in which traces are of sessions too."""
    for table, changed in COPIED.items():
        sql = (
            f"INSERT INTO {table} SELECT * REPLACE (toUInt32(%(to)s) AS project_id{changed})"
            f" FROM {table} AS day WHERE day.project_id = %(source)s"
        )
        client.execute_unscoped(sql, {"to": project_id, "source": played.project_id}, tag="test.copy")
    return project_id


@pytest.fixture
def price(played: Played) -> Price:
    return Price(valid_from=played.span.start - timedelta(days=1), usd_per_gpu_hour=HOURLY)


@pytest.mark.parametrize("kind", KINDS)
def test_what_each_cost_of_the_gpus_is_that_of_its_traces_by_plain_sql(
    talked: int, played: Played, price: Price, kind: Kind
) -> None:
    sql = GPU_SECONDS.replace("{column}", f"{kind}_id")
    counted = client.query(talked, sql, tag="test.gpu_seconds")
    expected = {row["subject"]: row["gpu_seconds"] for row in counted}
    rows = subjects.list_subjects(talked, kind, played.span, limit=100).items
    found = subjects.own_costs(talked, rows, kind, played.span, [price])
    assert len(found) > 3
    assert {name: cost.gpu_seconds for name, cost in found.items()} == {
        row.id: pytest.approx(expected[row.id]) for row in rows if row.id in expected
    }
    for cost in found.values():
        assert cost.usd == pytest.approx(Decimal(cost.gpu_seconds) * HOURLY / 3600)


def test_users_cost_together_what_the_models_cost(played: Played, price: Price) -> None:
    rows = subjects.list_subjects(played.project_id, "user", played.span, limit=1_000).items
    of_users = subjects.own_costs(played.project_id, rows, "user", played.span, [price])
    by_model = attribution.by_dimension(played.project_id, played.span, "model", [price])
    by_user = attribution.by_dimension(played.project_id, played.span, "user", [price])
    # Calls of which no span names a user are of no user's trace.
    unnamed = sum((group.gpu.usd or 0 for group in by_user.groups if group.gpu and not group.key), Decimal(0))
    models = sum((group.gpu.usd or 0 for group in by_model.groups if group.gpu and group.key), Decimal(0))
    assert sum((cost.usd or 0 for cost in of_users.values()), Decimal(0)) == pytest.approx(models - unnamed)


def test_a_row_and_its_traces_say_the_same_on_the_page(
    reader: Client, project: Project, played: Played, price: Price
) -> None:
    GpuPrice.objects.create(project=project, valid_from=price.valid_from, usd_per_gpu_hour=HOURLY)
    answer = reader.get(f"{reverse('sessions-users', args=[project.slug])}?{played.query}")
    listed = max(answer.context["listed"], key=lambda each: each.cost.own.gpu_seconds if each.cost.own else 0)
    assert listed.cost.is_estimate
    page = subjects.trace_ids(project.pk, "user", listed.row.id, played.span, limit=1_000)
    of_traces = [
        cost
        for first in range(0, len(page.items), attribution_totals.MAX_TRACES)
        for cost in attribution_totals.of_traces(
            project.pk,
            list(summaries(project.pk, page.items[first : first + attribution_totals.MAX_TRACES]).values()),
            [price],
        ).values()
    ]
    assert listed.cost.own.usd == pytest.approx(sum((cost.usd or 0 for cost in of_traces), Decimal(0)))
    one = reader.get(f"{reverse('sessions-user', args=[project.slug])}?id={listed.row.id}&{played.query}")
    assert one.context["cost"] == listed.cost


def test_the_api_says_what_the_pages_say(
    reader: Client, api: Client, project: Project, played: Played, price: Price
) -> None:
    GpuPrice.objects.create(project=project, valid_from=price.valid_from, usd_per_gpu_hour=HOURLY)
    listed = reader.get(f"{reverse('sessions-users', args=[project.slug])}?{played.query}").context["listed"]
    told = api.get("/api/v1/users", {"start": played.span.start.isoformat(), "end": played.span.end.isoformat()}).json()
    assert any(each.cost.is_estimate for each in listed)
    assert [
        (one["id"], Decimal(one["total_cost"]), one["total_unpriced_count"], Decimal(one["gpu_share"]["usd"]))
        for one in told["items"]
    ] == [(each.row.id, each.cost.usd, each.cost.unpriced, each.cost.own.usd) for each in listed]


def test_a_conversation_of_the_api_says_what_its_page_says(
    talked: int, played: Played, price: Price, project: Project
) -> None:
    of_day = Project.objects.create(pk=talked, organization=project.organization, name="Talked", slug="talked")
    user = User.objects.create(username="reader-of-talks")
    Membership.objects.create(organization=project.organization, user=user, role=Membership.Role.VIEWER)
    browser = Client()
    browser.force_login(user)
    dates = {"start": played.span.start.isoformat(), "end": played.span.end.isoformat()}
    for priced in (False, True):
        if priced:
            GpuPrice.objects.create(project=of_day, valid_from=price.valid_from, usd_per_gpu_hour=HOURLY)
        told = browser.get("/api/v1/sessions/one", dates | {"id": "talk-1", "project": "talked"}).json()
        page = browser.get(f"{reverse('sessions-one', args=['talked'])}?id=talk-1&{played.query}")
        cost = page.context["cost"]
        total = told["session"]["total_cost"]
        assert (None if total is None else Decimal(total)) == cost.usd
        assert told["session"]["total_unpriced_count"] == cost.unpriced
        assert (told["session"]["gpu_share"] is None) is not priced
        shares = [one["trace"]["gpu_share"] for one in told["items"]]
        owns = [each.cost.own for each in page.context["exchanges"]]
        assert [share and share["usd"] and Decimal(share["usd"]) for share in shares][: len(owns)] == [
            own and own.usd for own in owns
        ]


def test_without_a_price_or_over_a_range_of_months_nothing_is_asked(played: Played, price: Price) -> None:
    rows = subjects.list_subjects(played.project_id, "user", played.span).items
    months = TimeRange(played.span.end - timedelta(days=60), played.span.end)
    assert subjects.own_costs(played.project_id, rows, "user", played.span, []) == {}
    assert subjects.own_costs(played.project_id, rows, "user", months, [price]) == {}
    assert subjects.own_costs(played.project_id, (), "user", played.span, [price]) == {}


def test_the_share_of_each_model_is_the_one_beside_the_calls_of_apis(played: Played, price: Price) -> None:
    whole = attribution.by_dimension(played.project_id, played.span, "model", [price], limit=1_000)
    alone = attribution.shares(played.project_id, played.span, "model", [price])
    assert alone == {group.key: group.gpu for group in whole.groups if group.gpu is not None}
