"""`make screenshots`: take pictures of every page of the running platform, in light and dark, wide and on a phone.

Needs `make run` and `make demo` on this machine with the same environment, the demo within the last hour. Makes
examples of what a person makes there: a data set, experiments, gates, a dashboard, and an alert rule over the demo's
last hour, for whose alert it waits. Pictures have 256 colours, a quarter of their size.
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import django
from PIL import Image
from playwright.sync_api import Page, sync_playwright

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = (
    "1"  # Playwright's loop runs in this thread; nothing else uses the database here
)
django.setup()

import sesame.utils  # noqa: E402  # needs the settings
from django.conf import settings  # noqa: E402
from django.urls import reverse  # noqa: E402

from heliograph.accounts.models import User  # noqa: E402
from tests.journeys.every_page import API, PROJECT, make_examples, paths, paths_of_the_day, send  # noqa: E402  # from the checkout

FOLDER = Path(__file__).parent / "screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
COLOURS = 256
# Real rules are judged each minute by the platform's own worker, over what the demo sent in the last hour.
FIRES = {"name": "Slow for an hour", "measure": "latency_p95", "window": 60, "hold": 0, "by": ["service"]}
FIRES |= {"kind": "threshold", "condition": {"side": "above", "bound": 5.0}, "severity": "critical"}
FIRES_WITHIN_S = 600
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def sign_in(page: Page, base: str) -> None:
    user = User.objects.get(username="admin")
    page.goto(base + reverse("login-link") + sesame.utils.get_query_string(user))


def take(page: Page, folder: Path, name: str, path: str, base: str, full: bool) -> None:
    page.goto(base + path)
    page.wait_for_load_state("networkidle")
    taken = folder / f"{name}.png"
    page.screenshot(path=taken, full_page=full)
    with Image.open(taken) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(taken, optimize=True)


def wait_for_an_alert(page: Page, base: str) -> None:
    """Have a rule watch the demo's engines, and wait until it fires: then the charts have a mark of it."""
    asked = {"project": PROJECT}
    known = page.request.get(f"{base}{API}/alert-rules", params=asked).json()["items"]
    if not any(rule["name"] == FIRES["name"] for rule in known):
        send(page, base, "alert-rules", FIRES)
    deadline = time.monotonic() + FIRES_WITHIN_S
    while not page.request.get(f"{base}{API}/alerts", params=asked | {"state": "firing"}).json()["items"]:
        if time.monotonic() > deadline:
            sys.stderr.write("No alert has fired: was the demo sent within the last hour?\n")
            return
        time.sleep(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=f"http://127.0.0.1:{settings.PORT}")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these pages alone, such as trace")
    parser.add_argument("--theme", nargs="*", default=["light", "dark"], choices=["light", "dark"])
    parser.add_argument("--full", action="store_true", help="whole pages instead of one screen")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.on("pageerror", lambda error: sys.stderr.write(f"page error: {error}\n"))
        page.on("console", lambda message: message.type == "error" and sys.stderr.write(f"console: {message.text}\n"))
        _in_every_look(page, {"login": reverse("login")}, given)
        sign_in(page, given.base)
        make_examples(page, given.base)
        wait_for_an_alert(page, given.base)
        _in_every_look(page, paths(page, given.base) | paths_of_the_day(page, given.base, "range=7d"), given)
        browser.close()


def _in_every_look(page: Page, shown: dict[str, str], given: argparse.Namespace) -> None:
    for theme in given.theme:
        page.emulate_media(color_scheme=theme)
        for viewport, suffix in ((WIDE, theme), (PHONE, f"phone-{theme}")):
            page.set_viewport_size(viewport)  # type: ignore[arg-type]  # a width and a height
            for name, path in shown.items():
                if not given.only or name in given.only:
                    take(page, given.folder, f"{name}-{suffix}", path, given.base, given.full)


if __name__ == "__main__":
    main()
