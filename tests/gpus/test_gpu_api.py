"""GPUs and engines over the API: what the pages show, with cursors, for the project of the key alone."""

import pytest
from django.test import Client

from heliograph.accounts.models import ApiKey, Project
from heliograph.demo.day import HOT_GPU, LOST_GPU
from heliograph.demo.day_gpus import uuid_of
from tests.gpus.conftest import Played

pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.django_db]


def test_the_fleet_comes_in_pages_with_problems(api: Client, played: Played) -> None:
    items, cursor = [], ""
    for _ in range(3):
        given = played.api_range | {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        answer = api.get("/api/v1/gpus", given).json()
        items += answer["items"]
        cursor = answer["next_cursor"]
    assert cursor is None
    assert [item["gpu_uuid"] for item in items] == [uuid_of(index) for index in range(8)]
    assert items[LOST_GPU]["xids"] == {"79": 1}
    assert {problem["kind"] for problem in items[HOT_GPU]["problems"]} == {"heat"}
    assert items[0]["problems"] == []


def test_one_gpu_tells_what_it_is_and_how_it_was(api: Client, played: Played) -> None:
    answer = api.get(f"/api/v1/gpus/{uuid_of(HOT_GPU)}", played.api_range).json()
    assert answer["device"]["resource"]["gpu.architecture"] == "hopper"
    assert answer["condition"]["held_back_s"] > 60
    assert api.get("/api/v1/gpus/GPU-nobody", played.api_range).status_code == 404


def test_alerts_ready_series_of_a_gpu(api: Client, played: Played) -> None:
    address = f"/api/v1/gpus/{uuid_of(HOT_GPU)}/series"
    given = played.api_range | {"metric": ["gpu.throttle.time"], "rate": "true"}
    lines = {line["detail"]: line for line in api.get(address, given).json()["items"]}
    assert max(value for _, value in lines["hw_thermal_slowdown"]["points"]) == pytest.approx(0.72, rel=0.05)
    assert max(value for _, value in lines["sw_power_cap"]["points"]) == 0
    [power] = api.get(address, played.api_range | {"metric": ["hw.power"]}).json()["items"]
    assert power["unit"] == "W"
    assert api.get(address, played.api_range).status_code == 400
    too_many = played.api_range | {"metric": [f"m{number}" for number in range(21)]}
    assert api.get(address, too_many).status_code == 400


def test_requests_and_events_of_a_gpu(api: Client, played: Played) -> None:
    found = api.get(f"/api/v1/gpus/{uuid_of(0)}/requests", played.api_range | {"limit": "5"}).json()["items"]
    assert len(found) == 5
    assert all(one["joules"] > 0 and one["tenant"].startswith("tenant-") for one in found)
    events = api.get("/api/v1/gpus/events", played.api_range | {"gpu": uuid_of(LOST_GPU)}).json()["items"]
    assert {event["name"] for event in events} == {"gpu.xid", "gpu.lost", "gpu.found"}


def test_engines_with_canonical_metrics(api: Client, played: Played) -> None:
    given = played.api_range | {"metric": ["ttft", "spec_accept"], "step": "60"}
    items = api.get("/api/v1/engines", given).json()["items"]
    assert [item["instance"]["service"] for item in items] == ["vllm-70b", "vllm-7b"]
    ttft, spec = items[0]["metrics"]
    assert sum(reading["p50"] is not None for reading in ttft["readings"]) >= 15
    assert spec["readings"] == [] or spec["reason"]
    assert api.get("/api/v1/engines", played.api_range | {"metric": "nonsense"}).status_code == 400


def test_a_key_of_another_project_finds_nothing(other: Project, project: Project, played: Played) -> None:
    theirs = Client(headers={"x-api-key": ApiKey.issue(other, "theirs")[1]})
    assert theirs.get("/api/v1/gpus", played.api_range).json()["items"] == []
    assert theirs.get("/api/v1/gpus/events", played.api_range).json()["items"] == []
    assert theirs.get("/api/v1/engines", played.api_range).json()["items"] == []
    for rest in ("", "/series"):
        given = played.api_range | ({"metric": "hw.power"} if rest else {})
        assert theirs.get(f"/api/v1/gpus/{uuid_of(0)}{rest}", given).status_code == 404
    assert theirs.get(f"/api/v1/gpus/{uuid_of(0)}/requests", played.api_range).json()["items"] == []
    assert Client().get("/api/v1/gpus").status_code == 401
