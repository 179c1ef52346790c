"""Targets out of a file, and out of the Kubernetes API's list and watch."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heliograph.accounts.models import Project
from heliograph.scrape import file
from heliograph.scrape.found import DiscoveryError, Found, keep
from heliograph.scrape.kubernetes import Cluster, follow, target_of
from heliograph.scrape.models import Discovery, ScrapeTarget

YAML = b"""
- targets: ["gpu-1:8000", "https://gpu-2:8443/stats"]
  labels: {serving.engine.name: vllm, host.name: gpu-1}
  name: llm
  interval: 30
- targets: ["gpu-3:9000"]
  path: /prometheus/metrics
  project: other
"""


def test_a_watch_list_is_read_as_yaml_and_as_json() -> None:
    first, second, third = file.parse(YAML)
    assert (first.url, first.name, first.interval_s) == ("http://gpu-1:8000/metrics", "llm", 30)
    assert first.labels == {"serving.engine.name": "vllm", "host.name": "gpu-1"}
    assert second.url == "https://gpu-2:8443/stats"
    assert (third.url, third.name, third.project) == ("http://gpu-3:9000/prometheus/metrics", "gpu-3", "other")
    assert file.parse(json.dumps([{"targets": ["a:1"]}]).encode()) == [Found(url="http://a:1/metrics", name="a")]
    assert file.parse(b"") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "no YAML or JSON"),
        (b"a: 1", "list of groups"),
        (b"- 1", "no list `targets`"),
        (b"- targets: [1]", "no text"),
        (b"- targets: [a]\n  labels: 3", "no object"),
        (b"- targets: [a]\n  interval: soon", "no number of seconds"),
        (b"a: &a [x]\nb: *a", "aliases"),
        (json.dumps([{"targets": ["a"] * 501}]).encode(), "more than 500"),
        (b"!!python/object/apply:os.system [ls]", "no YAML or JSON"),
    ],
)
def test_a_watch_list_that_says_something_else_says_what(text: bytes, said: str) -> None:
    with pytest.raises(DiscoveryError, match=said):
        file.parse(text)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_targets_or_a_reason(text: bytes) -> None:
    try:
        assert isinstance(file.parse(text), list)
    except DiscoveryError:
        return


def test_a_file_that_is_away_or_too_large_is_said(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match="cannot be read"):
        file.read(tmp_path / "none.yaml")
    assert file.stamp(tmp_path / "none.yaml") is None
    (tmp_path / "big.yaml").write_bytes(b"#" * (file.MAX_FILE_BYTES + 1))
    with pytest.raises(DiscoveryError, match="more than"):
        file.read(tmp_path / "big.yaml")


@pytest.mark.django_db
def test_found_targets_come_change_and_go_and_a_pause_stays(project: Project) -> None:
    one, two = (Found(url=f"http://{host}:1/metrics", name=host) for host in "ab")
    keep("file", [one, two], project.slug)
    mine = ScrapeTarget.objects.create(project=project, name="mine", url="http://mine:1/metrics")
    ScrapeTarget.objects.filter(name="a").update(is_paused=True)
    keep("file", [Found(url=one.url, name="renamed", interval_s=60)], project.slug)
    [row] = ScrapeTarget.objects.filter(source="file")
    assert (row.name, row.interval_s, row.is_paused) == ("renamed", 60, True)
    assert ScrapeTarget.objects.filter(pk=mine.pk).exists()
    bad = [Found(url="ftp://a", name="a"), Found(url="http://a:1/m", name="a", project="none"), one]
    keep("file", bad, project.slug)
    assert [row.url for row in ScrapeTarget.objects.filter(source="file")] == [one.url]
    said = Discovery.objects.get(source="file").error
    assert "http:// or https://" in said
    assert "no project none" in said


def pod(name: str, ip: str = "10.0.0.1", asks: bool = True, **annotations: str) -> dict[str, Any]:
    asked = {"prometheus.io/scrape": "true"} if asks else {}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "namespace": "llm",
            "labels": {"app": name},
            "annotations": asked
            | {key.replace("__", "/").replace("_", ".", 1): value for key, value in annotations.items()},
        },
        "spec": {"nodeName": "node-1", "containers": [{"ports": [{"containerPort": 8000}]}]},
        "status": {"podIP": ip, "phase": "Running"},
    }


def test_a_pod_asks_by_its_annotations() -> None:
    found = target_of(
        pod("vllm", prometheus_io__port="9000", prometheus_io__path="stats", heliograph_io__engine="vllm")
    )
    assert found is not None
    assert (found.url, found.name, found.interval_s) == ("http://10.0.0.1:9000/stats", "vllm", 15)
    assert found.labels["host.name"] == "node-1"
    assert found.labels["serving.engine.name"] == "vllm"
    assert found.project == ""
    plain = target_of(pod("b", ip="fd00::1"))
    assert plain is not None
    assert plain.url == "http://[fd00::1]:8000/metrics"


@pytest.mark.parametrize("each", [{}, pod("a", asks=False), pod("a", ip=""), {"metadata": None, "status": []}])
def test_a_pod_that_does_not_ask_is_left_alone(each: dict[str, Any]) -> None:
    assert target_of(each) is None


class Api:
    """The part of the Kubernetes API that is asked: pages of a list, and watches that are scripted."""

    def __init__(self) -> None:
        self.pages: list[list[dict[str, Any]]] = [[pod("a")], [pod("b", ip="10.0.0.2"), pod("quiet", asks=False)]]
        self.watches: list[list[dict[str, Any]]] = []
        self.asked: list[str] = []
        self.tokens: list[str] = []
        self.status = 200
        self.url = ""


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.asked.append(self.path)
            api.tokens.append(self.headers.get("authorization", ""))
            self.send_response(api.status)
            self.end_headers()
            if "watch=1" in self.path:
                for event in api.watches.pop(0) if api.watches else []:
                    self.wfile.write(json.dumps(event).encode() + b"\n")
                return
            number = int(self.path.partition("continue=")[2] or 0)
            following = str(number + 1) if number + 1 < len(api.pages) else ""
            body = {"metadata": {"resourceVersion": "7", "continue": following}, "items": api.pages[number]}
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield api
    server.shutdown()
    server.server_close()
    thread.join()


async def told(cluster: Cluster) -> list[list[str]]:
    heard: list[list[str]] = []

    async def changed(pods: list[Found]) -> None:
        heard.append([found.name for found in pods])

    await follow(cluster, changed)
    return heard


async def test_pods_are_listed_page_by_page_and_watched(api: Api, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    api.watches = [
        [
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "8"}}},
            {"type": "ADDED", "object": pod("c", ip="10.0.0.3")},
            {"type": "MODIFIED", "object": pod("quiet", asks=False)},
            {"type": "MODIFIED", "object": pod("a", asks=False)},
            {"type": "DELETED", "object": pod("b")},
        ]
    ]
    assert await told(Cluster(api.url, tmp_path / "token")) == [["a", "b"], ["a", "b", "c"], ["b", "c"], ["c"]]
    assert api.asked[0].startswith("/api/v1/pods?limit=500")
    assert "resourceVersion=7" in api.asked[2]
    assert set(api.tokens) == {"Bearer secret"}


async def test_a_watch_whose_version_is_forgotten_ends_so_that_the_pods_are_listed_again(api: Api) -> None:
    api.watches = [[{"type": "ERROR", "object": {"code": 410}}, {"type": "ADDED", "object": pod("c")}]]
    assert await told(Cluster(api.url, namespace="llm")) == [["a", "b"]]
    assert api.asked[0].startswith("/api/v1/namespaces/llm/pods")


async def test_an_api_that_refuses_says_what_is_missing(api: Api, tmp_path: Path) -> None:
    api.status = 403
    with pytest.raises(DiscoveryError, match="list and watch of pods"):
        await told(Cluster(api.url))
    with pytest.raises(DiscoveryError, match="token"):
        await told(Cluster(api.url, tmp_path / "none"))
    with pytest.raises(DiscoveryError, match="does not answer"):
        await told(Cluster("http://127.0.0.1:9"))
