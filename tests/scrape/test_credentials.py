"""A target is asked as whom the operator names, the secret is read anew each time, and nobody gets to see it."""

import json
import logging
import os
import ssl
from base64 import b64encode
from pathlib import Path

import httpx
import pytest
from django.core.exceptions import ValidationError
from django.test import override_settings

from heliograph.accounts.models import Project
from heliograph.scrape import delivery, file
from heliograph.scrape.addresses import Policy
from heliograph.scrape.credentials import Credentials, check_auth
from heliograph.scrape.fetch import ScrapeError, client, fetch
from heliograph.scrape.found import DiscoveryError, Found, keep
from heliograph.scrape.kubernetes import Cluster, target_of
from heliograph.scrape.models import Discovery, ScrapeTarget
from heliograph.scrape.runner import Target
from tests.scrape.authorities import Authority
from tests.scrape.pages import PAGE, serving
from tests.scrape.test_discovery import pod
from tests.scrape.test_fetching import Notes, running

SECRET = "correct-horse-battery-staple"


async def get(url: str, **auth: str) -> bytes:
    check_auth(auth)
    async with client() as http:
        known = Credentials(tuple(sorted(auth.items())), {"LLM": SECRET})
        return (await fetch(http, url, 60, Policy(loopback=True), credentials=known)).body


async def test_a_token_comes_from_a_file_as_it_is_at_that_moment(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with serving() as pages:
        for secret in (SECRET, f"{SECRET}-of-the-next-hour"):
            token.write_text(f"{secret}\n")
            pages.wants = f"Bearer {secret}"
            assert await get(pages.url(), token_file=str(token)) == PAGE
        with pytest.raises(ScrapeError, match="status 401: it wants other credentials"):
            await get(pages.url())


async def test_a_token_and_a_password_come_from_the_environment() -> None:
    with serving() as pages:
        pages.wants = f"Bearer {SECRET}"
        assert await get(pages.url(), token_env="LLM") == PAGE
        pages.wants = f"Basic {b64encode(f'ümit:{SECRET}'.encode()).decode()}"
        assert await get(pages.url(), username="ümit", password_env="LLM") == PAGE


@pytest.mark.parametrize("held", [None, b"", b" \n", b"two\nlines", b"\xff\xfe", b"x" * 70_000])
async def test_a_secret_that_cannot_be_had_is_said_and_the_target_not_asked(tmp_path: Path, held: bytes | None) -> None:
    token = tmp_path / "token"
    if held is not None:
        token.write_bytes(held)
    with serving() as pages:
        with pytest.raises(ScrapeError, match="token for this target"):
            await get(pages.url(), token_file=str(token))
        with pytest.raises(ScrapeError, match="password for this target is not set"):
            await get(pages.url(), username="me", password_env="NONE")
        assert pages.asked == {}


async def test_an_authority_of_ones_own_is_trusted_where_it_is_named_and_only_for_the_name(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    with serving(ours.server("llm.internal")) as pages:
        assert await get(pages.url(), ca_file=str(ours.file), server_name="llm.internal") == PAGE
        for auth in (
            {},
            {"ca_file": str(ours.file)},
            {"ca_file": str(ours.file), "server_name": "other.internal"},
            {"ca_file": str(other.file), "server_name": "llm.internal"},
        ):
            with pytest.raises(ScrapeError, match="no TLS that is trusted"):
                await get(pages.url(), **auth)
        assert len(pages.headers) == 1


async def test_a_certificate_of_the_client_opens_what_asks_for_one(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    mine = {"cert_file": str(ours.issue("scraper"))}
    known = {"ca_file": str(ours.file), "server_name": "llm.internal"}
    with serving(ours.server("llm.internal", asks_client=True)) as pages:
        assert await get(pages.url(), **known, **mine) == PAGE
        with pytest.raises(ScrapeError):
            await get(pages.url(), **known)
        (tmp_path / "scraper.pem").write_text("no certificate")
        os.utime(tmp_path / "scraper.pem", (1, 1))  # another time than that of the good one, whatever the clock's step
        with pytest.raises(ScrapeError, match="certificates for this target cannot be read"):
            await get(pages.url(), **known, **mine)


async def test_a_tls_that_refuses_only_as_it_answers_is_a_failed_scrape() -> None:
    class Refusing(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] certificate required")

    async with httpx.AsyncClient(transport=Refusing()) as http:
        with pytest.raises(ScrapeError, match="TLS refuses this connection"):
            await fetch(http, "https://127.0.0.1/metrics", 60, Policy(loopback=True))


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        ([], "an object of texts"),
        ({"token_file": 1}, "an object of texts"),
        ({"token": SECRET}, "never what it is"),
        ({"password": SECRET, "username": "me"}, "never what it is"),
        ({"token_file": "/a", "token_env": "A"}, "not in both"),
        ({"token_env": "heliograph"}, "capitals"),
        ({"username": "me"}, "go together"),
        ({"password_file": "/a"}, "go together"),
        ({"username": "a:b", "password_file": "/a"}, "go together"),
        ({"username": "me", "password_file": "/a", "token_env": "A"}, "not both"),
        ({"key_file": "/a"}, "key of a `cert_file`"),
        ({"token_file": "token"}, "whole path"),
        ({"server_name": "two words"}, "target's certificate"),
    ],
)
def test_references_that_cannot_be_meant_are_refused_without_a_value(auth: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        check_auth(auth)
    assert SECRET not in str(caught.value)


def test_the_watch_list_names_credentials_for_a_group() -> None:
    first, second = file.parse(b"- targets: [a:1]\n  auth: {token_env: LLM}\n- targets: [b:1]\n")
    assert (first.auth, second.auth) == ({"token_env": "LLM"}, {})
    with pytest.raises(DiscoveryError, match="`auth` of group 1"):
        file.parse(b"- targets: [a:1]\n  auth: secret")


def test_a_broken_watch_list_is_not_quoted() -> None:
    with pytest.raises(DiscoveryError, match="line 2") as caught:
        file.parse(f"- targets: [a:1]\n  auth: {{token: {SECRET}: }}}}".encode())
    assert SECRET not in str(caught.value)


def test_a_pod_is_shown_the_token_only_where_it_asks_over_tls_and_an_authority_vouches() -> None:
    cluster = Cluster("", pods_token_file="/token", pods_ca_file="/ca.pem")
    tls = {"prometheus.io/scheme": "https"}
    asking = {"heliograph.io/auth": "service-account", "heliograph.io/server-name": "llm.svc"}

    def auth(cluster: Cluster, annotations: dict[str, str]) -> dict[str, str]:
        asked = pod("a")
        asked["metadata"]["annotations"] |= annotations
        found = target_of(asked, cluster)
        assert found is not None
        check_auth(found.auth)
        return found.auth

    known = {"ca_file": "/ca.pem", "server_name": "llm.svc"}
    assert auth(cluster, tls | asking) == known | {"token_file": "/token"}
    assert auth(cluster, tls) == {"ca_file": "/ca.pem"}
    assert auth(cluster, asking) == {}
    assert auth(Cluster("", pods_token_file="/token"), tls | asking) == {"server_name": "llm.svc"}


@pytest.mark.django_db
def test_what_is_wrong_with_credentials_keeps_the_target_out(project: Project) -> None:
    keep("file", [Found(url="http://a:1/m", name="a", auth={"token": SECRET})], project.slug)
    assert not ScrapeTarget.objects.exists()
    said = Discovery.objects.get(source="file").error
    assert "never what it is" in said
    assert SECRET not in said


@pytest.mark.django_db
def test_changed_credentials_are_another_task(project: Project) -> None:
    with override_settings(SCRAPE_SECRETS={"LLM": SECRET}):
        keep("file", [Found(url="http://a:1/m", name="a", auth={"token_env": "LLM"})], project.slug)
        [before] = delivery.targets()
        assert before.credentials.headers() == {"authorization": f"Bearer {SECRET}"}
        assert SECRET not in repr(before)
        keep("file", [Found(url="http://a:1/m", name="a", auth={"token_file": "/a"})], project.slug)
        [after] = delivery.targets()
    assert before.identity != after.identity


async def test_neither_log_nor_outcome_nor_points_have_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    known = Credentials((("token_env", "LLM"),), {"LLM": SECRET})
    with serving() as pages:
        targets = [
            Target(number, 1, pages.url(path), 0.1, 60, (("service.name", "llm"),), credentials=known)
            for number, path in enumerate(("/metrics", "/missing", "/moved"))
        ]
        notes = Notes(*targets)
        await running(notes, lambda: len(notes.outcomes) == 3)
        assert {each["authorization"] for each in pages.headers} == {f"Bearer {SECRET}"}
    assert caplog.records
    assert SECRET not in caplog.text
    assert SECRET not in json.dumps([each.error for each in notes.outcomes.values()])
