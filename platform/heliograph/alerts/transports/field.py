"""What a person enters of a channel, and the checks on it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heliograph.net.outgoing import InvalidAddressError, check_address

MAX_CHARACTERS = 2_000


class InvalidFieldError(ValueError):
    """Something entered that cannot be right; `field` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to enter. A secret one is stored encrypted and not shown again; `check` raises ValueError."""

    name: str
    label: str
    help: str = ""
    is_secret: bool = False
    is_optional: bool = False
    choices: tuple[str, ...] = ()
    check: Callable[[str], None] = lambda value: None


def checked(fields: tuple[Field, ...], given: Mapping[str, str]) -> dict[str, str]:
    """Return what was entered, without empty values. Raises InvalidFieldError for the first that cannot be right."""
    known = {field.name for field in fields}
    if unknown := sorted(set(given) - known):
        raise InvalidFieldError(unknown[0], f"is nothing that such a channel has; it has {', '.join(sorted(known))}")
    found = {}
    for field in fields:
        value = given.get(field.name, "")
        if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
            raise InvalidFieldError(field.name, f"must be text of at most {MAX_CHARACTERS} characters")
        value = value.strip()
        if not value:
            if not field.is_optional:
                raise InvalidFieldError(field.name, "is needed")
            continue
        if field.choices and value not in field.choices:
            raise InvalidFieldError(field.name, f"must be one of {', '.join(field.choices)}")
        try:
            field.check(value)
        except ValueError as error:
            raise InvalidFieldError(field.name, str(error)) from error
        found[field.name] = value
    return found


def address(value: str) -> None:
    """Check an address that messages are sent to. Raises ValueError."""
    try:
        check_address(value)
    except InvalidAddressError as error:
        raise ValueError(str(error)) from error


def token(value: str) -> None:
    """Check a token that travels in a header or in JSON. Raises ValueError."""
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError("has spaces or characters that no token has")
