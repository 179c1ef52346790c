"""Sessions and users over the API: what their pages show."""

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import READING
from heliograph.accounts.models import Project
from heliograph.api.parameters import RangeParameters, read
from heliograph.api.problems import CONTENT_TYPE, Problem
from heliograph.api.representation import TraceSummary, serializer_of
from heliograph.api.views import beside
from heliograph.query import subjects
from heliograph.query.attribution import Cost
from heliograph.query.conversations import MAX_EXCHANGES, exchanges
from heliograph.query.costs import together
from heliograph.query.filters import TimeRange
from heliograph.query.paging import MAX_PAGE
from heliograph.query.prices import gpu_prices


class SubjectParameters(RangeParameters):
    """Which sessions or users."""

    q = serializers.CharField(required=False, max_length=1_000, default="", help_text="A part of the id.")
    cursor = serializers.CharField(required=False, help_text="`next_cursor` of the page before.")
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=50)


class ConversationParameters(RangeParameters):
    """Which part of a session's conversation."""

    id = serializers.CharField(max_length=1_000)
    cursor = serializers.CharField(required=False, help_text="`next_cursor` of the page before.")
    limit = serializers.IntegerField(min_value=1, max_value=MAX_EXCHANGES, default=30)


class SubjectOut(serializer_of(subjects.SubjectRow)):  # type: ignore[misc]  # the base is made from the dataclass
    """A session or user; `cost` is by list prices, `gpu_share` the estimated share of the project's own GPUs."""

    gpu_share = serializers.SerializerMethodField(
        help_text="Estimate; null where no call ran on a GPU with a price, or it is not worked out yet."
    )
    total_cost = serializers.SerializerMethodField(
        help_text="USD, both together as its page shows it; null where none of it is known."
    )
    total_unpriced_count = serializers.SerializerMethodField(help_text="Calls that `total_cost` leaves out.")

    @extend_schema_field(serializer_of(Cost)(allow_null=True))
    def get_gpu_share(self, row: subjects.SubjectRow) -> dict[str, Any] | None:
        """Return the share that the view looked up for all of its answer."""
        cost = self._own(row)
        return serializer_of(Cost)(cost).data if cost is not None else None

    @extend_schema_field(serializers.DecimalField(max_digits=None, decimal_places=None, allow_null=True))
    def get_total_cost(self, row: subjects.SubjectRow) -> str | None:
        """Return both costs together."""
        usd, _ = together(row.known_cost, row.unpriced_count, self._own(row))
        return None if usd is None else str(usd)

    def get_total_unpriced_count(self, row: subjects.SubjectRow) -> int:
        """Return how many calls have neither price."""
        return together(row.known_cost, row.unpriced_count, self._own(row))[1]

    def _own(self, row: subjects.SubjectRow) -> Cost | None:
        found: Cost | None = self.context["own"].get(row.id)
        return found


class SubjectPage(serializers.Serializer[Any]):
    """Sessions or users, the one seen last first."""

    items = SubjectOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class ExchangeOut(serializers.Serializer[Any]):
    """One trace of a conversation: what was said to it and what it answered, without what stood before."""

    trace = TraceSummary()
    said = serializers.CharField()
    answered = serializers.CharField()
    is_cut = serializers.BooleanField()


class ConversationOut(serializers.Serializer[Any]):
    """A session and a page of its conversation, earliest first."""

    session = SubjectOut()
    items = ExchangeOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


def _answers(kind: Any, *statuses: int) -> Any:
    problems = {(status, CONTENT_TYPE): OpenApiResponse(Problem) for status in (400, 401, *statuses, 422, 503)}
    return {(200, "application/json"): OpenApiResponse(kind), **problems}


def _list(request: Request, kind: subjects.Kind) -> Response:
    assert isinstance(request.auth, Project)  # Permitted saw to it
    given = read(SubjectParameters, request)
    asked = given.validated_data
    page = subjects.list_subjects(
        request.auth.pk, kind, given.time_range(), text=asked["q"], cursor=asked.get("cursor"), limit=asked["limit"]
    )
    return Response(SubjectPage(page, context=_own(request, kind, page.items, given.time_range())).data)


def _own(request: Request, kind: subjects.Kind, rows: Sequence[subjects.SubjectRow], span: TimeRange) -> dict[str, Any]:
    """Return what the rows cost of the project's own GPUs, for their serializers."""
    assert isinstance(request.auth, Project)  # Permitted saw to it
    project_id = request.auth.pk
    return {"own": subjects.own_costs(project_id, rows, kind, span, gpu_prices(project_id))}


class SessionsView(APIView):
    """Sessions of a project."""

    needs = READING

    @extend_schema(operation_id="list_sessions", parameters=[SubjectParameters], responses=_answers(SubjectPage))
    def get(self, request: Request) -> Response:
        """List the sessions that were seen in a range with their costs, latencies and scores, latest first."""
        return _list(request, "session")


class UsersView(APIView):
    """Users of a project."""

    needs = READING

    @extend_schema(operation_id="list_users", parameters=[SubjectParameters], responses=_answers(SubjectPage))
    def get(self, request: Request) -> Response:
        """List the users that were seen in a range with their costs, latencies and scores, latest first."""
        return _list(request, "user")


class ConversationView(APIView):
    """One session."""

    needs = READING

    @extend_schema(
        operation_id="get_conversation", parameters=[ConversationParameters], responses=_answers(ConversationOut, 404)
    )
    def get(self, request: Request) -> Response:
        """Return a session as the conversation that it was; ids are anything, so it is a parameter."""
        assert isinstance(request.auth, Project)  # Permitted saw to it
        given = read(ConversationParameters, request)
        asked, span, project_id = given.validated_data, given.time_range(), request.auth.pk
        session = subjects.get_subject(project_id, "session", asked["id"], span)
        if session is None:
            raise NotFound("The project has no such session in this time range.")
        page = subjects.trace_ids(
            project_id, "session", asked["id"], span, cursor=asked.get("cursor"), limit=asked["limit"]
        )
        items = exchanges(project_id, page.items)
        body = {"session": session, "items": items, "next_cursor": page.next_cursor}
        context = _own(request, "session", [session], span) | beside(request, [each.trace for each in items])
        return Response(ConversationOut(body, context=context).data)
