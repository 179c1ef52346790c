"""Typed readers for environment variables.

A bad value never stops the import of the settings: the reader notes the problem, takes the default, and the system
check in `heliograph.checks` reports every problem at once, each with what to do.
"""

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
