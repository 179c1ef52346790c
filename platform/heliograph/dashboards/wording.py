"""Words of pages about numbers."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 span` or `1,200 spans`; `plural` where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def so_many_are(number: int, noun: str) -> str:
    """Return `1 span is` or `1,200 spans are`."""
    return f"{counted(number, noun)} {'is' if number == 1 else 'are'}"
