"""What can go wrong in a copy; the text says what to do."""


class CopyError(Exception):
    """It cannot be done, or what was copied is not what was there."""
