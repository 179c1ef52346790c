"""Channels: where messages go, each with a button that sends a test, and what became of the messages."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from heliograph.accounts.models import Project
from heliograph.alerts import queue
from heliograph.alerts.channels import TITLES, Kind
from heliograph.alerts.deliver import MAX_ATTEMPTS, resend
from heliograph.alerts.editing import new_signing_secret, save_channel
from heliograph.alerts.messages import of_test
from heliograph.alerts.models import MAX_CHANNELS, Channel, Delivery
from heliograph.alerts.transports.kinds import KINDS
from heliograph.alerts.transports.message import NAMES
from heliograph.dashboards.access import editor_page, may_edit, project_page
from heliograph.dashboards.finding import found_in
from heliograph.events.kinds import TITLES as EVENT_TITLES

DELIVERIES_SHOWN = 100


class ChannelForm(forms.Form):
    """A channel of one kind; what a kind needs comes from its transport."""

    name = forms.CharField(max_length=100)
    events = forms.MultipleChoiceField(required=False, choices=[(kind.value, t) for kind, t in EVENT_TITLES.items()])
    title_template = forms.CharField(max_length=200, required=False)
    text_template = forms.CharField(max_length=2_000, required=False)

    def __init__(self, channel: Channel, data: Any = None) -> None:
        initial = {name: getattr(channel, name) for name in ("name", "events", "title_template", "text_template")}
        super().__init__(data, initial=initial | channel.settings)
        self.channel = channel
        self.asked = [field for field in KINDS[Kind(channel.kind)].fields if not _is_made(channel, field.name)]
        for field in self.asked:
            # A secret that is stored is not shown, and stays where nothing is entered.
            is_needed = not field.is_optional and not (field.is_secret and channel.secret)
            self.fields[field.name] = forms.CharField(required=is_needed, label=field.label, help_text=field.help)

    def save(self) -> str:
        """Save; return a signing secret that was made, or ''. Raises ValidationError."""
        given, channel = self.cleaned_data, self.channel
        for name in ("name", "events", "title_template", "text_template"):
            setattr(channel, name, given[name])
        return save_channel(channel, {field.name: given[field.name] for field in self.asked})


@project_page
def show(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the channels."""
    context = {
        "project": project,
        "channels": found_in(request, Channel.objects.filter(project=project), "name", "kind")[:MAX_CHANNELS],
        "kinds": [(kind.value, TITLES[kind]) for kind in Kind],
        "event_titles": EVENT_TITLES,
        "may_edit": may_edit(request, project),
    }
    return render(request, "alerts/channels.html", context)


@project_page
def new(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the form of a new channel of `?kind=`."""
    return _page(request, project, ChannelForm(_fresh(project, request.GET.get("kind", ""))))


@project_page
def show_one(request: HttpRequest, project: Project, channel_id: int) -> HttpResponse:
    """Show one channel with its last messages."""
    return _page(request, project, ChannelForm(get_object_or_404(Channel, project=project, pk=channel_id)))


@require_POST
@editor_page
def save(request: HttpRequest, project: Project, channel_id: int = 0) -> HttpResponse:
    """Save a channel, new or changed."""
    fresh = _fresh(project, request.POST.get("kind", ""))
    channel = get_object_or_404(Channel, project=project, pk=channel_id) if channel_id else fresh
    form = ChannelForm(channel, request.POST)
    if not form.is_valid():
        return _page(request, project, form, status=422)
    try:
        issued = form.save()
    except ValidationError as error:
        for name, told in error.message_dict.items():
            form.add_error(name if name in form.fields else None, told)
        return _page(request, project, form, status=422)
    if issued:
        return _page(request, project, ChannelForm(channel), issued=issued)
    messages.success(request, f"“{channel.name}” is saved.")
    return redirect("alerts-channel", project.slug, channel.pk)


@require_POST
@editor_page
def rotate(request: HttpRequest, project: Project, channel_id: int) -> HttpResponse:
    """Give a webhook a new signing secret; both sign until the next."""
    channel = get_object_or_404(Channel, project=project, pk=channel_id, kind=Kind.WEBHOOK)
    issued = new_signing_secret(channel)
    return _page(request, project, ChannelForm(channel), issued=issued)


@require_POST
@editor_page
def test(request: HttpRequest, project: Project, channel_id: int) -> HttpResponse:
    """Send a test message; what came of it stands among the channel's messages."""
    channel = get_object_or_404(Channel, project=project, pk=channel_id)
    now = timezone.now()
    Delivery.to(channel, of_test(project, now), now)
    queue.wake_worker()
    messages.success(request, "A test is on its way: what the receiver answers stands below in a moment.")
    return redirect("alerts-channel", project.slug, channel.pk)


@require_POST
@editor_page
def pause(request: HttpRequest, project: Project, channel_id: int) -> HttpResponse:
    """Pause a channel, or let it go on; messages that wait are sent then."""
    channel = get_object_or_404(Channel, project=project, pk=channel_id)
    channel.is_paused, channel.paused_because = not channel.is_paused, ""
    channel.save(update_fields=["is_paused", "paused_because"])
    messages.success(request, f"“{channel.name}” {'is paused' if channel.is_paused else 'goes on'}.")
    return redirect("alerts-channels", project.slug)


@require_POST
@editor_page
def remove(request: HttpRequest, project: Project, channel_id: int) -> HttpResponse:
    """Remove a channel with its messages."""
    channel = get_object_or_404(Channel, project=project, pk=channel_id)
    channel.delete()
    messages.success(request, f"“{channel.name}” is removed, and its messages with it.")
    return redirect("alerts-channels", project.slug)


@project_page
def deliveries(request: HttpRequest, project: Project) -> HttpResponse:
    """Show the newest messages, `?status=dead` those that nobody got."""
    found = Delivery.objects.filter(project=project).select_related("channel", "rule").prefetch_related("tries")
    status = request.GET.get("status", "")
    if status in Delivery.Status.values:
        found = found.filter(status=status)
    found = found_in(request, found, "channel__name", "rule__name", "topic")
    context = {
        "project": project,
        "deliveries": found[:DELIVERIES_SHOWN],
        "dead": Delivery.objects.filter(project=project, status=Delivery.Status.DEAD).count(),
        "status": status,
        "most_attempts": MAX_ATTEMPTS,
        "may_edit": may_edit(request, project),
    }
    return render(request, "alerts/deliveries.html", context)


@require_POST
@editor_page
def send_again(request: HttpRequest, project: Project, delivery_id: str) -> HttpResponse:
    """Send a message again, with the id that it had."""
    resend(get_object_or_404(Delivery, project=project, pk=delivery_id))
    queue.wake_worker()
    messages.success(request, "It is sent again, with the id that it had.")
    return redirect("alerts-deliveries", project.slug)


def _page(
    request: HttpRequest, project: Project, form: ChannelForm, *, issued: str = "", status: int = 200
) -> HttpResponse:
    channel = form.channel
    sent = Delivery.objects.select_related("channel", "rule").prefetch_related("tries")
    sent = sent.filter(channel=channel)[:20] if channel.pk else sent.none()
    context = {
        "project": project,
        "form": form,
        "asked": [(field, form[field.name]) for field in form.asked],
        "channel": channel,
        "kind_title": TITLES[Kind(channel.kind)],
        "issued": issued,
        "deliveries": sent,
        "most_attempts": MAX_ATTEMPTS,
        "template_names": NAMES,
        "may_edit": may_edit(request, project),
    }
    answer = render(request, "alerts/channel.html", context, status=status)
    if issued:
        answer["cache-control"] = "no-store"
    return answer


def _fresh(project: Project, kind: str) -> Channel:
    return Channel(project=project, kind=kind if kind in list(Kind) else Kind.WEBHOOK.value)


def _is_made(channel: Channel, name: str) -> bool:
    """A webhook's secrets are made here, not entered."""
    return channel.kind == Kind.WEBHOOK and name != "url"
