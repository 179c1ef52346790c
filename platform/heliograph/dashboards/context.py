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
    ("sessions", "Sessions", "sessions"),
    ("models", "Models", "llm"),
    ("gpus", "GPUs", "gpu"),
    ("attribution", "Costs", "costs"),
    ("evaluations", "Evaluations", "evaluations"),
    ("annotation", "Annotation", "annotation"),
    ("datasets", "Data sets", "datasets"),
    ("alerts", "Alerts", "alerts"),
    ("ingest", "Ingest", "ingest"),
    ("settings", "Settings", "settings"),
)


# Pages below those, which the command palette names too.
FURTHER = (
    ("overview-boards", "Dashboards"),
    ("sessions-users", "Users"),
    ("models-prompts", "Prompts"),
    ("gpus-engines", "Serving engines"),
    ("gpus-training", "Training jobs"),
    ("gpus-calculator", "Calculator"),
    ("models-documents", "Documents (OCR)"),
    ("settings-prices", "Prices"),
    ("settings-sampling", "Sampling"),
    ("settings-redaction", "Redaction"),
    ("settings-conventions", "Conventions"),
    ("settings-scraping", "Scraping"),
    ("settings-people", "People"),
)
# The letter after g; a page that is not here has its label's first letter, where that is free.
KEYS = {"overview": "o", "traces": "t", "models": "m", "gpus": "g", "attribution": "c", "evaluations": "e"}
KEYS |= {"ingest": "i", "settings": "s", "alerts": "a", "datasets": "d", "sessions": "n", "annotation": "q"}


# What stands in the bar of a phone, which has room for five; the others are behind its last button.
_ON_A_PHONE = frozenset({"overview", "traces", "sessions", "alerts"})

# Pages that stand below an entry of another name.
_ENTRY = {"trace": "traces", "dataset": "datasets", "experiment": "datasets", "experiments": "datasets"}
_ENTRY |= {"evaluation": "evaluations"}


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """One entry of the rail; `g` and then `key` opens it. `on_phone`: it is in the bar of a phone too."""

    url: str
    label: str
    icon: str
    current: bool
    key: str
    on_phone: bool


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Return the rail and the project switch; nothing for somebody who is not signed in."""
    # A request that was refused before anybody was looked up has no user.
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {}
    match = request.resolver_match
    slug = match.kwargs.get("slug") if match else None
    projects = list(Project.objects.visible_to(user))
    # A page of no project, such as one's own security, has the way back to the project that the switch shows.
    if slug is None and projects:
        slug = projects[0].slug
    current = match.url_name or "" if match else ""
    section = current.partition("-")[0]
    # The time range is the application's: it follows the reader from page to page.
    kept = {name: request.GET[name] for name in ("range", "from", "to") if request.GET.get(name)}
    query = "?" + urlencode(kept) if kept else ""
    items = [
        NavigationItem(
            reverse(name, args=[slug]) + query,
            label,
            icon,
            _ENTRY.get(section, section) == name,
            KEYS.get(name) or _free_key(label),
            name in _ON_A_PHONE,
        )
        for name, label, icon in PAGES
        if slug
    ]
    further = [(reverse(name, args=[slug]) + query, label) for name, label in FURTHER if slug]
    is_behind = any(item.current and not item.on_phone for item in items)
    return {"navigation": {"items": items, "projects": projects, "further": further, "is_behind": is_behind}}


def _free_key(label: str) -> str:
    letter = label[:1].lower()
    return "" if letter in KEYS.values() else letter
