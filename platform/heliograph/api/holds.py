"""Legal holds over the API: admins read them, an owner places and lifts them."""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import AUDITING, Needs
from heliograph.accounts.roles import Capability
from heliograph.api.datasets import given_in
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import read
from heliograph.api.row_pages import RowParameters, row_page
from heliograph.holds import asking
from heliograph.holds.asking import MAX_REASON, CannotHold
from heliograph.holds.models import HeldTrace, Hold

_HOLDING = Needs(Capability.AUDIT, Capability.HOLD)


class NotSo(APIException):
    """The hold cannot be placed or lifted as it stands."""

    status_code = 409


class HoldIn(serializers.Serializer[Any]):
    """What shall be held: `subject` is ids of traces by spaces, the id of a session or user, or a filter."""

    kind = serializers.ChoiceField(Hold.Kind.choices)
    subject = serializers.CharField(max_length=4_000, allow_blank=True, default="", trim_whitespace=False)
    start = serializers.DateTimeField(required=False, help_text="Of a filter.")
    end = serializers.DateTimeField(required=False, help_text="Of a filter; not in the future.")
    reason = serializers.CharField(max_length=MAX_REASON)


class LiftIn(serializers.Serializer[Any]):
    """Why it is lifted."""

    reason = serializers.CharField(max_length=MAX_REASON)


class HoldOut(serializers.ModelSerializer[Hold]):
    """A hold; `is_cut`: more traces belong to it than it can name, and those beyond are not held.

    `absent` are those of its `traces` of which nothing is stored.
    """

    class Meta:
        model = Hold
        fields = (
            *("id", "kind", "subject", "start", "end", "reason", "state", "traces", "absent", "is_cut", "error"),
            *("placed_by", "placed_at", "lifted_by", "lifted_at", "lift_reason"),
        )
        read_only_fields = fields


class HoldPage(serializers.Serializer[Any]):
    """Holds, newest first."""

    items = HoldOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class HeldTraceOut(serializers.ModelSerializer[HeldTrace]):
    """A trace that a hold names; it is safe from removers at once, and from its retention once it `is_kept`.

    `is_absent`: nothing of it was stored when the hold came to it.
    """

    class Meta:
        model = HeldTrace
        fields = ("trace_id", "is_kept", "is_absent")
        read_only_fields = fields


class HeldTracePage(serializers.Serializer[Any]):
    """Traces of a hold, the last found first."""

    items = HeldTraceOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class HoldsParameters(RowParameters):
    """A page, and what is looked for."""

    words = serializers.CharField(
        required=False, default="", max_length=200, help_text="Of the reasons, the subject or who; or a trace's id."
    )


class HoldsView(APIView):
    """Holds of a project."""

    needs = _HOLDING

    @extend_schema(operation_id="list_holds", parameters=[HoldsParameters], responses=answers(HoldPage, 403))
    def get(self, request: Request) -> Response:
        """List holds, newest first, also lifted ones."""
        given = read(HoldsParameters, request).validated_data
        return Response(HoldPage(row_page(asking.found(project_of(request), given["words"]), given)).data)

    @extend_schema(operation_id="add_hold", request=HoldIn, responses=answers(HoldOut, 403, 409, good=202))
    def post(self, request: Request) -> Response:
        """Place a hold: what is stored of some traces stays until it is lifted. For owners who are signed in."""
        given = given_in(HoldIn, request)
        try:
            made = asking.place(
                project_of(request),
                given["kind"],
                given["subject"],
                given["reason"],
                str(request.user),
                start=given.get("start"),
                end=given.get("end"),
            )
        except CannotHold as error:
            raise NotSo(str(error)) from error
        return Response(HoldOut(made).data, status=202)


class HoldView(APIView):
    """One hold."""

    needs = AUDITING

    @extend_schema(operation_id="get_hold", responses=answers(HoldOut, 403, 404))
    def get(self, request: Request, hold_id: int) -> Response:
        """Return a hold."""
        return Response(HoldOut(get_object_or_404(Hold, project=project_of(request), pk=hold_id)).data)


class HeldTracesView(APIView):
    """What a hold found."""

    needs = AUDITING

    @extend_schema(
        operation_id="list_held_traces", parameters=[RowParameters], responses=answers(HeldTracePage, 403, 404)
    )
    def get(self, request: Request, hold_id: int) -> Response:
        """List the traces of a hold; once it is lifted there are none."""
        hold = get_object_or_404(Hold, project=project_of(request), pk=hold_id)
        return Response(HeldTracePage(row_page(hold.held.all(), read(RowParameters, request).validated_data)).data)


class LiftView(APIView):
    """The end of a hold."""

    needs = Needs(Capability.HOLD, Capability.HOLD)

    @extend_schema(operation_id="lift_hold", request=LiftIn, responses=answers(HoldOut, 403, 404, 409, good=202))
    def post(self, request: Request, hold_id: int) -> Response:
        """Lift a hold: what it held goes in its own time. For owners who are signed in."""
        hold = get_object_or_404(Hold, project=project_of(request), pk=hold_id)
        try:
            asking.lift(hold, given_in(LiftIn, request)["reason"], str(request.user))
        except CannotHold as error:
            raise NotSo(str(error)) from error
        return Response(HoldOut(hold).data, status=202)
