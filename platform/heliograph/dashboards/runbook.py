"""docs/runbook.md as a page: the health page's warnings and Prometheus' alerts lead to its sections."""

import html
import re
from dataclasses import dataclass

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString, mark_safe

from heliograph.dashboards.access import personal_page, reader_of

_SECTION = re.compile(r"^## ([a-z-]+)\n", re.MULTILINE)
# All of Markdown that the file uses; a test sees that nothing else is in it.
_CODE = re.compile(r"`([^`]+)`")
_STRONG = re.compile(r"\*\*([^*]+)\*\*")


@dataclass(frozen=True, slots=True)
class Section:
    """One thing that may be wrong: its name, which addresses it, and cause and cure as HTML."""

    name: str
    text: SafeString


def sections() -> list[Section]:
    """Return the file's sections, in their order."""
    _, *parts = _SECTION.split(settings.RUNBOOK.read_text(encoding="utf-8"))
    return [Section(name, _as_html(text)) for name, text in zip(parts[::2], parts[1::2], strict=True)]


def _as_html(text: str) -> SafeString:
    escaped = html.escape(text.strip(), quote=False)
    marked = _STRONG.sub(r"<strong>\1</strong>", _CODE.sub(r"<code>\1</code>", escaped))
    return mark_safe(marked)  # noqa: S308  # our own file, escaped before it is marked up


@personal_page
def show(request: HttpRequest) -> HttpResponse:
    """Show it to administrators of the installation; to others there is none."""
    if not reader_of(request).is_superuser:
        raise Http404("Only administrators of the installation see its runbook.")
    return render(request, "dashboards/runbook.html", {"sections": sections()})
