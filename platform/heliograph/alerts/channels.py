"""The kinds of channels, by name: what they do lies in `transports`."""

from enum import StrEnum


class Kind(StrEnum):
    """Where messages can go."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    TEAMS = "teams"
    DISCORD = "discord"
    PAGERDUTY = "pagerduty"
    OPSGENIE = "opsgenie"
    EMAIL = "email"


TITLES = {
    Kind.WEBHOOK: "Webhook",
    Kind.SLACK: "Slack",
    Kind.TEAMS: "Microsoft Teams",
    Kind.DISCORD: "Discord",
    Kind.PAGERDUTY: "PagerDuty",
    Kind.OPSGENIE: "Opsgenie",
    Kind.EMAIL: "E-mail",
}
