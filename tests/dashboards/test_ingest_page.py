"""The ingest page and the limits: what was counted is shown, what waits is found, and nothing is run as markup."""

import time
from datetime import UTC, datetime

import pytest
from django.conf import settings as in_force
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from heliograph.accounts.models import ApiKey, Membership, Organization, Project
from heliograph.clickhouse import client
from heliograph.ingest.dead_letters import MAX_LISTED, DeadLetters, Letter
from heliograph.ingest.exports import Export
from heliograph.query import ledger
from tests.dashboards.conftest import Signed
from tests.ingest.senders import trace_request

pytestmark = pytest.mark.usefixtures("store")


def note(project: Project, key_id: int, **counts: int) -> None:
    """Write counts of this minute into the ledger."""
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    whats = [name.partition("__") for name in counts]
    columns = {
        "project_id": [project.pk] * len(counts),
        "key_id": [key_id] * len(counts),
        "signal": ["metrics"] * len(counts),
        "minute": [minute] * len(counts),
        "what": [what for what, _, _ in whats],
        "reason": [reason for _, _, reason in whats],
        "n": list(counts.values()),
    }
    client.insert("ingest_ledger", columns)


def keep(project: Project, body: bytes, *, content_type: str = "protobuf", signal: str = "traces") -> Letter:
    letters = DeadLetters(in_force.SPOOL_DIR)
    export = Export(signal, project.pk, 90, content_type, "", time.time_ns(), body)
    letters.keep(export, "malformed", "it cannot be read <script>")
    return letters.all_of(project.pk)[0]


def test_the_page_shows_what_was_counted_by_key_with_reasons(project: Project, reader: Client) -> None:
    key, _ = ApiKey.issue(project, "checkout")
    note(project, key.pk, requests=7, accepted=41, stored=31, spooled=15, replayed=5, bytes=2048, refused__malformed=2)
    page = reader.get(reverse("ingest", args=[project.slug])).content.decode()
    assert "checkout" in page
    assert "malformed" in page
    for count in ("41", "31", "15"):
        assert f">{count}<" in page
    # In the spool: spooled and not replayed.
    assert ">10<" in page


def test_htmx_gets_the_numbers_of_now_alone(project: Project, reader: Client) -> None:
    note(project, 1, requests=7, accepted=41)
    answer = reader.get(reverse("ingest", args=[project.slug]), headers={"hx-request": "true"}).content.decode()
    assert answer.startswith('<div id="ingest-now" hx-get=')
    assert ">41<" in answer
    assert "Dead letters" not in answer


def test_an_empty_page_says_what_to_do(project: Project, reader: Client) -> None:
    page = reader.get(reverse("ingest", args=[project.slug])).content.decode()
    assert "Nothing has arrived in this time range." in page
    assert reverse("settings", args=[project.slug]) in page


def test_without_the_store_the_spool_is_still_shown(project: Project, reader: Client, settings: Settings) -> None:
    settings.CLICKHOUSE_URL = "clickhouse://nobody:x@127.0.0.1:1/none"
    answer = reader.get(reverse("ingest", args=[project.slug]))
    assert answer.status_code == 200
    assert "The store could not answer" in answer.content.decode()
    assert "Spool now" in answer.content.decode()
    page = reader.get(reverse("settings", args=[project.slug]))
    assert "is not known while the store is away" in page.content.decode()


def test_a_letter_is_shown_as_what_it_holds_or_as_bytes_and_never_as_markup(project: Project, reader: Client) -> None:
    request = trace_request(2)
    request.resource_spans[0].scope_spans[0].spans[0].name = "<script>alert(1)</script>"
    readable = keep(project, request.SerializeToString())
    page = reader.get(reverse("ingest-letter", args=[project.slug, readable.id])).content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    broken = keep(project, b"\xff\xff<script>x")
    page = reader.get(reverse("ingest-letter", args=[project.slug, broken.id])).content.decode()
    assert "ff ff 3c 73" in page
    assert "<script>x" not in page
    assert "Malformed traces request" in page
    text = keep(project, b'{"resourceSpans": <b>', content_type="json")
    page = reader.get(reverse("ingest-letter", args=[project.slug, text.id])).content.decode()
    assert "&lt;b&gt;" in page


def test_a_letter_is_downloaded_as_it_came_and_not_run(project: Project, reader: Client) -> None:
    letter = keep(project, b"<html>\x00")
    answer = reader.get(reverse("ingest-letter-body", args=[project.slug, letter.id]))
    assert answer.content == b"<html>\x00"
    assert answer["content-type"] == "application/octet-stream"
    assert answer["content-disposition"].startswith("attachment")
    assert answer["x-content-type-options"] == "nosniff"


def test_a_malformed_letter_stays_and_says_why_and_a_mended_one_goes_to_the_spool_once(
    project: Project, reader: Client
) -> None:
    broken = keep(project, b"\xff\xff")
    answer = reader.post(reverse("ingest-letter-replay", args=[project.slug, broken.id]), follow=True)
    assert "still cannot be read" in answer.content.decode()
    mended = keep(project, trace_request(3).SerializeToString())
    address = reverse("ingest-letter-replay", args=[project.slug, mended.id])
    assert "3 items" in reader.post(address, follow=True).content.decode()
    assert (in_force.SPOOL_DIR / f"{mended.id}.spool").exists()
    assert reader.post(address).status_code == 404
    (in_force.SPOOL_DIR / f"{mended.id}.spool").unlink()
    assert [letter.id for letter in DeadLetters(in_force.SPOOL_DIR).all_of(project.pk)] == [broken.id]


def test_another_project_s_letters_are_not_found(project: Project, signed_in: Signed) -> None:
    letter = keep(project, b"theirs")
    other = Organization.objects.create(name="Globex")
    Project.objects.create(id=project.pk + 2**31, organization=other, name="Else", slug=f"else-{project.pk}")
    globex = signed_in(Membership.Role.OWNER, other)
    for slug in (project.slug, f"else-{project.pk}"):
        for name in ("ingest-letter", "ingest-letter-body"):
            assert globex.get(reverse(name, args=[slug, letter.id])).status_code == 404
        for name in ("ingest-letter-replay", "ingest-letter-delete"):
            assert globex.post(reverse(name, args=[slug, letter.id])).status_code == 404
    for strange in ("..%2F..%2Fsecret-key", "x", "0" * 20 + "-1-1"):
        assert globex.get(reverse("ingest", args=[f"else-{project.pk}"]) + f"/letters/{strange}").status_code == 404
    assert [one.id for one in DeadLetters(in_force.SPOOL_DIR).all_of(project.pk)] == [letter.id]


def test_letters_are_bounded_by_bytes_and_days_and_the_refused_go_first(project: Project, settings: Settings) -> None:
    settings.DEAD_LETTER_MAX_BYTES = 200_000
    letters = DeadLetters(settings.SPOOL_DIR)
    export = Export("traces", project.pk, 90, "protobuf", "", time.time_ns(), bytes(30_000))
    letters.keep(export, "refused_by_store", "acknowledged", accepted=4)
    for _ in range(10):
        letters.keep(export, "malformed", "refused")
    kept = letters.all_of(project.pk)
    assert 3 <= len(kept) <= 6
    assert [letter.items for letter in kept if letter.is_accepted] == [4]
    assert len(kept) <= MAX_LISTED
    settings.DEAD_LETTER_DAYS = 0
    assert letters.all_of(project.pk) == []
    assert not list((settings.SPOOL_DIR / "dead-letters" / str(project.pk)).iterdir())


def test_the_sample_of_refused_bodies_is_a_few_a_minute(project: Project) -> None:
    letters = DeadLetters(in_force.SPOOL_DIR)
    assert [letters.may_keep(project.pk) for _ in range(12)].count(True) == 10
    assert letters.may_keep(project.pk + 1)


def test_an_owner_sets_limits_and_the_settings_page_shows_the_use_of_each_key(
    project: Project, signed_in: Signed
) -> None:
    key, _ = ApiKey.issue(project, "checkout")
    note(project, key.pk, requests=3, accepted=4321, bytes=10, refused__rate_limit=1)
    assert ledger.uses(project.pk)[key.pk].requests == 3
    owner = signed_in(Membership.Role.OWNER)
    address = reverse("settings-key-limits", args=[project.slug, key.pk])
    assert owner.post(address, {"max_spans_per_minute": "600"}).status_code == 302
    form = {"max_bytes_per_day": "1000000", "keep_dead_letters": "on"}
    assert owner.post(reverse("settings-limits", args=[project.slug]), form).status_code == 302
    key.refresh_from_db()
    project.refresh_from_db()
    assert (key.max_spans_per_minute, project.max_bytes_per_day, project.keep_dead_letters) == (600, 10**6, True)
    page = owner.get(reverse("settings", args=[project.slug])).content.decode()
    assert "4,321" in page or "4.32" in page
    assert 'value="600"' in page
    bad = owner.post(address, {"max_spans_per_minute": "-5"})
    assert bad.status_code == 422
    assert "Max spans per minute" in bad.content.decode()


def test_the_limits_of_another_project_s_key_are_not_found(project: Project, signed_in: Signed) -> None:
    key, _ = ApiKey.issue(project, "theirs")
    other = Organization.objects.create(name="Globex")
    Project.objects.create(id=project.pk + 2**31, organization=other, name="Else", slug=f"else-{project.pk}")
    owner = signed_in(Membership.Role.OWNER, other)
    address = reverse("settings-key-limits", args=[f"else-{project.pk}", key.pk])
    assert owner.post(address, {"max_spans_per_minute": "1"}).status_code == 404
    key.refresh_from_db()
    assert key.max_spans_per_minute is None
