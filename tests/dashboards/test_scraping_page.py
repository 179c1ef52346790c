"""The page and the API of scraped targets: add, pause, remove, and how the last scrape went."""

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from heliograph.accounts.models import ApiKey, Membership, Project
from heliograph.scrape.models import ScrapeTarget
from tests.dashboards.conftest import Signed

pytestmark = pytest.mark.django_db
URL = "http://gpu-1:8000/metrics"
GIVEN = {"name": "llm", "url": URL, "interval_s": "15", "timeout_s": "5", "engine": "vllm", "host": "gpu-1"}


def base(project: Project) -> str:
    return f"/p/{project.slug}/settings/scraping"


def test_a_target_is_added_paused_and_removed(reader: Client, project: Project) -> None:
    assert "None yet" in reader.get(base(project)).content.decode()
    assert reader.post(f"{base(project)}/add", GIVEN).status_code == 302
    target = ScrapeTarget.objects.get(project=project)
    assert target.labels == {"serving.engine.name": "vllm", "host.name": "gpu-1"}
    assert "Waiting" in reader.get(base(project)).content.decode()
    reader.post(f"{base(project)}/{target.pk}/pause")
    assert "Paused" in reader.get(base(project)).content.decode()
    reader.post(f"{base(project)}/{target.pk}/pause")
    ScrapeTarget.objects.update(last_scrape_at=timezone.now(), last_samples=120, last_seconds=0.01, last_error="")
    assert "✓ Up" in reader.get(base(project)).content.decode()
    ScrapeTarget.objects.update(last_error="It answered with status 404 instead of 200.")
    text = reader.get(base(project)).content.decode()
    assert "✕ It answered with status 404" in text
    assert "1 with an error" in text
    reader.post(f"{base(project)}/{target.pk}/remove")
    assert not ScrapeTarget.objects.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "ftp://a"}, "http:// or https://"),
        ({"url": "http://me:secret@a/metrics"}, "password"),
        ({"interval_s": "1"}, "greater than or equal to 5"),
        ({"timeout_s": "30"}, "longer than the interval"),
        ({"name": ""}, "required"),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused_in_words(
    reader: Client, project: Project, change: dict[str, str], said: str
) -> None:
    answer = reader.post(f"{base(project)}/add", GIVEN | change)
    assert answer.status_code == 422
    assert said in answer.content.decode()


def test_an_address_is_scraped_once(reader: Client, project: Project) -> None:
    reader.post(f"{base(project)}/add", GIVEN)
    assert "scraped already" in reader.post(f"{base(project)}/add", GIVEN).content.decode()


def test_a_viewer_looks_and_changes_nothing(signed_in: Signed, project: Project) -> None:
    viewer = signed_in(Membership.Role.VIEWER)
    target = ScrapeTarget.objects.create(project=project, name="llm", url=URL)
    assert "Add a target" not in viewer.get(base(project)).content.decode()
    for path in ("add", f"{target.pk}/pause", f"{target.pk}/remove"):
        assert viewer.post(f"{base(project)}/{path}", GIVEN).status_code == 403


def test_what_discovery_found_is_paused_and_not_removed(reader: Client, project: Project) -> None:
    target = ScrapeTarget.objects.create(project=project, name="pod", url=URL, source="kubernetes")
    assert reader.post(f"{base(project)}/{target.pk}/remove").status_code == 404
    reader.post(f"{base(project)}/{target.pk}/pause")
    assert ScrapeTarget.objects.get().is_paused


def test_another_projects_target_is_out_of_reach(reader: Client, project: Project) -> None:
    other = Project.create(project.organization, "Other")
    target = ScrapeTarget.objects.create(project=other, name="theirs", url=URL)
    assert reader.post(f"{base(project)}/{target.pk}/pause").status_code == 404


def api(client: Client, method: str, path: str, project: Project, body: Any = None) -> Any:
    call = getattr(client, method)
    address = f"/api/v1/scrape-targets{path}?project={project.slug}"
    return call(address, json.dumps(body), content_type="application/json") if body is not None else call(address)


def test_the_api_lets_people_change_and_keys_only_look(reader: Client, project: Project) -> None:
    body = {"name": "llm", "url": URL, "labels": {"host.name": "gpu-1"}}
    made = api(reader, "post", "", project, body)
    assert made.status_code == 200, made.content
    number = made.json()["id"]
    assert api(reader, "post", "", project, body).status_code == 400
    assert api(reader, "post", "", project, body | {"url": "nonsense"}).status_code == 400
    assert api(reader, "patch", f"/{number}", project, {"is_paused": True}).json()["is_paused"]
    program = Client(headers={"x-api-key": ApiKey.issue(project, "test")[1]})
    [item] = program.get("/api/v1/scrape-targets").json()["items"]
    assert (item["id"], item["labels"], item["last_error"]) == (number, {"host.name": "gpu-1"}, "")
    refused = program.post("/api/v1/scrape-targets", json.dumps(body), content_type="application/json")
    assert refused.status_code == 403
    assert api(reader, "delete", f"/{number}", project).status_code == 204
    assert api(reader, "get", f"/{number}", project).status_code == 404


def test_nobody_of_a_project_sets_or_sees_where_credentials_are(reader: Client, project: Project) -> None:
    ScrapeTarget.objects.create(project=project, name="a", url=URL, source="file", auth={"token_file": "/run/hidden"})
    mine = GIVEN | {"url": f"{URL}/2", "auth": '{"token_env": "LLM"}'}
    assert reader.post(f"{base(project)}/add", mine).status_code == 302
    made = api(reader, "post", "", project, {"name": "b", "url": f"{URL}/3", "auth": {"token_env": "LLM"}})
    assert made.status_code == 200
    api(reader, "patch", f"/{made.json()['id']}", project, {"auth": {"token_env": "LLM"}})
    assert [each.auth for each in ScrapeTarget.objects.filter(source="settings")] == [{}, {}]
    for answer in (reader.get(base(project)), api(reader, "get", "", project)):
        text = answer.content.decode()
        assert f"{URL}/3" in text
        assert "/run/hidden" not in text
        assert "token_file" not in text
