"""A watch list in a file, YAML or JSON, in the form of Prometheus' file_sd with some keys more.

- targets: ["gpu-1:8000", "https://gpu-2:8443/metrics"]
  labels: {serving.engine.name: vllm, host.name: gpu-1}
  name: llm            # service.name, else the host
  project: shop        # else HELIOGRAPH_SCRAPE_PROJECT
  interval: 15         # seconds
  timeout: 5
  path: /metrics
  auth:                # where its credentials are, never what they are (`credentials`)
    token_file: /run/secrets/llm   # or token_env; or username with password_file or password_env
    ca_file: /etc/llm/ca.pem       # also cert_file, key_file, server_name
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from heliograph.scrape.found import DiscoveryError, Found
from heliograph.scrape.models import MAX_TARGETS

# 500 targets with labels are 100 kB.
MAX_FILE_BYTES = 2**20


def stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file does: its time and size; None for one that is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def read(path: Path) -> list[Found]:
    """Return the targets in a file. Raises DiscoveryError where it is missing, too large or says something else."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DiscoveryError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(text) > MAX_FILE_BYTES:
        raise DiscoveryError(f"{path.name} has more than {MAX_FILE_BYTES:,} bytes")
    return parse(text)


def parse(text: bytes) -> list[Found]:
    """Return the targets that a text names. Raises DiscoveryError and nothing else."""
    if b"&" in text and b"*" in text:
        # An alias may stand for a list of aliases, and a small file for gigabytes.
        raise DiscoveryError("anchors and aliases are not read")
    try:
        groups = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Its own words would quote the line, and every reader of the project sees them.
        mark = getattr(error, "problem_mark", None)
        raise DiscoveryError(f"no YAML or JSON{f', line {mark.line + 1}' if mark else ''}") from error
    if groups is None:
        return []
    if not isinstance(groups, list):
        raise DiscoveryError("the file holds a list of groups, each with `targets`")
    found: list[Found] = []
    for number, group in enumerate(groups, 1):
        found += _group(group, number)
        if len(found) > MAX_TARGETS:
            raise DiscoveryError(f"more than {MAX_TARGETS} targets")
    return found


def _group(group: Any, number: int) -> list[Found]:
    if not isinstance(group, dict) or not isinstance(group.get("targets"), list):
        raise DiscoveryError(f"group {number} has no list `targets`")
    labels = group.get("labels") or {}
    if not isinstance(labels, dict):
        raise DiscoveryError(f"the labels of group {number} are no object")
    auth = group.get("auth") or {}
    if not isinstance(auth, dict):
        raise DiscoveryError(f"`auth` of group {number} is no object")
    path = str(group.get("path", "/metrics"))
    found = []
    for target in group["targets"]:
        if not isinstance(target, str):
            raise DiscoveryError(f"a target of group {number} is no text")
        url = target if "://" in target else f"http://{target}/{path.lstrip('/')}"
        found.append(
            Found(
                url=url,
                name=str(group.get("name") or _host(url)),
                project=str(group.get("project", "")),
                interval_s=_whole(group, "interval", 15, number),
                timeout_s=_whole(group, "timeout", 5, number),
                labels={str(key): str(value) for key, value in labels.items()},
                auth={str(key): str(value) for key, value in auth.items()},
            )
        )
    return found


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _whole(group: dict[Any, Any], key: str, default: int, number: int) -> int:
    value = group.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 86_400:
        raise DiscoveryError(f"`{key}` of group {number} is no number of seconds")
    return value
