"""The transports by kind of channel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heliograph.alerts.channels import Kind
from heliograph.alerts.transports.discord import deliver as discord
from heliograph.alerts.transports.discord import fields as discord_fields
from heliograph.alerts.transports.email import deliver as email
from heliograph.alerts.transports.email import fields as email_fields
from heliograph.alerts.transports.field import Field
from heliograph.alerts.transports.message import Message
from heliograph.alerts.transports.opsgenie import deliver as opsgenie
from heliograph.alerts.transports.opsgenie import fields as opsgenie_fields
from heliograph.alerts.transports.outcome import Outcome
from heliograph.alerts.transports.pagerduty import deliver as pagerduty
from heliograph.alerts.transports.pagerduty import fields as pagerduty_fields
from heliograph.alerts.transports.slack import deliver as slack
from heliograph.alerts.transports.slack import fields as slack_fields
from heliograph.alerts.transports.teams import deliver as teams
from heliograph.alerts.transports.teams import fields as teams_fields
from heliograph.alerts.transports.webhook import deliver as webhook
from heliograph.alerts.transports.webhook import fields as webhook_fields


@dataclass(frozen=True, slots=True)
class Transport:
    """One kind: what it needs, and how a message gets out. `deliver` raises nothing that a bad network can cause."""

    fields: tuple[Field, ...]
    deliver: Callable[[Mapping[str, str], Message], Outcome]


KINDS: Mapping[Kind, Transport] = {
    Kind.WEBHOOK: Transport(webhook_fields.FIELDS, webhook.deliver),
    Kind.SLACK: Transport(slack_fields.FIELDS, slack.deliver),
    Kind.TEAMS: Transport(teams_fields.FIELDS, teams.deliver),
    Kind.DISCORD: Transport(discord_fields.FIELDS, discord.deliver),
    Kind.PAGERDUTY: Transport(pagerduty_fields.FIELDS, pagerduty.deliver),
    Kind.OPSGENIE: Transport(opsgenie_fields.FIELDS, opsgenie.deliver),
    Kind.EMAIL: Transport(email_fields.FIELDS, email.deliver),
}
