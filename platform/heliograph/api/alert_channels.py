"""Channels of alerts, and the messages that went there."""

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError as ModelError
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from heliograph.alerts import queue
from heliograph.alerts.channels import Kind
from heliograph.alerts.deliver import resend
from heliograph.alerts.editing import new_signing_secret, save_channel
from heliograph.alerts.messages import of_test
from heliograph.alerts.models import Attempt, Channel, Delivery
from heliograph.api.alerts import PageParameters, PersonWrites, refused
from heliograph.api.ordered_rules import answers, project_of
from heliograph.api.parameters import read
from heliograph.query.filters import from_ns, to_ns
from heliograph.query.paging import decode_cursor, encode_cursor


class ChannelBody(serializers.ModelSerializer[Channel]):
    """A channel. `config` is what its kind needs; secret parts are taken and never given back."""

    config = serializers.DictField(child=serializers.CharField(max_length=2_000, allow_blank=True), write_only=True)
    settings = serializers.DictField(child=serializers.CharField(), read_only=True)
    events = serializers.ListField(child=serializers.CharField(max_length=40), required=False, max_length=20)

    class Meta:
        model = Channel
        fields: tuple[str, ...] = (
            *("id", "name", "kind", "config", "settings", "events", "title_template", "text_template", "is_paused"),
            *("paused_because", "created_at"),
        )
        read_only_fields = ("id", "paused_because", "created_at")
        validators: list[Any] = []  # see RuleBody


class ChannelSaved(ChannelBody):
    """A channel that was saved; `signing_secret` is a new webhook's, given this once, else ''."""

    signing_secret = serializers.CharField(read_only=True)

    class Meta(ChannelBody.Meta):
        fields = (*ChannelBody.Meta.fields, "signing_secret")


class ChannelList(serializers.Serializer[Any]):
    """Every channel of a project."""

    items = ChannelBody(many=True)


class AttemptOut(serializers.ModelSerializer[Attempt]):
    """One try; `answer` is cut."""

    class Meta:
        model = Attempt
        fields = ("at", "seconds", "status", "answer", "error")


class DeliveryOut(serializers.ModelSerializer[Delivery]):
    """A message and its tries."""

    type = serializers.CharField()
    message_id = serializers.CharField()
    payload = serializers.DictField(child=serializers.JSONField())
    tries = AttemptOut(many=True)

    class Meta:
        model = Delivery
        fields = (
            *("id", "message_id", "type", "channel", "rule", "status", "attempts", "next_at", "created_at"),
            *("finished_at", "payload", "tries"),
        )


class DeliveryPage(serializers.Serializer[Any]):
    """Messages, newest first."""

    items = DeliveryOut(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class DeliveryParameters(PageParameters):
    """Which messages."""

    status = serializers.ChoiceField(Delivery.Status.choices, required=False)
    channel = serializers.IntegerField(required=False)


def _save_channel(request: Request, channel: Channel, *, partial: bool) -> dict[str, Any]:
    given = ChannelBody(channel, data=request.data, partial=partial)
    given.is_valid(raise_exception=True)
    config = given.validated_data.pop("config", dict(channel.settings))
    if channel.pk and given.validated_data.pop("kind", channel.kind) != channel.kind:
        raise ValidationError({"kind": ["A channel keeps its kind: add another one."]})
    for name, value in given.validated_data.items():
        setattr(channel, name, value)
    if not channel.is_paused:
        channel.paused_because = ""
    try:
        issued = save_channel(channel, config)
    except ModelError as error:
        raise refused(error) from error
    return {**ChannelBody(channel).data, "signing_secret": issued}


class ChannelsView(PersonWrites):
    """Channels."""

    @extend_schema(operation_id="list_alert_channels", responses=answers(ChannelList))
    def get(self, request: Request) -> Response:
        """List the channels, without their secrets."""
        return Response(ChannelList({"items": Channel.objects.filter(project=project_of(request))}).data)

    @extend_schema(
        operation_id="add_alert_channel", request=ChannelBody, responses=answers(ChannelSaved, 403, good=201)
    )
    def post(self, request: Request) -> Response:
        """Add a channel."""
        return Response(_save_channel(request, Channel(project=project_of(request)), partial=False), status=201)


class ChannelView(PersonWrites):
    """One channel."""

    def channel(self, request: Request, channel_id: int) -> Channel:
        """Return the channel of the project."""
        return get_object_or_404(Channel, project=project_of(request), pk=channel_id)

    @extend_schema(operation_id="get_alert_channel", responses=answers(ChannelBody, 404))
    def get(self, request: Request, channel_id: int) -> Response:
        """Return a channel, without its secrets."""
        return Response(ChannelBody(self.channel(request, channel_id)).data)

    @extend_schema(operation_id="change_alert_channel", request=ChannelBody, responses=answers(ChannelSaved, 403, 404))
    def patch(self, request: Request, channel_id: int) -> Response:
        """Change or pause a channel; secrets that are not named stay."""
        return Response(_save_channel(request, self.channel(request, channel_id), partial=True))

    @extend_schema(operation_id="remove_alert_channel", responses={204: None, **answers(None, 403, 404)})
    def delete(self, request: Request, channel_id: int) -> Response:
        """Remove a channel with its messages."""
        self.channel(request, channel_id).delete()
        return Response(status=204)


class ChannelTestView(ChannelView):
    """A test of a channel."""

    http_method_names = ["post", "options"]

    @extend_schema(operation_id="test_alert_channel", request=None, responses=answers(DeliveryOut, 403, 404, good=202))
    def post(self, request: Request, channel_id: int) -> Response:
        """Send a test message; ask for the delivery to see what came of it."""
        channel, now = self.channel(request, channel_id), timezone.now()
        sent = Delivery.to(channel, of_test(channel.project, now), now)
        queue.wake_worker()
        return Response(DeliveryOut(sent).data, status=202)


class ChannelSecretView(ChannelView):
    """A webhook's signing secret."""

    http_method_names = ["post", "options"]

    @extend_schema(operation_id="rotate_alert_channel_secret", request=None, responses=answers(ChannelSaved, 403, 404))
    def post(self, request: Request, channel_id: int) -> Response:
        """Make a new signing secret; the former one signs beside it until the next."""
        channel = self.channel(request, channel_id)
        if channel.kind != Kind.WEBHOOK:
            raise ValidationError({"kind": ["Only a webhook has a signing secret."]})
        issued = new_signing_secret(channel)
        return Response({**ChannelBody(channel).data, "signing_secret": issued})


class DeliveriesView(PersonWrites):
    """Messages."""

    @extend_schema(operation_id="list_deliveries", parameters=[DeliveryParameters], responses=answers(DeliveryPage))
    def get(self, request: Request) -> Response:
        """List messages with every try."""
        given = read(DeliveryParameters, request).validated_data
        found: QuerySet[Delivery] = Delivery.objects.filter(project=project_of(request)).prefetch_related("tries")
        found = found.filter(**{name: given[name] for name in ("status", "channel") if name in given})
        if "cursor" in given:
            at_ns, key = decode_cursor(given["cursor"], int, str)
            found = found.filter(created_at__lte=from_ns(int(at_ns))).exclude(
                created_at=from_ns(int(at_ns)), pk__gte=_uuid(str(key))
            )
        items = list(found[: given["limit"] + 1])
        last = items[given["limit"] - 1] if len(items) > given["limit"] else None
        cursor = encode_cursor(to_ns(last.created_at), last.id.hex) if last else None
        return Response(DeliveryPage({"items": items[: given["limit"]], "next_cursor": cursor}).data)


class DeliveryView(PersonWrites):
    """One message."""

    @extend_schema(operation_id="get_delivery", responses=answers(DeliveryOut, 404))
    def get(self, request: Request, delivery_id: UUID) -> Response:
        """Return a message with every try."""
        return Response(DeliveryOut(get_object_or_404(Delivery, project=project_of(request), pk=delivery_id)).data)

    @extend_schema(operation_id="resend_delivery", request=None, responses=answers(DeliveryOut, 403, 404))
    def post(self, request: Request, delivery_id: UUID) -> Response:
        """Send a message again, with the id that it had."""
        sent = get_object_or_404(Delivery, project=project_of(request), pk=delivery_id)
        resend(sent)
        queue.wake_worker()
        sent.refresh_from_db()
        return Response(DeliveryOut(sent).data)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise ValidationError({"cursor": ["is not one that this list gave"]}) from error
