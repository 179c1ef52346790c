"""One request out: bounded, judged where it connects, and following nothing."""

import socket
import threading
from typing import Any

import pytest
from pytest_django import Settings

from heliograph.net import outgoing
from heliograph.net.addresses import Policy
from tests.net.servers import Handler, serving, speaking

LOOPBACK = Policy.of(["127.0.0.0/8"])


def ok(handler: Handler) -> None:
    handler.say(200, b'{"ok": true}')


def test_a_request_arrives_as_it_was_given_and_any_answer_comes_back() -> None:
    with serving(lambda handler: handler.say(418, b"no", x_reason="teapot")) as server:
        answer = outgoing.send(
            "POST", f"{server.url}/hook?a=%20b", headers={"X-Token": "t"}, body=b"hello", allowed=LOOPBACK
        )
    assert (answer.status, answer.text, answer.headers["x-reason"], answer.is_cut) == (418, "no", "teapot", False)
    path, headers, body = server.requests[0]
    assert (path, headers["x-token"], body) == ("/hook?a=%20b", "t", b"hello")
    assert headers["host"] == server.url.removeprefix("http://")


def test_this_machine_is_not_asked_unless_the_setting_allows_it(settings: Settings) -> None:
    with serving(ok) as server:
        with pytest.raises(outgoing.InvalidAddressError, match="HELIOGRAPH_OUTGOING_NETWORKS"):
            outgoing.send("GET", server.url)
        assert server.requests == []
        settings.OUTGOING_NETWORKS = ["127.0.0.0/8"]
        assert outgoing.send("GET", server.url).status == 200


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with serving(ok) as goal, serving(lambda handler: handler.say(302, location=goal.url)) as server:
        assert outgoing.send("POST", server.url, allowed=LOOPBACK).status == 302
    assert goal.requests == []


def test_a_name_is_resolved_once_and_every_address_of_it_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebinding name server says a public address to who checks and a private one to who connects."""
    answers = [["127.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["10.0.0.1"]]
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *given: Any, **named: Any) -> list[Any]:
        if host != "hooks.example":
            return real(host, port, *given, **named)
        asked.append(host)
        found = answers[len(asked) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    with serving(ok) as server:
        url = f"http://hooks.example:{server.server_port}/"
        monkeypatch.setattr("heliograph.net.backend.socket.getaddrinfo", getaddrinfo)
        assert outgoing.send("GET", url, allowed=LOOPBACK).status == 200
        for _ in range(2):
            with pytest.raises(outgoing.InvalidAddressError, match=r"10\.0\.0\.1"):
                outgoing.send("GET", url, allowed=LOOPBACK)
    assert asked == ["hooks.example"] * 3
    assert len(server.requests) == 1


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(ok) as server, serving(ok) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert outgoing.send("GET", server.url, allowed=LOOPBACK).status == 200
    assert proxy.requests == []


def test_an_answer_is_read_up_to_a_bound() -> None:
    with serving(lambda handler: handler.say(200, b"x" * 5_000)) as server:
        answer = outgoing.send("GET", server.url, most_bytes=1_000, allowed=LOOPBACK)
    assert (len(answer.body), answer.is_cut) == (1_000, True)


def test_an_answer_that_never_ends_is_ended_by_the_time_of_the_whole_request() -> None:
    hung_up = threading.Event()

    def drip(connection: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        try:
            while not hung_up.wait(0.05):
                connection.sendall(b".")  # each read is quick; together they would take a day
        except OSError:
            hung_up.set()

    with speaking(drip) as url:
        with pytest.raises(outgoing.TooSlowError, match=r"within 0\.5 s"):
            outgoing.send("GET", url, seconds=0.5, allowed=LOOPBACK)
        assert hung_up.wait(10)


@pytest.mark.parametrize("spoken", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000])
def test_what_is_no_http_is_unreachable(spoken: bytes) -> None:
    with speaking(lambda connection: connection.sendall(spoken)) as url, pytest.raises(outgoing.UnreachableError):
        outgoing.send("GET", url, allowed=LOOPBACK)


def test_where_nobody_listens_it_says_so() -> None:
    with serving(ok) as server:
        url = server.url
    with pytest.raises(outgoing.UnreachableError, match="Nothing answers"):
        outgoing.send("GET", url, allowed=LOOPBACK)


@pytest.mark.parametrize(
    "url", ["ftp://example.org", "https://", "https://user:pass@example.org/", "nonsense", "https://x/" + "y" * 2_000]
)
def test_what_is_no_address_is_refused_before_anything_is_asked(url: str) -> None:
    with pytest.raises(outgoing.InvalidAddressError):
        outgoing.send("GET", url)
