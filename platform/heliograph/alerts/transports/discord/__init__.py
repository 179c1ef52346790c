"""Discord, by a channel's webhook."""
