"""A passkey, an authenticator app and a forgotten password in a real browser: Chromium's own device in software answers
for the passkey's, a mailbox of this test's takes the mails.
"""

import email
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from allauth.mfa.totp.internal import auth as totp
from playwright.sync_api import Page, expect

from tests.journeys.conftest import ANSWER_SECONDS, Platform, eventually
from tests.journeys.test_every_page_is_for_everybody import axe as axe  # noqa: PLC0414  # a fixture
from tests.journeys.test_every_page_is_for_everybody import faults

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("axe")]
PASSWORD = "a long password of theirs 1"
# On a busy machine the password alone takes seconds.
PATIENCE = ANSWER_SECONDS * 1_000


def somebody(platform: Platform) -> tuple[str, str]:
    """Make a person; return the name and the one-time link. The admin of the other journeys stays without a factor."""
    name = f"passkey-{os.urandom(4).hex()}"
    command = [sys.executable, "-m", "heliograph.cli", "users", "create", name, "--role", "owner", "--json"]
    made = subprocess.run(command, env=platform.environment, capture_output=True, text=True, check=True, timeout=600)
    return name, json.loads(made.stdout)["login_link"]


def with_device(page: Page) -> None:
    """Give the browser a device that keeps passkeys and finds its owner's finger on it."""
    device = {"protocol": "ctap2", "transport": "internal", "automaticPresenceSimulation": True}
    device |= {"hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True}
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": device})


class Mail(socketserver.StreamRequestHandler):
    """One conversation in SMTP: takes what it is given."""

    server: "Mailbox"

    def handle(self) -> None:
        self.wfile.write(b"220 mailbox\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                body = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.mails.append(email.message_from_bytes(body).get_payload(decode=True).decode())
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 taken\r\n")


class Mailbox(socketserver.ThreadingTCPServer):
    """The mail server of the platform, which starts after it does: until then no mail goes out."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.mails: list[str] = []
        super().__init__(("127.0.0.1", port), Mail)

    def link(self, part: str) -> str:
        """Return the link with a part in it, once a mail has come that has one."""
        return str(eventually(lambda: re.search(rf"http://\S+{part}\S+", "\n".join(self.mails))).group())


@pytest.fixture
def mailbox(platform: Platform) -> Iterator[Mailbox]:
    with Mailbox(int(platform.environment["HELIOGRAPH_SMTP_PORT"])) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def look(page: Page, found: dict[str, list[str]], name: str) -> None:
    """Note what axe finds on the page, in light and in dark."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # two literals
        found[f"{name}, {theme}"] = faults(page)


def set_password(page: Page, base: str) -> None:
    page.goto(f"{base}/p/default/settings")
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password, once more").fill(PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible(timeout=PATIENCE)


def prove(page: Page) -> None:
    """Say by the password that it is you, where the page asks for it."""
    page.get_by_label("Password of").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").first.click()
    expect(page.get_by_label("User")).to_be_visible(timeout=PATIENCE)


def test_somebody_adds_a_passkey_and_signs_in_with_it_alone_and_after_the_password(
    page: Page, platform: Platform
) -> None:
    # Browsers let no address of numbers have passkeys.
    base = platform.base.replace("127.0.0.1", "localhost")
    page.set_default_timeout(PATIENCE)
    with_device(page)
    name, link = somebody(platform)
    page.goto(link)
    set_password(page, base)

    page.goto(f"{base}/security")
    found: dict[str, list[str]] = {}
    look(page, found, "security")
    page.get_by_role("link", name="Add a passkey").click()
    look(page, found, "proof")
    prove(page)
    page.get_by_label("Name, to tell it apart").fill("My laptop")
    look(page, found, "add")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#recovery-codes li")).to_have_count(10)
    look(page, found, "codes")
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_role("row", name="My laptop")).to_be_visible(timeout=PATIENCE)
    look(page, found, "security with a passkey")

    sign_out(page)
    look(page, found, "login")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=PATIENCE)

    sign_out(page)
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Use your passkey")).to_be_visible(timeout=PATIENCE)
    look(page, found, "second step")
    page.get_by_role("button", name="Use your passkey").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=PATIENCE)

    page.goto(f"{base}/security")
    page.get_by_role("link", name="Switch it on").click()
    expect(page.get_by_role("heading", name="Is it you?")).to_be_visible(timeout=PATIENCE)
    look(page, found, "proof by passkey")
    page.get_by_role("button", name="Use your passkey").click()
    expect(page.get_by_role("img", name="The secret below as a picture")).to_be_visible(timeout=PATIENCE)
    look(page, found, "authenticator")
    secret = page.locator("#totp-secret").inner_text()
    page.get_by_label("Code").fill(str(totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30))))
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("link", name="Switch it off")).to_be_visible(timeout=PATIENCE)
    look(page, found, "security with both")
    page.get_by_role("link", name="Switch it off").click()
    expect(page.get_by_role("heading", name="Switch off the second factor")).to_be_visible(timeout=PATIENCE)
    look(page, found, "switching off")
    page.get_by_role("link", name="Back").click()
    page.get_by_role("link", name="Make new codes").click()
    expect(page.get_by_role("heading", name="New recovery codes")).to_be_visible(timeout=PATIENCE)
    look(page, found, "new codes")
    page.get_by_role("link", name="Back").click()
    page.goto(f"{base}/security/recovery-codes")
    expect(page.get_by_text("They were shown once.")).to_be_visible(timeout=PATIENCE)
    look(page, found, "codes that were shown")
    page.goto(f"{base}/security/proof/code")
    look(page, found, "proof by code")
    page.goto(f"{base}/security")
    page.get_by_role("link", name="Remove the passkey My laptop").click()
    expect(page.get_by_role("heading", name="Remove a passkey")).to_be_visible(timeout=PATIENCE)
    look(page, found, "removing a passkey")
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("link", name="Switch it off")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("row", name="My laptop")).to_have_count(0)
    assert found == {each: [] for each in found}


def test_without_a_device_the_page_says_so_and_the_password_still_works(page: Page, platform: Platform) -> None:
    base = platform.base.replace("127.0.0.1", "localhost")
    page.set_default_timeout(PATIENCE)
    with_device(page)
    page.goto(f"{base}/login")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("alert")).to_have_text("No passkey was used.", timeout=PATIENCE)
    expect(page.get_by_label("User")).to_be_visible()


def test_a_forgotten_password_is_set_anew_by_a_link_to_an_address_that_was_confirmed(
    page: Page, platform: Platform, mailbox: Mailbox
) -> None:
    base = platform.base.replace("127.0.0.1", "localhost")
    page.set_default_timeout(PATIENCE)
    name, link = somebody(platform)
    found: dict[str, list[str]] = {}
    page.goto(link)
    set_password(page, base)
    page.goto(f"{base}/security/proof?next=/security")
    prove(page)
    page.get_by_label("Another address").fill(f"{name}@example.org")
    page.get_by_role("button", name="Send a link there").click()
    expect(page.get_by_text("Open the link that was sent there")).to_be_visible(timeout=PATIENCE)
    page.goto(mailbox.link("/security/address/"))
    look(page, found, "address")
    page.get_by_role("button", name="It is mine").click()
    expect(page.get_by_text(f"A link would be sent to {name}@example.org.")).to_be_visible(timeout=PATIENCE)
    page.goto(f"{base}/security/address/forged")
    look(page, found, "address, void")
    page.go_back()
    sign_out(page)

    page.get_by_role("link", name="Forgotten").click()
    look(page, found, "forgotten")
    page.get_by_label("Your user name").fill(name)
    page.get_by_role("button", name="Send me a link").click()
    expect(page.get_by_role("status")).to_contain_text("a link is on its way")
    look(page, found, "asked")
    reset = mailbox.link("/login/reset/")
    page.goto(reset)
    look(page, found, "reset")
    page.get_by_label("Password, of").fill(f"{PASSWORD}, the second")
    page.get_by_role("button", name="Set it").click()
    expect(page.get_by_text("Your password is changed, and every session of yours ended.")).to_be_visible()
    page.goto(reset)
    expect(page.get_by_role("alert")).to_contain_text("This link is used")
    look(page, found, "reset, used")
    page.goto(f"{base}/login")
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill(f"{PASSWORD}, the second")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=PATIENCE)
    assert found == {each: [] for each in found}
