"""A passkey and an authenticator app in a real browser: Chromium's own device in software answers for the passkey's."""

import json
import os
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import ANSWER_SECONDS, Platform
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
    page.goto(f"{base}/p/default/settings")
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password, once more").fill(PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible(timeout=PATIENCE)

    page.goto(f"{base}/security")
    found = {"security": faults(page)}
    page.get_by_role("link", name="Add a passkey").click()
    found["proof"] = faults(page)
    page.get_by_label("Password of").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Name, to tell it apart").fill("My laptop")
    found["add"] = faults(page)
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#recovery-codes li")).to_have_count(10)
    found["codes"] = faults(page)
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_role("row", name="My laptop")).to_be_visible(timeout=PATIENCE)
    found["security with a passkey"] = faults(page)

    sign_out(page)
    found["login"] = faults(page)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=PATIENCE)

    sign_out(page)
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Use your passkey")).to_be_visible(timeout=PATIENCE)
    found["second step"] = faults(page)
    page.get_by_role("button", name="Use your passkey").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=PATIENCE)

    page.goto(f"{base}/security")
    page.get_by_role("link", name="Switch it on").click()
    expect(page.get_by_role("heading", name="Is it you?")).to_be_visible(timeout=PATIENCE)
    found["proof by passkey"] = faults(page)
    page.get_by_role("button", name="Use your passkey").click()
    expect(page.get_by_role("img", name="The secret below as a picture")).to_be_visible(timeout=PATIENCE)
    found["authenticator"] = faults(page)
    assert found == {each: [] for each in found}


def test_without_a_device_the_page_says_so_and_the_password_still_works(page: Page, platform: Platform) -> None:
    base = platform.base.replace("127.0.0.1", "localhost")
    page.set_default_timeout(PATIENCE)
    with_device(page)
    page.goto(f"{base}/login")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("alert")).to_have_text("No passkey was used.", timeout=PATIENCE)
    expect(page.get_by_label("User")).to_be_visible()
