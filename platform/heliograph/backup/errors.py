"""What can go wrong in a backup or a restore; the text says what to do."""


class BackupError(Exception):
    """It cannot be done, or was not done."""
