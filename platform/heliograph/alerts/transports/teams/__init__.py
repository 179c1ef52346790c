"""Microsoft Teams, by the workflow "Post to a channel when a webhook request is received"."""
