"""Files of traces and spans that are made in the background."""

from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import EDITING, READING
from heliograph.api.datasets import person
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import RangeParameters, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.row_pages import RowParameters, row_page
from heliograph.blobs.store import BlobsAwayError
from heliograph.exports import asking, files
from heliograph.exports.models import Export


class TooMany(APIException):
    """The project waits for as many exports as it may."""

    status_code = 409


class BlobsAway(APIException):
    """The blob store does not answer."""

    status_code = 503
    default_detail = "The blob store does not answer; try again in a minute."


class ExportIn(RangeParameters):
    """What shall be in the file."""

    what = serializers.ChoiceField(Export.What.choices, default=Export.What.TRACES)
    format = serializers.ChoiceField(Export.Format.choices, default=Export.Format.JSONL)
    filter = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=4_000, help_text="In the filter language."
    )


class ExportOut(serializers.ModelSerializer[Export]):
    """An export; its file can be had while `is_ready`. `is_cut`: more matched than a file holds."""

    is_ready = serializers.BooleanField(read_only=True)

    class Meta:
        model = Export
        fields = (
            *("id", "what", "format", "filter", "start", "end", "status", "is_ready", "rows", "bytes", "is_cut"),
            *("error", "created_at", "finished_at", "expires_at"),
        )
        read_only_fields = fields


class ExportPage(serializers.Serializer[Any]):
    """Exports, newest first."""

    items = ExportOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


def _export(request: Request, export_id: int) -> Export:
    return get_object_or_404(Export.objects.select_related("project"), project=project_of(request), pk=export_id)


class ExportsView(APIView):
    """Exports of a project."""

    needs = EDITING

    @extend_schema(operation_id="list_exports", parameters=[RowParameters], responses=answers(ExportPage))
    def get(self, request: Request) -> Response:
        """List exports, newest first."""
        page = row_page(Export.objects.filter(project=project_of(request)), read(RowParameters, request).validated_data)
        return Response(ExportPage(page).data)

    @extend_schema(operation_id="add_export", request=ExportIn, responses=answers(ExportOut, 403, 409, good=202))
    def post(self, request: Request) -> Response:
        """Have a file made of what a filter finds in a time range; `export.ready` tells when it is."""
        asked = ExportIn(data=request.data)
        asked.is_valid(raise_exception=True)
        given, span = asked.validated_data, asked.time_range()
        export = Export(
            project=project_of(request),
            requested_by=person(request),
            start=span.start,
            end=span.end,
            **{name: given[name] for name in ("what", "format", "filter")},
        )
        try:
            asking.ask(export)
        except ModelError as error:
            raise ValidationError(error.message_dict) from error
        except asking.TooManyExportsError as error:
            raise TooMany(str(error)) from error
        return Response(ExportOut(export).data, status=202)


class ExportView(APIView):
    """One export."""

    needs = EDITING

    @extend_schema(operation_id="get_export", responses=answers(ExportOut, 404))
    def get(self, request: Request, export_id: int) -> Response:
        """Return an export; ask again until its status is done or failed."""
        return Response(ExportOut(_export(request, export_id)).data)

    @extend_schema(operation_id="remove_export", responses=answers(None, 403, 404, 503, good=204))
    def delete(self, request: Request, export_id: int) -> Response:
        """Remove an export with its file; one that is being made is made no further."""
        try:
            files.remove(_export(request, export_id))
        except BlobsAwayError as error:
            raise BlobsAway from error
        return Response(status=204)


class FileView(APIView):
    """The file of an export."""

    needs = READING

    @extend_schema(
        operation_id="get_export_file",
        responses={
            (200, "application/gzip"): OpenApiTypes.BINARY,
            **{(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (401, 404, 503)},
        },
    )
    def get(self, request: Request, export_id: int) -> StreamingHttpResponse:
        """Return the file, compressed by gzip; 404 before it is ready and after it has expired."""
        export = _export(request, export_id)
        if not export.is_ready:
            raise NotReady
        try:
            return files.answer(export)
        except BlobsAwayError as error:
            raise BlobsAway from error


class NotReady(APIException):
    """There is no file yet, or no more."""

    status_code = 404
    default_detail = "The file is not made yet, could not be made, or has expired; the export says which."
