"""Typed readers for environment variables.

A bad value never stops the import of the settings: the reader notes the problem, takes the default, and the system
check in `heliograph.checks` reports every problem at once, each with what to do.
"""

import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One environment variable whose value cannot be used."""

    name: str
    message: str
    hint: str


PROBLEMS: list[Problem] = []

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    """Return the variable, or the content of the file named by `NAME_FILE` (for mounted secrets)."""
    if name in os.environ:
        return os.environ[name]
    path = os.environ.get(f"{name}_FILE")
    if path is None:
        return default
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        PROBLEMS.append(
            Problem(name, f"{name}_FILE cannot be read: {error}", f"Point {name}_FILE at a readable file, or unset it.")
        )
        return default


def starting_with(prefix: str) -> dict[str, str]:
    """Return every variable of a prefix, by what follows it."""
    return {name.removeprefix(prefix): value for name, value in os.environ.items() if name.startswith(prefix)}


def integer(name: str, default: int, *, minimum: int, maximum: int) -> int:
    """Return the variable as a whole number within [minimum, maximum]."""
    raw = text(name)
    if raw == "":
        return default
    try:
        value = int(raw)
    except ValueError:
        value = None
    if value is None or not minimum <= value <= maximum:
        PROBLEMS.append(
            Problem(
                name,
                f"{name}={raw!r} is not a whole number from {minimum} to {maximum}.",
                f"Set {name} to a number in that range, or unset it for {default}.",
            )
        )
        return default
    return value


def boolean(name: str, default: bool) -> bool:
    """Return the variable as true or false; accepts 1/0, true/false, yes/no, on/off."""
    raw = text(name)
    if raw == "":
        return default
    if raw.lower() in _TRUE:
        return True
    if raw.lower() in _FALSE:
        return False
    PROBLEMS.append(
        Problem(
            name,
            f"{name}={raw!r} is neither true nor false.",
            f"Set {name} to true or false, or unset it for {str(default).lower()}.",
        )
    )
    return default


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """Return the variable if it is one of `allowed`."""
    raw = text(name)
    if raw == "" or raw in allowed:
        return raw or default
    PROBLEMS.append(Problem(name, f"{name}={raw!r} is unknown.", f"Set {name} to one of: {', '.join(allowed)}."))
    return default


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """Return a comma-separated variable as a list without empty entries."""
    raw = text(name)
    return [word.strip() for word in raw.split(",") if word.strip()] if raw else list(default)


def nested(name: str) -> dict[str, dict[str, str]]:
    """Return a variable of JSON: an object of objects of texts, such as {"a group": {"an organisation": "a role"}}."""
    raw = text(name)
    if not raw:
        return {}
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    inner = value.values() if isinstance(value, dict) else [None]
    if all(isinstance(each, dict) and all(isinstance(one, str) for one in each.values()) for each in inner):
        return dict(value)
    PROBLEMS.append(
        Problem(name, f"{name} is no JSON of that shape.", f'Write it as {name}={{"a group": {{"Acme": "editor"}}}}.')
    )
    return {}


def networks(name: str) -> list[str]:
    """Return a comma-separated variable of IP networks, such as 10.0.0.0/8."""
    given = words(name)
    try:
        return [str(ipaddress.ip_network(network, strict=False)) for network in given]
    except ValueError as error:
        PROBLEMS.append(
            Problem(name, f"{name}: {error}.", f"Write {name} as networks, such as 10.0.0.0/8,fd00::/8, or unset it.")
        )
        return []
