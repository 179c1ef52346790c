"""Every address of the pages, as a stranger, as a member of another organisation, and as a viewer."""

import hashlib
import time
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, reverse
from django.utils import timezone

from collectors.semconv.rules import Rule
from heliograph.accounts.models import ApiKey, GpuPrice, Membership, Organization, Project, TokenPrice
from heliograph.blobs import store
from heliograph.conventions import rulesets
from heliograph.conventions.models import Reapplication
from heliograph.dashboards.urls import urlpatterns
from heliograph.evals.models import Run
from heliograph.ingest.dead_letters import DeadLetters
from heliograph.ingest.exports import Export
from heliograph.rules.models import RedactionRule, SamplingRule, TraceWaiting
from heliograph.scrape.models import ScrapeTarget
from tests.dashboards.conftest import Signed
from tests.ingest.senders import trace_request
from tests.query.rows import llm, new_trace_id, point, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")
OPEN = {"home", "login", "login-link", "logout"}
# What changes something of the project, and so is for owners and editors.
CHANGING = {
    "evaluations-drift",
    "evaluations-regression",
    "ingest-letter-delete",
    "ingest-letter-replay",
    "settings-conventions-cancel",
    "settings-conventions-reapply",
    "settings-conventions-remove",
    "settings-conventions-save",
    "settings-conventions-switch",
    "settings-create-gpu-price",
    "settings-create-key",
    "settings-delete-gpu-price",
    "settings-prices-apply",
    "settings-prices-remove",
    "settings-prices-save",
    "settings-redaction-move",
    "settings-redaction-remove",
    "settings-redaction-save",
    "settings-redaction-switch",
    "settings-redaction-trial",
    "settings-sampling-move",
    "settings-sampling-remove",
    "settings-sampling-save",
    "settings-sampling-switch",
    "settings-sampling-wait",
    "settings-revoke-key",
    "settings-scraping-add",
    "settings-scraping-pause",
    "settings-scraping-remove",
    "settings-weights",
}
# What changes something that binds everybody, and so is for owners alone.
OWNING = {"settings-key-limits", "settings-limits"}
# What a POST changes of the reader alone.
OWN = {"settings-password"}
PAGES = sorted(str(pattern.name) for pattern in urlpatterns if isinstance(pattern, URLPattern)) if urlpatterns else []


def kept_blob(project: Project) -> str:
    data = b"\x89PNG\r\n\x1a\n"
    digest = hashlib.sha256(data).hexdigest()
    store.keep(project.pk, "2099-01-05", {digest: data})
    return digest


def dead_letter(project: Project) -> str:
    """The id of a body that can be read, as after a fault of the store."""
    body = trace_request(2).SerializeToString()
    export = Export("traces", project.pk, 90, "protobuf", "", time.time_ns(), body)
    letters = DeadLetters(settings.SPOOL_DIR)
    before = {letter.id for letter in letters.all_of(project.pk)}
    letters.keep(export, "not_stored", "the store refused it")
    [new] = [letter.id for letter in letters.all_of(project.pk) if letter.id not in before]
    return new


@pytest.fixture
def addresses(project: Project) -> dict[str, str]:
    """The address of every page of the project, each to something that exists."""
    row = llm(new_trace_id(), 1, parent_span_id="")
    store_spans(project.pk, row)
    # A GPU and an engine on a host without a name, which the address of its page then need not name.
    rows = [point("hw.gpu.memory.usage", 1, 1.0, gpu_uuid="GPU-1"), point("vllm:num_requests_running", 1, 1.0)]
    store_rows(project.pk, "metric_points", rows)
    run = Run.objects.create(project=project, kind=Run.Kind.DRIFT)
    key, _ = ApiKey.issue(project, "theirs")
    price = TokenPrice.objects.create(project=project, model="theirs", input_per_million=1, output_per_million=2)
    rules = [rulesets.add_rule(project, None, Rule(f"acme.{number}", "tags"))["id"] for number in range(2)]
    targets = [
        ScrapeTarget.objects.create(project=project, name="theirs", url=f"http://127.0.0.1:{number}/metrics").pk
        for number in (1, 2)
    ]
    samplings = [SamplingRule.objects.create(project=project, name=f"rule {number}").pk for number in range(2)]
    redactions = [RedactionRule.objects.create(project=project, name=f"rule {number}").pk for number in range(2)]
    now = timezone.now()
    job = Reapplication.objects.create(project=project, revision=1, start=now, end=now, cursor=now)
    gpu_price = GpuPrice.objects.create(project=project, valid_from="2026-01-01T00:00Z", usd_per_gpu_hour=1)
    extra: dict[str, list[object]] = {
        "settings-prices-remove": [price.pk],
        "trace": [row["trace_id"]],
        "trace-where": [row["trace_id"]],
        "trace-span-where": [row["trace_id"], row["span_id"]],
        "settings-delete-gpu-price": [gpu_price.pk],
        "blob": ["2099-01-05", kept_blob(project)],
        "trace-span": [row["trace_id"], row["span_id"]],
        "trace-evidence": [row["trace_id"], row["span_id"]],
        "evaluations-run": [run.pk],
        "settings-conventions-cancel": [job.pk],
        "settings-conventions-remove": [rules[0]],
        "settings-conventions-switch": [rules[1]],
        "gpus-device": ["GPU-1"],
        "settings-scraping-pause": [targets[0]],
        "settings-scraping-remove": [targets[1]],
        "settings-sampling-move": [samplings[1]],
        "settings-sampling-remove": [samplings[0]],
        "settings-sampling-switch": [samplings[1]],
        "settings-redaction-move": [redactions[1]],
        "settings-redaction-remove": [redactions[0]],
        "settings-redaction-switch": [redactions[1]],
        "settings-key-limits": [key.pk],
        "settings-revoke-key": [key.pk],
    } | {name: [dead_letter(project)] for name in PAGES if name.startswith("ingest-letter")}
    return {name: reverse(name, args=[project.slug, *extra.get(name, [])]) for name in PAGES if name not in OPEN}


def call(client: Client, name: str, address: str) -> Any:
    answer = client.post(address) if name in CHANGING | OWNING | OWN else client.get(address)
    if answer.streaming:
        answer.close()
    return answer


def test_every_address_is_either_open_or_of_a_project(addresses: dict[str, str]) -> None:
    assert set(addresses) | OPEN == set(PAGES)
    assert all("/p/" in address for address in addresses.values())


def test_a_stranger_is_led_to_signing_in_from_everywhere(addresses: dict[str, str]) -> None:
    for name, address in addresses.items():
        answer = call(Client(), name, address)
        assert (answer.status_code, answer["location"]) == (302, f"{reverse('login')}?next={address}"), name


def nothing_is_changed(project: Project) -> bool:
    return (
        Run.objects.count() == 1
        and ApiKey.objects.filter(revoked_at=None).count() == 1
        and all(rule["enabled"] for rule in rulesets.rules_in_force(project))
        and len(rulesets.rules_in_force(project)) == 2
        and [rule.enabled for rule in RedactionRule.objects.all()] == [True, True]
        and [rule.enabled for rule in SamplingRule.objects.all()] == [True, True]
        and not TraceWaiting.objects.exists()
        and not Reapplication.objects.get().cancel_requested
    )


def test_a_member_of_another_organisation_finds_nothing_anywhere(
    addresses: dict[str, str], project: Project, signed_in: Signed
) -> None:
    globex = signed_in("owner", Organization.objects.create(name="Globex"))
    assert {name: call(globex, name, address).status_code for name, address in addresses.items()} == dict.fromkeys(
        addresses, 404
    )
    assert nothing_is_changed(project)


def test_a_viewer_looks_at_everything_and_changes_nothing(
    addresses: dict[str, str], project: Project, signed_in: Signed
) -> None:
    viewer = signed_in(Membership.Role.VIEWER)
    found = {name: call(viewer, name, address).status_code for name, address in addresses.items() if name not in OWN}
    assert found == {name: 403 if name in CHANGING | OWNING else 200 for name in found}
    assert nothing_is_changed(project)


@pytest.mark.parametrize("role", [Membership.Role.OWNER, Membership.Role.EDITOR])
def test_owners_and_editors_may_open_and_change(addresses: dict[str, str], signed_in: Signed, role: str) -> None:
    member = signed_in(role)
    # An empty form is refused at its fields, a key is revoked.
    expected = dict.fromkeys(CHANGING | OWN, 422) | dict.fromkeys(
        [
            *("settings-prices-apply", "settings-prices-remove"),
            *("settings-revoke-key", "ingest-letter-delete", "ingest-letter-replay", "settings-conventions-cancel"),
            *("settings-conventions-remove", "settings-conventions-switch", "settings-delete-gpu-price"),
            *("settings-redaction-move", "settings-redaction-remove", "settings-redaction-switch"),
            *(
                "settings-sampling-move",
                "settings-sampling-remove",
                "settings-sampling-switch",
                *("settings-sampling-wait", "settings-scraping-pause", "settings-scraping-remove"),
            ),
        ],
        302,
    )
    expected["settings-redaction-trial"] = 200
    expected |= dict.fromkeys(OWNING, 302 if role == Membership.Role.OWNER else 403)
    found = {name: call(member, name, address).status_code for name, address in addresses.items()}
    assert found == {name: expected.get(name, 200) for name in found}


def test_what_changes_something_is_not_done_by_following_a_link(addresses: dict[str, str], reader: Client) -> None:
    for name in CHANGING | OWNING | OWN:
        assert reader.get(addresses[name]).status_code == 405


def test_a_form_from_another_site_is_refused(addresses: dict[str, str], project: Project, signed_in: Signed) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = signed_in().cookies
    for name in CHANGING | OWNING | OWN:
        assert strict.post(addresses[name]).status_code == 403
    assert nothing_is_changed(project)
