"""Pages of rows of the metadata database, newest first, by cursor."""

from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework import serializers

from heliograph.query.paging import MAX_PAGE, Page, decode_cursor, encode_cursor

Row = TypeVar("Row", bound=Model)


class RowParameters(serializers.Serializer[Any]):
    """One page of a list."""

    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=50)
    cursor = serializers.CharField(required=False, max_length=1_000, help_text="`next_cursor` of the page before.")


def row_page(rows: QuerySet[Row], given: dict[str, Any]) -> Page[Row]:
    """Return a page of rows by their ids, which grow with time. Raises InvalidFilterError for another list's cursor."""
    rows = rows.order_by("-pk")
    if given.get("cursor"):
        rows = rows.filter(pk__lt=decode_cursor(given["cursor"], int)[0])
    found = list(rows[: given["limit"] + 1])
    items = found[: given["limit"]]
    more = len(found) > len(items)
    return Page(tuple(items), encode_cursor(int(items[-1].pk)) if more else None)
