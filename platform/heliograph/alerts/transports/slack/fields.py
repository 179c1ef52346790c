"""What is entered of Slack."""

from heliograph.alerts.transports.field import Field, address

FIELDS = (
    Field(
        "url", "Incoming webhook", "https://hooks.slack.com/services/… Whoever knows it may post.", True, check=address
    ),
)
