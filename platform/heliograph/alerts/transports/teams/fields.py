"""What is entered of Teams."""

from heliograph.alerts.transports.field import Field, address

FIELDS = (
    Field(
        "url",
        "Workflow address",
        "Of the workflow “Post to a channel when a webhook request is received”. Whoever knows it may post.",
        is_secret=True,
        check=address,
    ),
)
