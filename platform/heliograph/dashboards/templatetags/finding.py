"""The search box of a list, and what stands in the list's place when nothing has the text."""

from typing import Any

from django import template

from heliograph.dashboards.finding import sought

register = template.Library()


@register.inclusion_tag("dashboards/_find.html", takes_context=True)
def find_box(context: dict[str, Any], what: str) -> dict[str, Any]:
    """Draw the box, which keeps what else the address says; `what` names the rows, such as `gates`."""
    request = context["request"]
    left = request.GET.copy()
    for name in ("find", "page", "cursor"):
        left.pop(name, None)
    kept = [(name, value) for name, values in left.lists() for value in values]
    return {"what": what, "find": sought(request), "kept": kept, "all_url": f"?{left.urlencode()}"}


@register.simple_tag(takes_context=True)
def sought_text(context: dict[str, Any]) -> str:
    """Return what the box holds, '' where the list is not narrowed."""
    return sought(context["request"])
