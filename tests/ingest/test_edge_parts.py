"""The parts of an edge collector, where a test with processes would not reach: what is odd, endless or broken."""

import asyncio
import gzip
import time
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest
from pytest_django import Settings

from heliograph.accounts.models import ApiKey
from heliograph.ingest.auth import Tenant
from heliograph.ingest.centre import MAX_ANSWER_BYTES, Centre, CentreAwayError
from heliograph.ingest.edge import Edge
from heliograph.ingest.exports import Export
from heliograph.ingest.lanes import Lanes
from heliograph.ingest.refusals import Busy
from heliograph.telemetry import OWN
from tests.ingest.senders import trace_request
from tests.stubs.serving import serving

KEY = ApiKey.PREFIX + "x" * 40
NOWHERE = "http://127.0.0.1:1"


def export() -> Export:
    body = trace_request(2).SerializeToString()
    return Export("traces", 0, 90, "protobuf", "", time.time_ns(), body)


class Odd(BaseHTTPRequestHandler):
    """Says 200 and then more than anybody says over OTLP: by itself, or once it is inflated."""

    def do_POST(self) -> None:
        body = bytes(MAX_ANSWER_BYTES * 64)
        is_packed = self.headers["content-encoding"] == "gzip"
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        if is_packed:
            body = gzip.compress(body)
            self.send_header("content-encoding", "gzip")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Taking(BaseHTTPRequestHandler):
    """Takes everything, and keeps the headers that it came with."""

    seen: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def test_the_mark_of_heliograph_s_own_telemetry_goes_along_at_once_and_after_waiting(tmp_path: Path) -> None:
    lanes = Lanes(tmp_path, 2**20)
    lanes.append(ApiKey.digest_of(KEY), KEY, [replace(export(), is_own=True), export()])
    [lane] = lanes.due()
    found = lanes.oldest(lane)
    assert found is not None
    Taking.seen.clear()
    with serving(Taking) as base:
        centre = Centre(base)
        for each in (replace(export(), is_own=True), export(), *found[1]):
            await centre.send(each, KEY, 60)
        await centre.close()
    lanes.close()
    assert [OWN in headers for headers in Taking.seen] == [True, False, True, False]


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_an_answer_without_end_is_not_read_to_its_end(encoding: str) -> None:
    with serving(Odd) as base:
        centre = Centre(base)
        given = Export("traces", 0, 90, "protobuf", encoding, time.time_ns(), b"")
        with pytest.raises(CentreAwayError, match="answers more than"):
            await centre.send(given, KEY, 30)
        await centre.close()


async def test_requests_that_cannot_be_kept_are_refused_and_the_next_are_kept(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SPOOL_DIR, settings.FORWARD_TO = tmp_path, NOWHERE
    edge = Edge()
    edge._known.note(ApiKey.digest_of(KEY))
    tenant = Tenant(project_id=0, retention_days=90, secret=KEY)

    async def receive() -> object:
        with edge.room.share() as share:
            return await edge.receive(export(), share, tenant)

    with monkeypatch.context() as broken:
        broken.setattr(Lanes, "append", lambda *_: 1 // 0)
        with pytest.raises(Busy, match="ZeroDivisionError"):
            await asyncio.wait_for(receive(), 30)
    assert await asyncio.wait_for(receive(), 30) == Counter()
    assert edge.state()["waiting_files"] == 1
    await edge.stop()


def test_what_waits_is_counted_as_it_comes_and_goes_and_over_a_restart(tmp_path: Path) -> None:
    lanes = Lanes(tmp_path, 2**20)
    for _ in range(3):
        lanes.append("digest", KEY, [export(), export()])
    on_disk = [path.stat().st_size for path in sorted(tmp_path.glob("digest/*.spool"))]
    assert lanes.waiting() == (3, sum(on_disk))
    [lane] = lanes.due()
    first = lanes.oldest(lane)
    assert first is not None
    path, exports = first
    lanes.put_back(lane, path, exports[:1])
    assert lanes.waiting() == (3, sum(each.stat().st_size for each in tmp_path.glob("digest/*.spool")))
    lanes.put_back(lane, path, [])
    lanes.close()
    again = Lanes(tmp_path, 2**20)
    assert again.waiting() == (2, sum(on_disk[1:]))
    [lane] = again.due()
    while (found := again.oldest(lane)) is not None:
        again.put_back(lane, found[0], [])
    assert again.waiting() == (0, 0)
    assert not (tmp_path / "digest").exists()
    again.close()


def test_what_waits_at_an_edge_is_told_with_the_age_of_the_oldest(tmp_path: Path) -> None:
    lanes = Lanes(tmp_path / "edge", 2**20)
    assert lanes.state().oldest_s is None
    lanes.append("a", KEY, [export()])
    lanes.append("b", KEY, [export()])
    state = lanes.state()
    assert (state.files, state.max_bytes) == (2, 2**20)
    assert state.bytes == sum(path.stat().st_size for path in tmp_path.glob("edge/*/*.spool"))
    assert state.oldest_s is not None
    lanes.close()
