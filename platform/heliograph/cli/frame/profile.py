"""Which server and which key: options, then the environment, then a profile in the user's own folder.

The file is `config.ini` in `$XDG_CONFIG_HOME/heliograph` (`~/.config/heliograph`), a section a profile, mode 0600.
"""

import configparser
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import click

DEFAULT_URL = "http://localhost:8000"
DEFAULT_PROFILE = "default"


@dataclass(frozen=True, slots=True)
class Profile:
    """A server's address and a project's key; '' where there is none."""

    url: str
    key: str
    otlp_url: str = ""


def path() -> Path:
    """Return where profiles are kept."""
    return Path(click.get_app_dir("heliograph")) / "config.ini"


def resolve(url: str = "", key: str = "", name: str = "") -> Profile:
    """Return what to use. Raises UsageError for a profile that does not exist or a file that others can read.

    A key belongs to one server: where the address is given and is not the profile's, the profile's key stays at home.
    """
    known = read()
    name = name or os.environ.get("HELIOGRAPH_PROFILE", "")
    if name and name not in known:
        raise click.UsageError(f"There is no profile {name!r} in {path()}. There are: {', '.join(known) or 'none'}.")
    stored = known.get(name or DEFAULT_PROFILE, Profile("", ""))
    given = (url or ("" if name else os.environ.get("HELIOGRAPH_URL", ""))).rstrip("/")
    key = key or ("" if name else os.environ.get("HELIOGRAPH_API_KEY", ""))
    if not given or given == stored.url:
        return Profile(stored.url or DEFAULT_URL, key or stored.key, stored.otlp_url)
    return Profile(given, key)


def read() -> dict[str, Profile]:
    """Return all profiles. Raises UsageError for a file that cannot be read or that others can read."""
    file = path()
    if not file.exists():
        return {}
    if os.name == "posix" and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise click.UsageError(f"{file} holds keys and others can read it. Run: chmod 600 {file}")
    parser = _parser()
    try:
        parser.read(file, encoding="utf-8")
    except configparser.Error as error:
        raise click.UsageError(f"{file} cannot be read: {error}") from error
    return {
        name: Profile(parser[name].get("url", ""), parser[name].get("key", ""), parser[name].get("otlp_url", ""))
        for name in parser.sections()
    }


def write(profiles: dict[str, Profile]) -> None:
    """Replace the file, readable by its owner only from its first byte on."""
    parser = _parser()
    for name, profile in profiles.items():
        parser[name] = {"url": profile.url, "key": profile.key, "otlp_url": profile.otlp_url}
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        parser.write(out)
    draft.replace(file)


def _parser() -> configparser.ConfigParser:
    # No interpolation: a key may hold a percent sign. No section of defaults: every section is a profile.
    return configparser.ConfigParser(interpolation=None, default_section="")
