"""What moves on a page while it comes, as Chromium counts it, and when it was first painted.

- `watch(context)`: before a page is opened; every page of the context is watched from its first byte
- `steadiness(page) -> Steadiness`: of the page that is open, once nothing is under way any more
"""

from dataclasses import dataclass

from playwright.sync_api import BrowserContext, Page

# A shift is a share of the window that moved, times how far it moved; more than 0.1 in all is one that people mind.
MOST_SHIFT = 0.1
WATCH = """
window.shiftsSeen = [];
const nameOf = (node) => {
  const element = node && (node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement);
  if (!element) return "";
  return [element.localName, element.id && `#${element.id}`, ...element.classList].join(".");
};
new PerformanceObserver((list) => {
  for (const shift of list.getEntries()) {
    if (!shift.hadRecentInput) window.shiftsSeen.push([shift.value, shift.sources.map(({ node }) => nameOf(node))]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""
READ = """() => ({
  shifts: window.shiftsSeen,
  paint_ms: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null,
  answer_ms: performance.getEntriesByType("navigation")[0].responseStart,
})"""


@dataclass(frozen=True)
class Steadiness:
    """How much a page moved, what moved most first, and the ms until the answer's first byte and the first paint."""

    shift: float
    moved: tuple[str, ...]
    answer_ms: float
    paint_ms: float | None


def watch(context: BrowserContext) -> None:
    context.add_init_script(WATCH)


def steadiness(page: Page) -> Steadiness:
    found = page.evaluate(READ)
    shifts = sorted(found["shifts"], key=lambda one: -one[0])
    moved = tuple(f"{value:.3f} {' '.join(names)}" for value, names in shifts[:5])
    return Steadiness(sum(value for value, _ in shifts), moved, found["answer_ms"], found["paint_ms"])
