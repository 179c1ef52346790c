"""Pods that ask to be scraped, by the annotations that Prometheus made usual.

`prometheus.io/scrape: "true"`, and `prometheus.io/port`, `/path`, `/scheme`; `heliograph.io/interval` in seconds,
`heliograph.io/engine` and `/version` of the engine; over https `heliograph.io/auth: service-account` asks for the token
that the settings keep for pods, and `heliograph.io/server-name` names what stands in the pod's certificate. All go to
one project: who may label a pod must not choose whose telemetry it becomes. Two requests of the API are all that is
needed, list and watch, so there is no client library (`kubernetes` brings 20 MB and six packages).
https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from collectors.serving import ENGINE_KEY, VERSION_KEY
from heliograph.scrape.found import DiscoveryError, Found

PAGE = 500
# 100,000 pods of a large cluster are listed in 200 pages.
MAX_PAGES = 400
# One pod's object; a watch's line is about one pod.
MAX_LINE_BYTES = 4 * 2**20
# The API closes a watch after some minutes by itself; silence of this long is a connection that is lost.
WATCH_S = 300
_SCRAPE = "prometheus.io/scrape"


@dataclass(frozen=True, slots=True)
class Cluster:
    """How the API is reached. The token is read anew for each request: Kubernetes changes it every hour."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    namespace: str = ""
    pods_token_file: str = ""
    pods_ca_file: str = ""

    @property
    def pods(self) -> str:
        """The path of the pods."""
        return f"/api/v1/namespaces/{self.namespace}/pods" if self.namespace else "/api/v1/pods"

    def headers(self) -> dict[str, str]:
        """Return the headers of a request. Raises DiscoveryError without a readable token."""
        if self.token_file is None:
            return {}
        try:
            return {"authorization": f"Bearer {self.token_file.read_text(encoding='utf-8').strip()}"}
        except OSError as error:
            raise DiscoveryError(f"the token {self.token_file} cannot be read: {error.strerror}") from error


# A cluster that nothing is known of.
ANY = Cluster("")


class GoneError(Exception):
    """The version that a watch began with is forgotten: list again."""


async def follow(cluster: Cluster, changed: Callable[[list[Found]], Awaitable[None]]) -> None:
    """List the pods and watch them, telling `changed` all targets after each change; returns when a watch ends.

    Raises DiscoveryError.
    """
    verify = str(cluster.ca_file) if cluster.ca_file else True
    timeout = httpx.Timeout(10.0, read=WATCH_S)
    try:
        async with httpx.AsyncClient(base_url=cluster.url, verify=verify, trust_env=False, timeout=timeout) as http:
            pods, version = await _list(http, cluster)
            await changed(_targets(pods, cluster))
            async for kind, pod in _watch(http, cluster, version):
                before = _targets(pods, cluster)
                name = _uid(pod)
                if kind == "DELETED" or target_of(pod) is None:
                    pods.pop(name, None)
                else:
                    pods[name] = pod
                if _targets(pods, cluster) != before:
                    await changed(_targets(pods, cluster))
    except GoneError:
        return
    except httpx.HTTPError as error:
        raise DiscoveryError(f"the Kubernetes API does not answer ({type(error).__name__})") from error


async def _list(http: httpx.AsyncClient, cluster: Cluster) -> tuple[dict[str, dict[str, Any]], str]:
    pods: dict[str, dict[str, Any]] = {}
    following = ""
    for _ in range(MAX_PAGES):
        asked = {"limit": str(PAGE)} | ({"continue": following} if following else {})
        answer = await http.get(cluster.pods, params=asked, headers=cluster.headers())
        if answer.status_code == 410:
            raise GoneError
        if answer.status_code != 200:
            raise DiscoveryError(f"the Kubernetes API answered {answer.status_code}{_hint(answer.status_code)}")
        body = _object(answer.content)
        meta = _dict(body, "metadata")
        for pod in body.get("items") or []:
            # What asks for nothing is not kept: a cluster has many more pods than engines.
            if isinstance(pod, dict) and target_of(pod) is not None:
                pods[_uid(pod)] = pod
        following = str(meta.get("continue") or "")
        if not following:
            return pods, str(meta.get("resourceVersion") or "")
    raise DiscoveryError(f"more than {MAX_PAGES * PAGE:,} pods: name a namespace")


def _hint(status: int) -> str:
    return ": the service account needs list and watch of pods" if status in (401, 403) else ""


async def _watch(http: httpx.AsyncClient, cluster: Cluster, version: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    asked = {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(WATCH_S - 10),
    }
    async with http.stream("GET", cluster.pods, params=asked, headers=cluster.headers()) as answer:
        if answer.status_code == 410:
            raise GoneError
        if answer.status_code != 200:
            raise DiscoveryError(f"the Kubernetes API answered a watch with {answer.status_code}")
        async for line in _lines(answer):
            event = _object(line)
            kind, pod = str(event.get("type")), _dict(event, "object")
            if kind == "ERROR":
                raise GoneError
            if kind in ("ADDED", "MODIFIED", "DELETED"):
                yield kind, pod


async def _lines(answer: httpx.Response) -> AsyncIterator[bytes]:
    rest = bytearray()
    async for piece in answer.aiter_bytes():
        rest += piece
        *whole, tail = rest.split(b"\n")
        for line in whole:
            if line.strip():
                yield bytes(line)
        rest = bytearray(tail)
        if len(rest) > MAX_LINE_BYTES:
            raise DiscoveryError("the Kubernetes API sent an event without end")


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DiscoveryError("the Kubernetes API answered with something else than JSON") from error
    if not isinstance(found, dict):
        raise DiscoveryError("the Kubernetes API answered with something else than an object")
    return found


def _dict(holder: dict[str, Any], key: str) -> dict[str, Any]:
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def _uid(pod: dict[str, Any]) -> str:
    meta = _dict(pod, "metadata")
    return str(meta.get("uid") or f"{meta.get('namespace')}/{meta.get('name')}")


def _targets(pods: dict[str, dict[str, Any]], cluster: Cluster) -> list[Found]:
    return [found for _, pod in sorted(pods.items()) if (found := target_of(pod, cluster)) is not None]


def target_of(pod: dict[str, Any], cluster: Cluster = ANY) -> Found | None:
    """Return what a pod asks for, or None: without the annotation, an address or a port there is nothing to scrape."""
    meta, status, spec = _dict(pod, "metadata"), _dict(pod, "status"), _dict(pod, "spec")
    asked, ip = _dict(meta, "annotations"), status.get("podIP")
    if (
        asked.get(_SCRAPE) != "true"
        or not isinstance(ip, str)
        or not ip
        or status.get("phase") in ("Succeeded", "Failed")
    ):
        return None
    port = str(asked.get("prometheus.io/port") or _first_port(spec))
    if not port.isdecimal():
        return None
    scheme = "https" if asked.get("prometheus.io/scheme") == "https" else "http"
    path = str(asked.get("prometheus.io/path") or "/metrics")
    interval = str(asked.get("heliograph.io/interval") or "15")
    app = _dict(meta, "labels")
    labels = {
        "k8s.pod.name": meta.get("name"),
        "k8s.namespace.name": meta.get("namespace"),
        "k8s.pod.uid": meta.get("uid"),
        "host.name": spec.get("nodeName"),
        ENGINE_KEY: asked.get("heliograph.io/engine"),
        VERSION_KEY: asked.get("heliograph.io/version"),
    }
    return Found(
        url=f"{scheme}://{f'[{ip}]' if ':' in ip else ip}:{port}/{path.lstrip('/')}",
        name=str(app.get("app.kubernetes.io/name") or app.get("app") or meta.get("name") or ip),
        interval_s=int(interval) if interval.isdecimal() and len(interval) < 6 else 15,
        labels={key: str(value) for key, value in labels.items() if value},
        auth=_auth(cluster, asked) if scheme == "https" else {},
    )


def _auth(cluster: Cluster, asked: dict[str, Any]) -> dict[str, str]:
    """Return where the credentials for a pod are. Only to whom the authority vouches for, and only over TLS."""
    auth = {"ca_file": cluster.pods_ca_file, "server_name": str(asked.get("heliograph.io/server-name") or "")}
    if asked.get("heliograph.io/auth") == "service-account" and cluster.pods_ca_file:
        auth["token_file"] = cluster.pods_token_file
    return {key: value for key, value in auth.items() if value}


def _first_port(spec: dict[str, Any]) -> str:
    for container in spec.get("containers") or []:
        for port in (container.get("ports") if isinstance(container, dict) else None) or []:
            number = port.get("containerPort") if isinstance(port, dict) else None
            if isinstance(number, int):
                return str(number)
    return ""
