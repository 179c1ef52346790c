"""What every page of the application shows around its content."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from heliograph.accounts.models import Project, User

PAGES = (
    ("overview", "Overview", "overview"),
    ("traces", "Traces", "traces"),
    ("models", "Models", "llm"),
    ("gpus", "GPUs", "gpu"),
    ("attribution", "Costs", "costs"),
    ("evaluations", "Evaluations", "evaluations"),
    ("ingest", "Ingest", "ingest"),
    ("settings", "Settings", "settings"),
)


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """One entry of the rail."""

    url: str
    label: str
    icon: str
    current: bool


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Return the rail and the project switch; nothing for somebody who is not signed in."""
    if not isinstance(request.user, User):
        return {}
    match = request.resolver_match
    slug = match.kwargs.get("slug") if match else None
    projects = list(Project.objects.visible_to(request.user))
    current = match.url_name or "" if match else ""
    # The time range is the application's: it follows the reader from page to page.
    kept = {name: request.GET[name] for name in ("range", "from", "to") if request.GET.get(name)}
    query = "?" + urlencode(kept) if kept else ""
    items = [
        NavigationItem(
            reverse(name, args=[slug]) + query, label, icon, current == name or current.startswith(f"{name}-")
        )
        for name, label, icon in PAGES
        if slug
    ]
    return {"navigation": {"items": items, "projects": projects}}
