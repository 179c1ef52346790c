"""`make screenshots`: take pictures of every page of the running platform, in light and dark, wide and on a phone.

Needs `make run` and `make demo` on this machine with the same environment.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

import django
from playwright.sync_api import Browser, Page, sync_playwright

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = (
    "1"  # Playwright's loop runs in this thread; nothing else uses the database here
)
django.setup()

import sesame.utils  # noqa: E402  # needs the settings
from django.conf import settings  # noqa: E402
from django.urls import reverse  # noqa: E402

from heliograph.accounts.models import User  # noqa: E402

FOLDER = Path(__file__).parent / "screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def sign_in(page: Page, base: str) -> None:
    user = User.objects.get(username="admin")
    page.goto(base + reverse("login-link") + sesame.utils.get_query_string(user))


def take(page: Page, folder: Path, name: str, path: str, base: str, full: bool) -> None:
    page.goto(base + path)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=folder / f"{name}.png", full_page=full)


def trace_path(page: Page, base: str, slug: str) -> str:
    page.goto(f"{base}/p/{slug}/traces?service=support-bot&range=7d")
    return page.locator("a.trace-name").first.get_attribute("href") or ""


def gpu_trace_path(page: Page, base: str, slug: str) -> str:
    page.goto(f"{base}/p/{slug}/traces?service=vllm-70b&range=7d")
    return page.locator("a.trace-name").first.get_attribute("href") or ""


def first_link(page: Page, url: str, part: str) -> str:
    page.goto(url)
    return page.locator(f"a[href*='{part}'], a:has([href*='{part}'])").first.get_attribute("href") or ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=f"http://127.0.0.1:{settings.PORT}")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--project", default="default")
    parser.add_argument("--full", action="store_true", help="whole pages instead of one screen")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for theme in ("light", "dark"):
            _of_theme(browser, theme, given)
        browser.close()


def _of_theme(browser: Browser, theme: str, given: argparse.Namespace) -> None:
    slug, base = given.project, given.base
    for viewport, suffix in ((WIDE, theme), (PHONE, f"phone-{theme}")):
        context = browser.new_context(viewport=viewport, color_scheme=theme)  # type: ignore[arg-type]  # two literals
        page = context.new_page()
        page.on("pageerror", lambda error: sys.stderr.write(f"page error: {error}\n"))
        page.on("console", lambda message: message.type == "error" and sys.stderr.write(f"console: {message.text}\n"))
        take(page, given.folder, f"login-{suffix}", reverse("login"), base, given.full)
        sign_in(page, base)
        paths = {
            "overview": f"/p/{slug}/",
            "traces": f"/p/{slug}/traces",
            "trace": trace_path(page, base, slug),
            "trace-gpu": gpu_trace_path(page, base, slug),
            "models": f"/p/{slug}/models",
            "gpus": f"/p/{slug}/gpus",
            "gpu": first_link(page, f"{base}/p/{slug}/gpus", "/gpus/device/"),
            "engines": f"/p/{slug}/gpus/engines",
            "calculator": f"/p/{slug}/gpus/calculator",
            "costs": f"/p/{slug}/costs",
            "evaluations": f"/p/{slug}/evaluations",
            "ingest": f"/p/{slug}/ingest",
            "settings": f"/p/{slug}/settings",
            "conventions": f"/p/{slug}/settings/conventions",
            "redaction": f"/p/{slug}/settings/redaction",
            "sampling": f"/p/{slug}/settings/sampling",
            "prices": f"/p/{slug}/settings/prices",
            "scraping": f"/p/{slug}/settings/scraping",
        }
        for name, path in paths.items():
            take(page, given.folder, f"{name}-{suffix}", path, base, given.full)
        context.close()


if __name__ == "__main__":
    main()
