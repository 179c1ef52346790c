"""Data sets over the API: rows in and out, versions, what they differ by. A project's key may write."""

import io
from typing import IO, Any

from django.http import FileResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import EDITING, READING
from heliograph.accounts.models import User
from heliograph.api.dataset_shapes import (
    DatasetBody,
    DatasetPage,
    DiffPage,
    DiffParameters,
    ExportParameters,
    FromTracesIn,
    FromTracesOut,
    ImportOut,
    ImportParameters,
    ListParameters,
    RowPage,
    RowParameters,
    RowsIn,
    SplitIn,
    VersionOut,
    VersionPage,
    changed,
    content_of,
    row_out,
)
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.datasets import exports, from_traces, imports, versions
from heliograph.datasets.columns import Columns
from heliograph.datasets.content import InvalidRowError
from heliograph.datasets.models import Dataset, DatasetVersion, Row
from heliograph.datasets.resplit import split_again
from heliograph.datasets.splits import parse_ratios
from heliograph.datasets.tables import MAX_UPLOAD_BYTES, UnreadableTableError
from heliograph.datasets.versions import TooManyRowsError
from heliograph.query import language
from heliograph.query.paging import decode_cursor, encode_cursor


class TooLarge(APIException):
    """A body over its bound."""

    status_code = 413


class AnyBody(BaseParser):
    """A file as the body, whatever its type says; read to a bound."""

    media_type = "*/*"

    def parse(self, stream: IO[bytes], media_type: Any = None, parser_context: Any = None) -> Any:
        """Return the bytes. Raises TooLarge."""
        body = stream.read(MAX_UPLOAD_BYTES + 1)
        if len(body) > MAX_UPLOAD_BYTES:
            raise TooLarge(f"A file may have {MAX_UPLOAD_BYTES:,} bytes: send it in parts.")
        return body


def person(request: Request) -> User | None:
    """Return who asks, None for a key."""
    return request.user if isinstance(request.user, User) else None


def given_in(kind: type[serializers.Serializer[Any]], request: Request, **options: Any) -> Any:
    """Return the checked body."""
    given = kind(data=request.data, **options)
    given.is_valid(raise_exception=True)
    return given.validated_data


def page_of(rows: list[Any], limit: int, place: Any) -> tuple[list[Any], str | None]:
    """Cut `limit + 1` rows to a page and the cursor of the next; `place` returns a row's place, a number."""
    return rows[:limit], encode_cursor(place(rows[limit - 1])) if len(rows) > limit else None


def after_of(given: dict[str, Any]) -> int:
    """Return the place of a cursor, 0 without one."""
    return int(decode_cursor(given["cursor"], int)[0]) if given.get("cursor") else 0


def the_dataset(request: Request, dataset_id: int) -> Dataset:
    """Return a data set of the project; 404 for any other."""
    return get_object_or_404(Dataset, project=project_of(request), pk=dataset_id)


def the_version(dataset: Dataset, number: int | None) -> DatasetVersion:
    """Return a version, the latest for None; 404 where there is none."""
    return get_object_or_404(DatasetVersion, dataset=dataset, number=number if number is not None else dataset.latest)


class DatasetsView(APIView):
    """Data sets of a project."""

    needs = EDITING

    @extend_schema(operation_id="list_datasets", parameters=[ListParameters], responses=answers(DatasetPage))
    def get(self, request: Request) -> Response:
        """List data sets, newest first."""
        given = read(ListParameters, request).validated_data
        found = Dataset.objects.filter(project=project_of(request)).order_by("-pk")
        found = found.filter(pk__lt=after_of(given)) if given.get("cursor") else found
        found = found.filter(name=given["name"]) if given.get("name") else found
        items, cursor = page_of(list(found[: given["limit"] + 1]), given["limit"], lambda row: row.pk)
        return Response(DatasetPage({"items": items, "next_cursor": cursor}).data)

    @extend_schema(operation_id="add_dataset", request=DatasetBody, responses=answers(DatasetBody, 403, good=201))
    def post(self, request: Request) -> Response:
        """Add a data set without rows."""
        project = project_of(request)
        given = given_in(DatasetBody, request)
        known = Dataset.objects.filter(project=project)
        if known.filter(name=given["name"]).exists():
            raise ValidationError({"name": ["A data set has this name."]})
        if known.count() >= Dataset.MOST:
            raise ValidationError({"name": [f"A project has at most {Dataset.MOST:,} data sets."]})
        dataset = Dataset.objects.create(project=project, created_by=person(request), **given)
        return Response(DatasetBody(dataset).data, status=201)


class DatasetView(APIView):
    """One data set."""

    needs = EDITING

    @extend_schema(operation_id="get_dataset", responses=answers(DatasetBody, 404))
    def get(self, request: Request, dataset_id: int) -> Response:
        """Return a data set."""
        return Response(DatasetBody(the_dataset(request, dataset_id)).data)

    @extend_schema(operation_id="change_dataset", request=DatasetBody, responses=answers(DatasetBody, 403, 404))
    def patch(self, request: Request, dataset_id: int) -> Response:
        """Give a data set another name or description."""
        dataset = the_dataset(request, dataset_id)
        given = given_in(DatasetBody, request, partial=True)
        others = Dataset.objects.filter(project=dataset.project_id).exclude(pk=dataset.pk)
        if "name" in given and others.filter(name=given["name"]).exists():
            raise ValidationError({"name": ["Another data set has this name."]})
        for name, value in given.items():
            setattr(dataset, name, value)
        dataset.save(update_fields=[*given, "updated_at"])
        return Response(DatasetBody(dataset).data)

    @extend_schema(operation_id="delete_dataset", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, dataset_id: int) -> Response:
        """Delete a data set with all of its versions and experiments."""
        the_dataset(request, dataset_id).delete()
        return Response(status=204)


class VersionsView(APIView):
    """Versions of a data set."""

    needs = READING

    @extend_schema(
        operation_id="list_dataset_versions", parameters=[ListParameters], responses=answers(VersionPage, 404)
    )
    def get(self, request: Request, dataset_id: int) -> Response:
        """List versions, newest first."""
        given = read(ListParameters, request).validated_data
        found = the_dataset(request, dataset_id).versions.select_related("created_by")
        found = found.filter(number__lt=after_of(given)) if given.get("cursor") else found
        items, cursor = page_of(list(found[: given["limit"] + 1]), given["limit"], lambda row: row.number)
        return Response(VersionPage({"items": items, "next_cursor": cursor}).data)


class VersionView(APIView):
    """One version."""

    needs = READING

    @extend_schema(operation_id="get_dataset_version", responses=answers(VersionOut, 404))
    def get(self, request: Request, dataset_id: int, number: int) -> Response:
        """Return a version's figures."""
        return Response(VersionOut(the_version(the_dataset(request, dataset_id), number)).data)


class DiffView(APIView):
    """What two versions differ by."""

    needs = READING

    @extend_schema(operation_id="diff_dataset_versions", parameters=[DiffParameters], responses=answers(DiffPage, 404))
    def get(self, request: Request, dataset_id: int, number: int) -> Response:
        """List the rows by which a version differs from another (`against`; the one before without it)."""
        given = read(DiffParameters, request).validated_data
        dataset = the_dataset(request, dataset_id)
        new = the_version(dataset, number)
        against = given.get("against", max(new.number - 1, 0))
        if against:
            the_version(dataset, against)
        limit = given["limit"]
        found = versions.differences(dataset, against, new.number, after=after_of(given), limit=limit + 1)
        items, cursor = page_of(found, limit, lambda each: each.position)
        shown = [
            {
                "kind": each.kind,
                "id": each.key,
                "old": row_out(each.old) if each.old else None,
                "new": row_out(each.new) if each.new else None,
            }
            for each in items
        ]
        return Response({"items": shown, "next_cursor": cursor})


class ExportView(APIView):
    """A version as a file."""

    needs = READING

    @extend_schema(
        operation_id="export_dataset_version",
        parameters=[ExportParameters],
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            **{(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, 404)},
        },
    )
    def get(self, request: Request, dataset_id: int, number: int) -> FileResponse:
        """Return the rows as CSV, JSON lines or Parquet."""
        given = read(ExportParameters, request).validated_data
        dataset = the_dataset(request, dataset_id)
        kind = given["kind"]
        file = exports.export(the_version(dataset, number), kind, given["split"])
        name = f"dataset-{dataset.pk}-v{number}.{kind}"
        return FileResponse(file, as_attachment=True, filename=name, content_type=exports.CONTENT_TYPES[kind])


class RowsView(APIView):
    """Rows of a data set."""

    needs = EDITING

    @extend_schema(operation_id="list_dataset_rows", parameters=[RowParameters], responses=answers(RowPage, 404))
    def get(self, request: Request, dataset_id: int) -> Response:
        """List the rows of a version (the latest without `version`), in their order."""
        given = read(RowParameters, request).validated_data
        dataset = the_dataset(request, dataset_id)
        if not dataset.latest and "version" not in given:
            return Response({"version": 0, "items": [], "next_cursor": None})
        version = the_version(dataset, given.get("version"))
        found = Row.objects.of(version, given["split"]).filter(position__gt=after_of(given))
        found = found.filter(key=given["id"]) if given.get("id") else found
        items, cursor = page_of(list(found[: given["limit"] + 1]), given["limit"], lambda row: row.position)
        return Response({"version": version.number, "items": [row_out(row) for row in items], "next_cursor": cursor})

    @extend_schema(
        operation_id="put_dataset_rows", request=RowsIn, responses=answers(VersionOut, 403, 404, 413, good=201)
    )
    def post(self, request: Request, dataset_id: int) -> Response:
        """Add, change and remove rows as one version; 200 with the latest version where nothing changes."""
        dataset = the_dataset(request, dataset_id)
        given = given_in(RowsIn, request)
        rows = [content_of(number, each) for number, each in enumerate(given["rows"])]
        made = changed(
            lambda: versions.change(
                dataset,
                rows,
                removed_keys=given["remove"],
                source=DatasetVersion.Source.API,
                author=person(request),
                note=given["note"],
            )
        )
        return _made(dataset, made)


def _made(dataset: Dataset, made: DatasetVersion | None) -> Response:
    latest = made or dataset.versions.filter(number=dataset.latest).first()
    return Response(VersionOut(latest).data if latest else None, status=201 if made else 200)


class SplitView(APIView):
    """Splits by shares."""

    needs = EDITING

    @extend_schema(operation_id="split_dataset", request=SplitIn, responses=answers(VersionOut, 403, 404, good=201))
    def post(self, request: Request, dataset_id: int) -> Response:
        """Give rows a split by shares and seed, as a version; rows that have one keep it unless `all_rows`."""
        dataset = the_dataset(request, dataset_id)
        given = given_in(SplitIn, request)
        ratios = changed(lambda: parse_ratios(given["splits"]))
        made = changed(
            lambda: split_again(dataset, ratios, given["seed"], only_new=not given["all_rows"], author=person(request))
        )
        return _made(dataset, made)


class FromTracesView(APIView):
    """Rows out of traces."""

    needs = EDITING

    @extend_schema(
        operation_id="add_dataset_rows_from_traces",
        request=FromTracesIn,
        responses=answers(FromTracesOut, 403, 404, good=201),
    )
    def post(self, request: Request, dataset_id: int) -> Response:
        """Copy what spans, or the newest traces that filters find, were asked and answered."""
        project, dataset = project_of(request), the_dataset(request, dataset_id)
        asked = FromTracesIn(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        if given["items"]:
            items = changed(lambda: from_traces.parse_items(given["items"]))
        else:
            chosen = language.parse(given["filter"], asked.time_range())
            items = from_traces.matching(project.pk, chosen, given["limit"])
        copied = from_traces.copied(project.pk, items, split=given.get("split"))
        made = changed(
            lambda: versions.change(
                dataset,
                copied.rows,
                source=DatasetVersion.Source.TRACES,
                author=person(request),
                note=(given["filter"] or f"{len(copied.rows)} traces or spans")[:500],
            )
        )
        refused = [{"item": item, "reason": reason} for item, reason in copied.refused]
        body = {"rows": len(copied.rows), "refused": refused, "version": made}
        return Response(FromTracesOut(body).data, status=201 if made else 200)


class ImportView(APIView):
    """Rows out of a file."""

    needs = EDITING

    parser_classes = (AnyBody,)

    @extend_schema(
        operation_id="import_dataset_rows",
        parameters=[ImportParameters],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={**answers(ImportOut, 403, 404, 413, good=201), 200: OpenApiResponse(ImportOut)},
    )
    def post(self, request: Request, dataset_id: int) -> Response:
        """Read a file that is the body; with `dry_run`, or where a row is at fault, say what it holds and keep nothing.

        With `skip_faults` the other rows are kept.
        """
        dataset = the_dataset(request, dataset_id)
        given = read(ImportParameters, request).validated_data
        body = request.data if isinstance(request.data, bytes) else b""
        parts = {name: tuple(given.get(name, ())) for name in ("input", "expected", "context", "metadata")}
        columns = Columns(**parts, key=given["id"], split=given["split_column"], json_cells=given["json_cells"])
        try:
            table = imports.load(io.BytesIO(body), given["kind"], columns if columns.named() else None)
            rows = table.rows
            if given["splits"]:
                rows = imports.split_by(rows, parse_ratios(given["splits"]), given["seed"])
        except (UnreadableTableError, TooManyRowsError) as error:
            raise ValidationError({"body": [str(error)]}) from error
        except InvalidRowError as error:
            raise ValidationError({error.field: [error.message]}) from error
        made = None
        if not given["dry_run"] and (given["skip_faults"] or not table.fault_count):
            made = changed(
                lambda: versions.change(
                    dataset, rows, source=DatasetVersion.Source.UPLOAD, author=person(request), note=given["note"]
                )
            )
        out = {
            "rows": len(rows),
            "faults": table.faults,
            "fault_count": table.fault_count,
            "columns": table.names,
            "preview": [row_out(row) for row in rows[: imports.ROWS_SHOWN]],
            "version": made,
        }
        return Response(ImportOut(out).data, status=201 if made else 200)
