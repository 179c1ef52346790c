"""Whole days of a project as Parquet files: the schedule, and the days."""

from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import LIMITING
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import read
from heliograph.api.row_pages import RowParameters, row_page
from heliograph.exports import archive as days
from heliograph.exports.asking import wake_archive
from heliograph.exports.models import Archive, ArchivedDay


class CannotArchive(APIException):
    """The day cannot be written."""

    status_code = 409


class ArchiveBody(serializers.ModelSerializer[Archive]):
    """Which signals of each UTC day are written, and how many hours after its end; `next_day` is the next one."""

    signals = serializers.ListField(child=serializers.ChoiceField(Archive.Signal.choices), max_length=10)
    place = serializers.SerializerMethodField(help_text="Where the files are.")

    class Meta:
        model = Archive
        fields = ("is_on", "signals", "hours", "next_day", "place")

    def get_place(self, archive: Archive) -> str:
        """Return the folder, or the prefix in the bucket, of the project."""
        return days.place(archive.project)


class DayIn(serializers.Serializer[Any]):
    """A day to write, or to write again."""

    day = serializers.DateField()
    may_lose = serializers.BooleanField(
        default=False, help_text="Whether its files may lose rows that the store no longer has."
    )


class DayOut(serializers.ModelSerializer[ArchivedDay]):
    """A day; its files are whole when `status` is `done`. `error` of a queued one is what it waits for."""

    class Meta:
        model = ArchivedDay
        fields: tuple[str, ...] = ("id", "day", "signals", "status", "rows", "error", "created_at", "finished_at")
        read_only_fields = fields


class DayWithFiles(DayOut):
    """A day with its files."""

    files = serializers.ListField(child=serializers.ListField(), help_text="[name, rows] of each file.")

    class Meta(DayOut.Meta):
        fields = (*DayOut.Meta.fields, "files")
        read_only_fields = fields


class DayPage(serializers.Serializer[Any]):
    """Days, the one that was asked for last first."""

    items = DayOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ArchiveView(APIView):
    """The schedule of a project."""

    needs = LIMITING

    @extend_schema(operation_id="get_archive", responses=answers(ArchiveBody))
    def get(self, request: Request) -> Response:
        """Return the schedule; `is_on` false where no day is written."""
        return Response(ArchiveBody(Archive.of(project_of(request))).data)

    @extend_schema(operation_id="change_archive", request=ArchiveBody, responses=answers(ArchiveBody, 403))
    def patch(self, request: Request) -> Response:
        """Change the schedule. With an earlier `next_day`, days that are over are written, again where they were."""
        archive = Archive.of(project_of(request))
        given = ArchiveBody(archive, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        for name, value in given.validated_data.items():
            setattr(archive, name, value)
        try:
            archive.full_clean()
        except ModelError as error:
            raise ValidationError(error.message_dict) from error
        # What it does not name may move meanwhile: the next day does.
        archive.save(update_fields=list(given.validated_data) if archive.pk else None)
        return Response(ArchiveBody(archive).data)


class DaysView(APIView):
    """Days of a project."""

    needs = LIMITING

    @extend_schema(operation_id="list_archived_days", parameters=[RowParameters], responses=answers(DayPage))
    def get(self, request: Request) -> Response:
        """List the days."""
        found = ArchivedDay.objects.filter(project=project_of(request)).defer("files")
        return Response(DayPage(row_page(found, read(RowParameters, request).validated_data)).data)

    @extend_schema(operation_id="write_archived_day", request=DayIn, responses=answers(DayOut, 403, 409, good=202))
    def post(self, request: Request) -> Response:
        """Have a day written, again where it was or is being: with what arrived since, and without what was erased."""
        given = DayIn(data=request.data)
        given.is_valid(raise_exception=True)
        project = project_of(request)
        try:
            day = days.again(project, signals=Archive.of(project).signals, **given.validated_data)
        except days.CannotArchiveError as error:
            raise CannotArchive(str(error)) from error
        wake_archive()
        return Response(DayOut(day).data, status=202)


class DayView(APIView):
    """One day."""

    needs = LIMITING

    @extend_schema(operation_id="get_archived_day", responses=answers(DayWithFiles, 404))
    def get(self, request: Request, day_id: int) -> Response:
        """Return a day with its files."""
        return Response(DayWithFiles(get_object_or_404(ArchivedDay, project=project_of(request), pk=day_id)).data)
