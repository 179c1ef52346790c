"""Shares of GPUs, prices, weights and verdicts over the API; nothing of another project."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from heliograph.accounts.models import GpuPrice, Membership, Project, User
from tests.api.test_endpoints import Caller, assert_problem, caller, stranger  # noqa: F401  # fixtures
from tests.query.scenario import START, World, share_out

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]
RANGE = {
    "start": (START - timedelta(hours=1)).isoformat(),
    "end": (START + timedelta(minutes=5)).isoformat(),
}
PRICE = {"gpu_name": "", "valid_from": (START - timedelta(days=1)).isoformat(), "usd_per_gpu_hour": "3.6"}
PATHS = ("attribution", "attribution/policy", "gpu-prices")


@pytest.fixture
def person(caller: Caller) -> Any:  # noqa: F811  # the fixture
    """Return a function that gives the browser of a member with a role; it names the project."""

    def sign_in(role: str) -> Client:
        user = User.objects.create(username=f"user-{User.objects.count()}")
        Membership.objects.create(organization=caller.project.organization, user=user, role=role)
        client = Client()
        client.force_login(user)
        return client

    return sign_in


def address(path: str, project: Project) -> str:
    return f"/api/v1/{path}?project={project.slug}"


@pytest.fixture
def trace_id(caller: Caller) -> str:  # noqa: F811
    world = World(caller.project.pk, throttled_per_second={"hw_thermal_slowdown": 0.7}, clock_hz=1.2e9)
    world.send()
    trace_id = world.call(0, tpot=0.15)
    share_out(caller.project.pk)
    GpuPrice.objects.create(project=caller.project, valid_from=START - timedelta(days=1), usd_per_gpu_hour="3.6")
    return trace_id


def test_a_trace_says_where_it_ran_why_it_was_slow_and_its_share(
    caller: Caller,  # noqa: F811
    stranger: Caller,  # noqa: F811
    trace_id: str,
) -> None:
    found = caller.get(f"traces/{trace_id}/where").json()
    [call] = found["calls"]
    assert call["placement"]["strength"] == "pid"
    assert [gpu["uuid"] for gpu in call["placement"]["gpus"]] == ["GPU-3"]
    assert call["verdict"]["outcome"] == "explained"
    assert "GPU 3 of node-1 was thermally limited" in call["verdict"]["findings"][0]["sentence"]
    assert {part["name"] for part in call["split"]["parts"]} == {"queue", "prefill", "decode", "network"}
    assert float(call["share"]["cost"]["usd"]) == pytest.approx(0.03, abs=0.0002)
    assert found["share"]["joules_low"] < found["share"]["joules"] < found["share"]["joules_high"]
    assert found["engines"][0]["instance"]["instance"] == "vllm-0"
    assert_problem(stranger.get(f"traces/{trace_id}/where"), 404)
    assert float(caller.get(f"traces/{trace_id}").json()["summary"]["gpu_share"]["usd"]) > 0
    listed = {row["trace_id"]: row for row in caller.get("traces", **RANGE).json()["items"]}
    assert float(listed[trace_id]["gpu_share"]["usd"]) == pytest.approx(0.03, abs=0.0002)


def test_groups_and_idle_add_up_to_the_counter(
    caller: Caller,  # noqa: F811
    stranger: Caller,  # noqa: F811
    trace_id: str,
) -> None:
    found = caller.get("attribution", group_by="model", **RANGE).json()
    [group] = found["groups"]
    assert group["key"] == "my-llama"
    assert group["gpu"]["joules"] + found["idle"]["joules"] == pytest.approx(found["counter_joules"])
    assert float(group["gpu"]["usd"]) > 0
    other = stranger.get("attribution", group_by="model", **RANGE).json()
    assert (other["groups"], other["counter_joules"]) == ([], None)
    assert_problem(caller.get("attribution", group_by="planet"), 400, "group_by")


def test_an_editor_enters_and_deletes_prices_and_sets_weights(caller: Caller, person: Any) -> None:  # noqa: F811
    editor = person(Membership.Role.EDITOR)
    where = address("gpu-prices", caller.project)
    made = editor.post(where, PRICE, content_type="application/json")
    assert made.status_code == 201
    assert_problem(editor.post(where, PRICE, content_type="application/json"), 400, "valid_from")
    assert_problem(editor.post(where, PRICE | {"pue": 9}, content_type="application/json"), 400, "pue")
    [row] = caller.get("gpu-prices").json()["items"]
    assert (row["gpu_name"], row["usd_per_gpu_hour"], row["usd_per_kwh"]) == ("", "3.600000", None)
    weights = {"prefill": 1, "decode": 1, "per": "second"}
    policy = editor.put(address("attribution/policy", caller.project), weights, content_type="application/json")
    assert policy.json()["current"] == {"name": "Equal time", **weights}
    assert "Prompts weigh more" in {each["name"] for each in policy.json()["named"]}
    one = address(f"gpu-prices/{row['id']}", caller.project)
    assert editor.delete(one).status_code == 204
    assert_problem(editor.delete(one), 404)


def test_neither_a_key_nor_a_viewer_nor_a_stranger_changes_prices(
    caller: Caller,  # noqa: F811
    stranger: Caller,  # noqa: F811
    person: Any,
) -> None:
    mine = GpuPrice.objects.create(project=caller.project, valid_from=START, usd_per_gpu_hour="1")
    for client in (caller.client, person(Membership.Role.VIEWER)):
        answer = client.post(address("gpu-prices", caller.project), PRICE, content_type="application/json")
        assert_problem(answer, 403)
        assert_problem(client.delete(address(f"gpu-prices/{mine.pk}", caller.project)), 403)
    editor = person(Membership.Role.EDITOR)
    theirs = GpuPrice.objects.create(project=stranger.project, valid_from=START, usd_per_gpu_hour="1")
    assert_problem(editor.delete(address(f"gpu-prices/{theirs.pk}", caller.project)), 404)
    assert editor.post(address("gpu-prices", stranger.project), PRICE, content_type="application/json").status_code in (
        401,
        403,
        404,
    )
    assert [row["id"] for row in stranger.get("gpu-prices").json()["items"]] == [theirs.pk]
    assert GpuPrice.objects.count() == 2


@pytest.mark.parametrize("path", [*PATHS, "traces/x/where"])
def test_every_endpoint_wants_a_key(path: str) -> None:
    assert_problem(Client().get(f"/api/v1/{path}"), 401)
