"""Erasing what is stored of one user, with a receipt."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import AUDITING, Needs
from heliograph.accounts.roles import Capability
from heliograph.api.datasets import given_in, person
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import read
from heliograph.api.row_pages import RowParameters, row_page
from heliograph.erasure import asking, stored
from heliograph.erasure.asking import CannotErase
from heliograph.erasure.models import MAX_SUBJECT, Erasure

_ERASING = Needs(Capability.AUDIT, Capability.LIMIT)


class NotNow(APIException):
    """It is erased already, or too many are."""

    status_code = 409


class SubjectIn(serializers.Serializer[Any]):
    """A user, by the id that spans name."""

    user_id = serializers.CharField(max_length=MAX_SUBJECT, trim_whitespace=False)


class FoundOut(serializers.Serializer[Any]):
    """How much there is; `shared` of the traces name another user too, and go with the others."""

    traces = serializers.IntegerField()
    spans = serializers.IntegerField()
    logs = serializers.IntegerField()
    scores = serializers.IntegerField()
    shared = serializers.IntegerField()
    first_ns = serializers.IntegerField()
    last_ns = serializers.IntegerField()


class ErasureOut(serializers.ModelSerializer[Erasure]):
    """An erasure; `receipt` is empty until it is done."""

    receipt = serializers.JSONField(source="result")
    user_id_sha256 = serializers.CharField(source="digest")

    class Meta:
        model = Erasure
        fields = ("id", "status", "user_id_sha256", "created_at", "finished_at", "note", "error", "receipt")
        read_only_fields = fields


class ErasurePage(serializers.Serializer[Any]):
    """Erasures, newest first."""

    items = ErasureOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ErasuresView(APIView):
    """Erasures of a project."""

    needs = _ERASING

    @extend_schema(operation_id="list_erasures", parameters=[RowParameters], responses=answers(ErasurePage, 403))
    def get(self, request: Request) -> Response:
        """List erasures with their receipts, newest first."""
        rows = Erasure.objects.filter(project=project_of(request))
        return Response(ErasurePage(row_page(rows, read(RowParameters, request).validated_data)).data)

    @extend_schema(operation_id="add_erasure", request=SubjectIn, responses=answers(ErasureOut, 403, 409, good=202))
    def post(self, request: Request) -> Response:
        """Erase all that is stored of a user, for good; ask `preview` first how much that is."""
        given = given_in(SubjectIn, request)
        try:
            made = asking.ask(project_of(request), given["user_id"], person(request))
        except CannotErase as error:
            raise NotNow(str(error)) from error
        return Response(ErasureOut(made).data, status=202)


class PreviewView(APIView):
    """How much there is of a user."""

    needs = AUDITING

    @extend_schema(operation_id="preview_erasure", request=SubjectIn, responses=answers(FoundOut, 403))
    def post(self, request: Request) -> Response:
        """Return how much there is of a user; nothing is removed. A POST, so that no log has the id in an address."""
        try:
            user = asking.checked(given_in(SubjectIn, request)["user_id"])
        except CannotErase as error:
            raise ValidationError({"user_id": [str(error)]}) from error
        return Response(FoundOut(stored.preview(project_of(request).pk, user)).data)


class ErasureView(APIView):
    """One erasure."""

    needs = AUDITING

    @extend_schema(operation_id="get_erasure", responses=answers(ErasureOut, 403, 404))
    def get(self, request: Request, erasure_id: int) -> Response:
        """Return an erasure, with its receipt once it is done."""
        return Response(ErasureOut(get_object_or_404(Erasure, project=project_of(request), pk=erasure_id)).data)
