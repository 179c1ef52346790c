"""The error that a person at the command line can mend."""


class UsageError(Exception):
    """Arguments, files or models cannot be used; the text says why."""
