"""The audit log over the API: for who collects it elsewhere."""

from datetime import timedelta
from typing import Any

from django.utils.timezone import now
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from heliograph.accounts.doors import AUDITING
from heliograph.accounts.models import User
from heliograph.api.ordered_rules import answers, project_of
from heliograph.audit.models import Entry
from heliograph.audit.search import Asked, entries, written

MOST = 1_000
# Of two entries that are written at once, the one with the higher number may be readable first, and a collector that
# goes on behind it would never see the other.
SETTLED = timedelta(seconds=2)


class AuditParameters(serializers.Serializer[Any]):
    """What is looked for; `after` is the `next_after` of the answer before."""

    words = serializers.CharField(max_length=200, default="", allow_blank=True, help_text="All must occur.")
    via = serializers.ChoiceField(choices=Entry.Via.choices, required=False)
    since = serializers.DateField(required=False, help_text="Day of UTC, included.")
    until = serializers.DateField(required=False, help_text="Day of UTC, included.")
    after = serializers.IntegerField(min_value=0, max_value=2**62, default=0)
    limit = serializers.IntegerField(min_value=1, max_value=MOST, default=100)


class AuditEntry(serializers.Serializer[Any]):
    """One thing that somebody did; `changes` names rows and their fields, never values."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = serializers.CharField()
    actor_id = serializers.IntegerField(allow_null=True)
    key_id = serializers.IntegerField(allow_null=True)
    via = serializers.CharField()
    ip = serializers.CharField(allow_blank=True)
    action = serializers.CharField()
    target = serializers.DictField()
    organization_id = serializers.IntegerField(allow_null=True)
    project_id = serializers.IntegerField(allow_null=True)
    status = serializers.IntegerField()
    changes = serializers.ListField(child=serializers.DictField())


class AuditPage(serializers.Serializer[Any]):
    """Entries, oldest first, so that a collector goes on where it stopped."""

    items = AuditEntry(many=True)
    next_after = serializers.IntegerField()


class AuditView(APIView):
    """The audit log."""

    needs = AUDITING

    @extend_schema(operation_id="list_audit_entries", parameters=[AuditParameters], responses=answers(AuditPage, 403))
    def get(self, request: Request) -> Response:
        """List entries older than two seconds, oldest first; a key sees its project, an admin the organisation."""
        given = AuditParameters(data=request.query_params)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        reader = request.user if isinstance(request.user, User) else None
        asked = Asked(wanted["words"], wanted.get("via", ""), wanted.get("since"), wanted.get("until"))
        found = entries(project_of(request), reader, asked).filter(pk__gt=wanted["after"], at__lt=now() - SETTLED)
        rows = [written(entry) for entry in found.order_by("pk")[: wanted["limit"]]]
        return Response({"items": rows, "next_after": rows[-1]["id"] if rows else wanted["after"]})
