"""The search box of a list: the address's `find=` keeps the rows that have its text in one of some fields."""

from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

MAX_CHARACTERS = 200

Row = TypeVar("Row", bound=Model)


def sought(request: HttpRequest) -> str:
    """Return the text of the address; '' where there is none. PostgreSQL takes no NUL, so it is left out."""
    return request.GET.get("find", "").replace("\0", "").strip()[:MAX_CHARACTERS]


def found_in(request: HttpRequest, rows: QuerySet[Row], *fields: str) -> QuerySet[Row]:
    """Return the rows that have the address's text in one of the fields, in any case; all where none is sought."""
    text = sought(request)
    if not text:
        return rows
    wanted = Q()
    for field in fields:
        wanted |= Q(**{f"{field}__icontains": text})
    return rows.filter(wanted)


def is_in(request: HttpRequest, *texts: Any) -> bool:
    """Whether the address's text is in one of these texts: for rows that no database narrows."""
    wanted = sought(request).casefold()
    return not wanted or any(wanted in str(text).casefold() for text in texts)
