"""Every address of the pages, as a stranger, as a member of another organisation, and as a viewer."""

import hashlib
import time
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, reverse
from django.utils import timezone

from collectors.semconv.rules import Rule
from heliograph.accounts.models import (
    ApiKey,
    GpuPrice,
    Invitation,
    Membership,
    Organization,
    Project,
    ProjectMembership,
    TokenPrice,
    User,
)
from heliograph.alerts.models import Alert, Channel, Delivery, Silence
from heliograph.alerts.models import Rule as AlertRule
from heliograph.annotation import queues
from heliograph.annotation.models import Annotation, Calibration, Item, Queue, Slot
from heliograph.blobs import store
from heliograph.conventions import rulesets
from heliograph.conventions.models import Reapplication
from heliograph.dashboards.urls import urlpatterns
from heliograph.datasets.models import Dataset, Endpoint, Experiment, Row
from heliograph.evals.models import EvaluationRule, JudgeEndpoint, Run, Schedule
from heliograph.exports.models import Export as TracesExport
from heliograph.gates.models import Gate, Monitor
from heliograph.holds.models import Hold
from heliograph.ingest.dead_letters import DeadLetters
from heliograph.ingest.exports import Export
from heliograph.query.annotated import Candidate
from heliograph.rules.models import RedactionRule, RetentionRule, SamplingRule, TraceWaiting
from heliograph.saved.models import Dashboard, SavedView
from heliograph.scrape.models import ScrapeTarget
from tests.dashboards.conftest import Signed
from tests.datasets.conftest import a_run, put
from tests.datasets.conftest import row as data_row
from tests.ingest.senders import trace_request
from tests.query.rows import llm, new_trace_id, point, store_rows, store_spans

pytestmark = pytest.mark.usefixtures("store")
# `health` is for administrators of the installation; tests/dashboards/test_installation_page.py tries it.
OPEN = {"health", "home", "invitation", "login", "login-link", "logout", "runbook"}
# One's own account: tests/accounts/test_second_factor.py and test_sessions.py try them.
OPEN |= {"account_login", "account_reauthenticate", "security", "security-session-end", "security-sessions-end-others"}
OPEN |= {"mfa_activate_totp", "mfa_authenticate", "mfa_deactivate_totp", "mfa_generate_recovery_codes", "mfa_index"}
OPEN |= {"mfa_reauthenticate", "mfa_view_recovery_codes"}
# tests/accounts/test_passkeys.py
OPEN |= {"mfa_add_webauthn", "mfa_list_webauthn", "mfa_login_webauthn", "mfa_reauthenticate_webauthn"}
OPEN |= {"mfa_remove_webauthn"}
# tests/accounts/test_single_sign_on.py
OPEN |= {"security-link", "security-unlink", "single-sign-on", "single-sign-on-callback", "socialaccount_connections"}
OPEN |= {"saml-answer", "saml-finish", "saml-metadata"}
OPEN |= {"login-forgotten", "login-reset", "security-address", "security-address-confirm"}
# What changes something of the project, and so is for editors and above.
CHANGING = {
    "alerts-acknowledge",
    "alerts-channel-add",
    "alerts-channel-pause",
    "alerts-channel-remove",
    "alerts-channel-rotate",
    "alerts-channel-save",
    "alerts-channel-test",
    "alerts-delivery-again",
    "alerts-rule-add",
    "alerts-rule-preview",
    "alerts-rule-remove",
    "alerts-rule-save",
    "alerts-rule-switch",
    "alerts-silence-add",
    "alerts-silence-remove",
    "evaluation-judges-remove",
    "evaluation-judges-save",
    "evaluation-rules-remove",
    "evaluation-rules-retry",
    "evaluation-rules-save",
    "evaluation-rules-skip",
    "evaluation-rules-switch",
    "evaluation-runs-again",
    "evaluation-schedules-remove",
    "evaluation-schedules-run",
    "evaluation-schedules-save",
    "evaluation-schedules-switch",
    "evaluation-templates-save",
    *(
        f"annotation-{what}"
        for what in (
            *("add", "apply", "calibrate", "change", "create", "delete", "fill", "keep", "next", "remove", "revert"),
            *("assign", "save", "skip", "unassign"),
        )
    ),
    "datasets-add",
    "datasets-create",
    "datasets-delete",
    "datasets-keep",
    "datasets-split",
    "datasets-upload",
    "evaluations-gate-remove",
    "evaluations-gate-run",
    "evaluations-gate-watch",
    "evaluations-gates-add",
    "evaluations-monitor-look",
    "evaluations-monitor-remove",
    "evaluations-monitor-switch",
    "evaluations-monitors-save",
    "evaluations-regression",
    "overview-boards-change",
    "overview-boards-create",
    "traces-exports-delete",
    "traces-exports-new",
    "traces-views-remove",
    "traces-views-save",
    "experiments-cancel",
    "experiments-delete",
    "experiments-endpoint-add",
    "experiments-endpoint-remove",
    "experiments-retry",
    "experiments-start",
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
    "trace-pin",
}
# What binds everybody, or lets people in, and so is for admins and owners; and what an owner's empty form is answered.
OWNING = {
    "settings-erasures-look": 422,
    "settings-erasures-start": 302,
    "settings-holds-lift": 302,
    "settings-holds-place": 422,
    "settings-key-limits": 302,
    "settings-limits": 302,
    "settings-people-factor": 302,
    "settings-people-invite": 422,
    "settings-people-project": 422,
    "settings-people-role": 302,
    "settings-people-service": 422,
    "settings-people-take-back": 302,
    "settings-retention": 422,
    "settings-retention-remove": 302,
    "traces-archive-again": 302,
    "traces-archive-save": 302,
}
# What is for admins and owners to look at.
ADMINISTERING = {"settings-audit", "settings-audit-export", "settings-erasures", "settings-holds"}
# What a POST changes of the reader alone.
OWN = {"settings-password"}
PAGES = sorted(str(pattern.name) for pattern in urlpatterns if isinstance(pattern, URLPattern)) if urlpatterns else []


def kept_blob(project: Project) -> str:
    data = b"\x89PNG\r\n\x1a\n"
    digest = hashlib.sha256(data).hexdigest()
    store.keep(project.pk, "2099-01-05", {digest: data})
    return digest


def data_set(project: Project) -> dict[str, list[object]]:
    """What the addresses of data sets and experiments name; each that is removed is one of its own."""
    dataset = Dataset.objects.create(project=project, name="theirs")
    put(dataset, data_row("a"))
    item = Row.objects.get()
    runs = [a_run(dataset, [1.0]).pk for _ in range(4)]
    endpoint = Endpoint.objects.create(project=project, name="theirs", base_url="http://127.0.0.1:1/v1")
    data = b"input\nQ\n"
    digest = hashlib.sha256(data).hexdigest()
    store.keep(project.pk, "2099-01-05", {digest: data})
    file = [dataset.pk, "2099-01-05", digest, "csv"]
    names = ("dataset", "datasets-diff", "datasets-split", "datasets-delete", "datasets-upload")
    return {name: [dataset.pk] for name in names} | {
        "datasets-row": [dataset.pk, item.pk],
        "datasets-download": [dataset.pk, 1],
        "datasets-preview": file,
        "datasets-keep": file,
        "experiment": [runs[0]],
        "experiments-cancel": [runs[1]],
        "experiments-retry": [runs[2]],
        "experiments-delete": [runs[3]],
        "experiments-endpoint-remove": [endpoint.pk],
    }


def annotation(project: Project, row: dict[str, Any]) -> dict[str, list[object]]:
    """What the addresses of annotation name; each that is removed is one of its own."""
    rubric = [{"name": "right", "kind": "boolean"}]
    made = [Queue.objects.create(project=project, name=f"queue {n}", rubric=rubric) for n in range(2)]
    span = Candidate(row["trace_id"], row["span_id"], row["start_time"], None)
    queues.add(made[0], [span])
    queues.add(made[1], [span, Candidate("a" * 32, "b" * 16, row["start_time"], None)])
    first, other = made[1].items.order_by("pk")
    slot = Slot.objects.get(item=first)
    calibrations = [Calibration.objects.create(project=project, queue=None) for _ in range(2)]
    names = ("queue", "agreement", "change", "fill", "keep", "work", "next", "calibration", "calibrate")
    names += ("assign", "unassign")
    return {f"annotation-{name}": [made[1].pk] for name in names} | {
        "annotation-delete": [made[0].pk],
        "annotation-remove": [made[1].pk, other.pk],
        "annotation-save": [made[1].pk, slot.pk],
        "annotation-skip": [made[1].pk, slot.pk],
        "annotation-apply": [calibrations[0].pk],
        "annotation-revert": [calibrations[1].pk],
    }


def alerting(project: Project) -> dict[str, list[object]]:
    """What the addresses of alerts name; each that is removed is one of its own."""
    rules = [
        AlertRule.objects.create(
            project=project,
            name=f"rule {number}",
            measure="error_rate",
            kind="threshold",
            condition={"side": "above", "bound": 0.05},
        )
        for number in range(2)
    ]
    alert = Alert.objects.create(rule=rules[1], key="a", state="firing", is_open=True, since=1)
    channels = [Channel.objects.create(project=project, name=f"channel {n}", kind="webhook") for n in range(2)]
    delivery = Delivery.objects.create(project=project, channel=channels[1], payload={"type": "test"})
    now = timezone.now()
    silence = Silence.objects.create(project=project, comment="theirs", starts_at=now, ends_at=now)
    return {
        "alerts-one": [alert.pk],
        "alerts-acknowledge": [alert.pk],
        "alerts-rule-remove": [rules[0].pk],
        **{name: [rules[1].pk] for name in ("alerts-rule", "alerts-rule-save", "alerts-rule-switch")},
        "alerts-channel-remove": [channels[0].pk],
        "alerts-channel": [channels[1].pk],
        **{f"alerts-channel-{what}": [channels[1].pk] for what in ("save", "rotate", "test", "pause")},
        "alerts-delivery-again": [delivery.pk],
        "alerts-silence-remove": [silence.pk],
    }


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
    run = Run.objects.create(project=project, kind=Run.Kind.REGRESSION, status=Run.Status.DONE)
    metrics = [{"name": "errors"}]
    gates = [
        Gate.objects.create(project=project, name=f"gate {number}", source="live", metrics=metrics).pk
        for number in range(2)
    ]
    monitors = [Monitor.objects.create(project=project, name=f"monitor {number}").pk for number in range(2)]
    key, _ = ApiKey.issue(project, "theirs")
    price = TokenPrice.objects.create(project=project, model="theirs", input_per_million=1, output_per_million=2)
    rules = [rulesets.add_rule(project, None, Rule(f"acme.{number}", "tags"))["id"] for number in range(2)]
    targets = [
        ScrapeTarget.objects.create(project=project, name="theirs", url=f"http://127.0.0.1:{number}/metrics").pk
        for number in (1, 2)
    ]
    judgings = [EvaluationRule(project=project, name=f"rule {n}", evaluator="json_schema") for n in range(2)]
    for rule in judgings:
        rule.begin()
    timed = [Schedule(project=project, name=f"schedule {n}", kind="regression", every_seconds=3600) for n in range(2)]
    for schedule in timed:
        schedule.store()
    judge = JudgeEndpoint.objects.create(project=project, name="theirs", model="m")
    samplings = [SamplingRule.objects.create(project=project, name=f"rule {number}").pk for number in range(2)]
    redactions = [RedactionRule.objects.create(project=project, name=f"rule {number}").pk for number in range(2)]
    now = timezone.now()
    job = Reapplication.objects.create(project=project, revision=1, start=now, end=now, cursor=now)
    somebody = User.objects.create(username="somebody")
    ProjectMembership.objects.create(project=project, user=somebody)
    later = now + timedelta(days=1)
    invitation = Invitation.objects.create(
        organization=project.organization, project=project, role="viewer", expires_at=later
    )
    view = SavedView.objects.create(project=project, author=somebody, name="theirs", is_shared=True)
    ready = {"status": "done", "expires_at": later, "until": "2099-01-05", "parts": [kept_blob(project)]}
    exports = [TracesExport.objects.create(project=project, start=now, end=later, **each) for each in ({}, ready)]
    board = Dashboard.objects.create(project=project, name="theirs", is_shared=True).pk
    gpu_price = GpuPrice.objects.create(project=project, valid_from="2026-01-01T00:00Z", usd_per_gpu_hour=1)
    extra: dict[str, list[object]] = {
        "settings-people-role": [somebody.pk],
        "settings-people-take-back": [invitation.pk],
        "settings-prices-remove": [price.pk],
        "traces-views-remove": [view.pk],
        "traces-exports-delete": [exports[0].pk],
        "traces-exports-file": [exports[1].pk],
        "overview-boards-one": [board],
        "overview-boards-export": [board],
        "overview-boards-change": [board],
        "trace": [row["trace_id"]],
        "trace-where": [row["trace_id"]],
        "trace-neighbours": [row["trace_id"]],
        "trace-rows": [row["trace_id"]],
        "trace-found": [row["trace_id"]],
        "trace-pin": [row["trace_id"]],
        "trace-span-where": [row["trace_id"], row["span_id"]],
        "settings-delete-gpu-price": [gpu_price.pk],
        "blob": ["2099-01-05", kept_blob(project)],
        "trace-span": [row["trace_id"], row["span_id"]],
        "trace-evidence": [row["trace_id"], row["span_id"]],
        "evaluations-run": [run.pk],
        "evaluation-runs-again": [run.pk],
        "evaluation-judges-remove": [judge.pk],
        "evaluation-rules-remove": [judgings[0].pk],
        **{f"evaluation-rules-{what}": [judgings[1].pk] for what in ("retry", "skip", "switch")},
        "evaluation-schedules-remove": [timed[0].pk],
        **{f"evaluation-schedules-{what}": [timed[1].pk] for what in ("run", "switch")},
        "evaluations-gate": [gates[1]],
        "evaluations-gate-remove": [gates[0]],
        "evaluations-gate-run": [gates[1]],
        "evaluations-gate-watch": [gates[1]],
        "evaluations-monitor": [monitors[1]],
        "evaluations-monitor-look": [monitors[1]],
        "evaluations-monitor-remove": [monitors[0]],
        "evaluations-monitor-switch": [monitors[1]],
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
        "settings-retention-remove": [RetentionRule.objects.create(project=project, signal="logs", days=7).pk],
        "settings-holds-lift": [Hold.objects.create(project=project, kind="user", subject="a", reason="theirs").pk],
        "settings-key-limits": [key.pk],
        "settings-revoke-key": [key.pk],
        **annotation(project, row),
        **data_set(project),
        **alerting(project),
    } | {name: [dead_letter(project)] for name in PAGES if name.startswith("ingest-letter")}
    found = {name: reverse(name, args=[project.slug, *extra.get(name, [])]) for name in PAGES if name not in OPEN}
    for name in ("datasets-choose", "annotation-choose"):
        found[name] += f"?item={row['trace_id']}"
    return found


def call(client: Client, name: str, address: str) -> Any:
    answer = client.post(address) if name in CHANGING | OWNING.keys() | OWN else client.get(address)
    if answer.streaming:
        answer.close()
    return answer


def test_every_address_is_either_open_or_of_a_project(addresses: dict[str, str]) -> None:
    assert set(addresses) | OPEN == set(PAGES)
    assert all("/p/" in address for address in addresses.values())


def test_a_stranger_is_led_to_signing_in_from_everywhere(addresses: dict[str, str]) -> None:
    for name, address in addresses.items():
        answer = call(Client(), name, address)
        assert (answer.status_code, answer["location"]) == (302, f"{reverse('login')}?next={quote(address)}"), name


def nothing_is_changed(project: Project) -> bool:
    return (
        Run.objects.count() == 1
        and TracesExport.objects.count() == 2
        and SavedView.objects.count() == Dashboard.objects.count() == 1
        and Invitation.objects.filter(revoked_at=None).count() == ProjectMembership.objects.count() == 1
        and ApiKey.objects.filter(revoked_at=None).count() == 1
        and all(rule["enabled"] for rule in rulesets.rules_in_force(project))
        and len(rulesets.rules_in_force(project)) == 2
        and [rule.enabled for rule in RedactionRule.objects.all()] == [True, True]
        and [rule.enabled for rule in SamplingRule.objects.all()] == [True, True]
        and RetentionRule.objects.count() == 1
        and Hold.objects.filter(lifted_at=None).count() == 1
        and not TraceWaiting.objects.exists()
        and EvaluationRule.objects.filter(project=project, enabled=True).count() == 3
        and Schedule.objects.filter(enabled=True).count() == 2
        and JudgeEndpoint.objects.count() == 1
        and not Reapplication.objects.get().cancel_requested
        and (Dataset.objects.count(), Row.objects.count(), Endpoint.objects.count()) == (1, 1, 1)
        and (Queue.objects.filter(is_open=True).count(), Item.objects.count(), Annotation.objects.count()) == (2, 3, 0)
        and not Slot.objects.exclude(status=Slot.Status.OPEN).exists()
        and Experiment.objects.filter(cancel_requested=False).count() == 4
        and AlertRule.objects.filter(is_paused=False).count() == Channel.objects.filter(is_paused=False).count() == 2
        and Alert.objects.filter(acknowledged_at=None).count() == Silence.objects.count() == 1
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
    assert found == {name: 403 if name in CHANGING | OWNING.keys() | ADMINISTERING else 200 for name in found}
    assert nothing_is_changed(project)


@pytest.mark.parametrize("role", [Membership.Role.OWNER, Membership.Role.EDITOR])
def test_owners_and_editors_may_open_and_change(addresses: dict[str, str], signed_in: Signed, role: str) -> None:
    member = signed_in(role)
    # An empty form is refused at its fields, a key is revoked.
    expected = dict.fromkeys(CHANGING | OWN, 422) | dict.fromkeys(
        [
            *("traces-exports-delete", "traces-exports-new", "traces-views-remove"),
            *(
                f"annotation-{what}"
                for what in (
                    *(
                        "add",
                        "apply",
                        "assign",
                        "delete",
                        "fill",
                        "keep",
                        "next",
                        "remove",
                        "revert",
                        "skip",
                        "unassign",
                    ),
                )
            ),
            *("alerts-acknowledge", "alerts-delivery-again", "alerts-silence-remove"),
            *(f"alerts-channel-{what}" for what in ("pause", "remove", "test")),
            *("alerts-rule-remove", "alerts-rule-switch"),
            *(f"evaluations-gate-{what}" for what in ("remove", "run", "watch")),
            *(f"evaluations-monitor-{what}" for what in ("look", "remove", "switch")),
            *("datasets-add", "datasets-delete", "datasets-keep", "datasets-split", "datasets-upload"),
            *("experiments-cancel", "experiments-delete", "experiments-endpoint-remove", "experiments-retry"),
            *("settings-prices-apply", "settings-prices-remove", "trace-pin"),
            *("evaluation-judges-remove", "evaluation-runs-again"),
            *(f"evaluation-rules-{what}" for what in ("remove", "retry", "skip", "switch")),
            *(f"evaluation-schedules-{what}" for what in ("remove", "run", "switch")),
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
    # Shown in place: what was tried, and a fresh secret, once.
    expected |= dict.fromkeys(("settings-redaction-trial", "alerts-rule-preview", "alerts-channel-rotate"), 200)
    expected |= OWNING if role == Membership.Role.OWNER else dict.fromkeys(OWNING, 403)
    expected |= dict.fromkeys(ADMINISTERING, 200 if role == Membership.Role.OWNER else 403)
    found = {name: call(member, name, address).status_code for name, address in addresses.items()}
    assert found == {name: expected.get(name, 200) for name in found}


def test_what_changes_something_is_not_done_by_following_a_link(addresses: dict[str, str], reader: Client) -> None:
    for name in CHANGING | OWNING.keys() | OWN:
        assert reader.get(addresses[name]).status_code == 405


def test_a_form_from_another_site_is_refused(addresses: dict[str, str], project: Project, signed_in: Signed) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = signed_in().cookies
    for name in CHANGING | OWNING.keys() | OWN:
        assert strict.post(addresses[name]).status_code == 403
    assert nothing_is_changed(project)
