"""What data sets look like as JSON, and what may be asked of them."""

from collections.abc import Callable
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from heliograph.api.parameters import RangeParameters, Texts
from heliograph.api.representation import serializer_of
from heliograph.datasets.content import InvalidRowError, RowContent
from heliograph.datasets.from_traces import MAX_ITEMS
from heliograph.datasets.models import Dataset, DatasetVersion, Row
from heliograph.datasets.tables import FORMATS, Fault
from heliograph.datasets.versions import TooManyRowsError
from heliograph.query.paging import MAX_PAGE

# The bound of a body is 10 MiB: so many rows of a kilobyte.
MAX_ROWS_A_REQUEST = 10_000


def changed(change: Callable[[], Any]) -> Any:
    """Return what a change returns; as problems what no row may be, and more of them than fit."""
    try:
        return change()
    except InvalidRowError as error:
        raise ValidationError({error.field: [error.message]}) from error
    except TooManyRowsError as error:
        raise ValidationError({"rows": [str(error)]}) from error


def row_out(row: Row | RowContent) -> dict[str, Any]:
    """Return a row as the API shows it."""
    if isinstance(row, Row):
        return row.as_dict()
    named = row.named()
    names = ("input", "expected", "context", "metadata", "trace_id", "span_id")
    return {"id": named.key, "split": row.split or "", **{name: getattr(row, name) for name in names}}


def content_of(number: int, given: dict[str, Any]) -> RowContent:
    """Return the row of a request's body. Raises ValidationError that names it."""
    names = ("input", "expected", "context", "trace_id", "span_id", "split")
    fields = {name: given[name] for name in names if name in given}
    try:
        return RowContent(**fields, metadata=given.get("metadata") or {}, key=given.get("id") or "")
    except InvalidRowError as error:
        raise ValidationError({f"rows.{number}.{error.field}": [error.message]}) from error


class DatasetBody(serializers.ModelSerializer[Dataset]):
    """A data set; `latest` is its newest version, 0 before there is one."""

    class Meta:
        model = Dataset
        fields = ("id", "name", "description", "latest", "stored_rows", "stored_bytes", "created_at", "updated_at")
        read_only_fields = ("latest", "stored_rows", "stored_bytes")


class DatasetPage(serializers.Serializer[Any]):
    """Data sets, newest first."""

    items = DatasetBody(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class VersionOut(serializers.ModelSerializer[DatasetVersion]):
    """What one change made of a data set; `splits` counts its rows by split."""

    created_by = serializers.CharField(source="created_by.username", default=None)

    class Meta:
        model = DatasetVersion
        fields = (
            "number",
            "source",
            "note",
            "added",
            "changed",
            "removed",
            "rows",
            "splits",
            "created_by",
            "created_at",
        )
        # `source` is a field here, and what serializers call where they read from.


class VersionPage(serializers.Serializer[Any]):
    """Versions, newest first."""

    items = VersionOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class RowIn(serializers.Serializer[Any]):
    """A row: any JSON as input, expected and context. Without an id it is known again by its input."""

    id = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)
    input = serializers.JSONField()
    expected = serializers.JSONField(required=False, allow_null=True)
    context = serializers.JSONField(required=False, allow_null=True)  # type: ignore[assignment]  # see Problem
    metadata = serializers.JSONField(required=False)
    split = serializers.CharField(required=False, allow_blank=True, max_length=50)
    trace_id = serializers.CharField(required=False, allow_blank=True)
    span_id = serializers.CharField(required=False, allow_blank=True)


class RowsIn(serializers.Serializer[Any]):
    """Rows to add or change, and ids of rows to remove: one version."""

    rows = RowIn(many=True, default=list, max_length=MAX_ROWS_A_REQUEST)  # type: ignore[call-arg]  # of many=True
    remove = serializers.ListField(child=serializers.CharField(), default=list, max_length=MAX_ROWS_A_REQUEST)
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=500)


class RowOut(serializers.Serializer[Any]):
    """A row of a version."""

    id = serializers.CharField()
    split = serializers.CharField()
    input = serializers.JSONField()
    expected = serializers.JSONField(allow_null=True)
    context = serializers.JSONField(allow_null=True)  # type: ignore[assignment]  # see Problem
    metadata = serializers.JSONField()
    trace_id = serializers.CharField()
    span_id = serializers.CharField()


class RowPage(serializers.Serializer[Any]):
    """Rows of one version, in their order."""

    version = serializers.IntegerField()
    items = RowOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class DifferenceOut(serializers.Serializer[Any]):
    """A row that differs: added, changed or removed."""

    kind = serializers.CharField()
    id = serializers.CharField()
    old = RowOut(allow_null=True)
    new = RowOut(allow_null=True)


class DiffPage(serializers.Serializer[Any]):
    """Differences, in the rows' order."""

    items = DifferenceOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class FromTracesIn(RangeParameters):
    """Which spans are copied: `items`, or the newest traces of a time range that a `filter` finds."""

    items = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        default=list,
        max_length=MAX_ITEMS,
        help_text="TRACE_ID, which is its root, or TRACE_ID:SPAN_ID.",
    )
    filter = serializers.CharField(
        required=False, default="", max_length=4_000, help_text="In the filter language of the traces page."
    )
    limit = serializers.IntegerField(min_value=1, max_value=MAX_ITEMS, default=100)
    split = serializers.CharField(required=False, allow_blank=True, max_length=50)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Either of the two is given."""
        if bool(attrs["items"]) == bool(attrs["filter"].strip()):
            raise serializers.ValidationError({"items": ["Give items, or a filter."]})
        return attrs


class RefusedItem(serializers.Serializer[Any]):
    """An item of which no row could be made."""

    item = serializers.CharField()
    reason = serializers.CharField()


class FromTracesOut(serializers.Serializer[Any]):
    """How many rows were made; `version` is null where nothing is new."""

    rows = serializers.IntegerField()
    refused = RefusedItem(many=True)
    version = VersionOut(allow_null=True)


class SplitIn(serializers.Serializer[Any]):
    """Shares such as `train=80, dev=10, test=10`."""

    splits = serializers.CharField(max_length=500)
    seed = serializers.IntegerField(default=0, min_value=0, max_value=2**31)
    all_rows = serializers.BooleanField(default=False)


class ListParameters(serializers.Serializer[Any]):
    """A page of a list."""

    name = serializers.CharField(required=False, max_length=200)
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=50)
    cursor = serializers.CharField(required=False, max_length=1_000, help_text="`next_cursor` of the page before.")


class RowParameters(ListParameters):
    """Which rows."""

    name = None  # type: ignore[assignment]  # rows have none
    version = serializers.IntegerField(required=False, min_value=1, help_text="The latest without it.")
    split = serializers.CharField(required=False, default="", max_length=50)
    id = serializers.CharField(required=False, max_length=200)


class DiffParameters(ListParameters):
    """Which version to compare with."""

    name = None  # type: ignore[assignment]  # rows have none
    against = serializers.IntegerField(required=False, min_value=0, help_text="The one before without it.")


class ExportParameters(serializers.Serializer[Any]):
    """The form of a file."""

    kind = serializers.ChoiceField(FORMATS, default="jsonl")
    split = serializers.CharField(required=False, default="", max_length=50)


class ImportParameters(serializers.Serializer[Any]):
    """How a file is read. Columns are guessed by their names where none is given."""

    kind = serializers.ChoiceField(FORMATS, default="csv")
    input = Texts(required=False, max_length=50)
    expected = Texts(required=False, max_length=50)
    context = Texts(required=False, max_length=50)  # type: ignore[assignment]  # see Problem
    metadata = Texts(required=False, max_length=500)
    id = serializers.CharField(required=False, default="", max_length=200, help_text="Column of the rows' ids.")
    split_column = serializers.CharField(required=False, default="", max_length=200)
    json_cells = serializers.BooleanField(default=False, help_text="Read texts that are JSON objects or lists as such.")
    splits = serializers.CharField(required=False, default="", max_length=500, help_text="train=80, test=20")
    seed = serializers.IntegerField(default=0, min_value=0, max_value=2**31)
    dry_run = serializers.BooleanField(default=False)
    skip_faults = serializers.BooleanField(default=False)
    note = serializers.CharField(required=False, default="", max_length=500)


class ImportOut(serializers.Serializer[Any]):
    """What a file holds. `version` is null where nothing was kept, or nothing is new."""

    rows = serializers.IntegerField()
    faults = serializer_of(Fault)(many=True)
    fault_count = serializers.IntegerField()
    columns = serializers.ListField(child=serializers.CharField())
    preview = RowOut(many=True)
    version = VersionOut(allow_null=True)
