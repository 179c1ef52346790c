"""When each page is first painted in Chromium, and how much it moves while its parts come.

Opens every page of a running platform with demo data (`make run`, `make demo`, same environment) on a desk and on a
phone. Makes examples of what a person makes there, as docs/screenshots.py does. `answer` is the server's first byte and
`paint` the first contentful paint, both in ms after the page was asked for, the median of the runs; `shift` is the
largest cumulative layout shift, and what moved most.

    python benchmarks/paint.py [--base http://127.0.0.1:8000] [--runs 3] [--only trace models] [--range 24h]
"""

import argparse
import importlib.util
import statistics
import sys
from pathlib import Path
from types import ModuleType

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
# Parts that come later are asked for as the page loads; quiet for so long, nothing is under way.
SETTLE_MS = 500


def _screenshots() -> ModuleType:
    """Load `docs/screenshots.py`, which sets Django up, signs in and knows the pages."""
    sys.path[:0] = [str(ROOT / "platform"), str(ROOT)]
    spec = importlib.util.spec_from_file_location("docs_screenshots", ROOT / "docs" / "screenshots.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    pictures = _screenshots()
    from tests.journeys.steadiness import steadiness, watch  # noqa: PLC0415  # from the checkout, put on the path above

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=f"http://127.0.0.1:{pictures.settings.PORT}")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--range", default="24h")
    given = parser.parse_args()

    def measure(page: Page, name: str, path: str, where: str) -> None:
        found = []
        for _ in range(given.runs):
            page.goto(given.base + path)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(SETTLE_MS)
            page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
            found.append(steadiness(page))
        worst = max(found, key=lambda one: one.shift)
        answer = statistics.median(one.answer_ms for one in found)
        paint = statistics.median(one.paint_ms or 0 for one in found)
        moved = f"  {worst.moved[0]}" if worst.shift >= 0.01 else ""
        sys.stdout.write(f"{name:24} {where:6} {answer:7.0f} {paint:7.0f} {worst.shift:7.3f}{moved}\n")
        sys.stdout.flush()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=pictures.CHROMIUM, args=pictures.ARGUMENTS)
        context = browser.new_context(viewport=pictures.WIDE)
        watch(context)
        page = context.new_page()
        pictures.sign_in(page, given.base)
        pictures.make_examples(page, given.base)
        query = f"range={given.range}"
        paths = pictures.paths(page, given.base, query) | pictures.paths_of_the_day(page, given.base, query)
        sys.stdout.write(f"{'page':24} {'on a':6} {'answer':>7} {'paint':>7} {'shift':>7}\n")
        for where, viewport in (("desk", pictures.WIDE), ("phone", pictures.PHONE)):
            page.set_viewport_size(viewport)
            for name, path in paths.items():
                if not given.only or name in given.only:
                    measure(page, name, path, where)
        browser.close()


if __name__ == "__main__":
    main()
