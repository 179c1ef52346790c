"""`heliograph sbom`: what this installation is made of, as a CycloneDX document."""

import base64
import json
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand
from packaging.requirements import Requirement

PACKAGE: Final = "heliograph"
# Tests and lints are no part of what runs.
NOT_SHIPPED: Final = frozenset({"dev"})
_HASHES: Final = {"sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}


def document() -> dict[str, Any]:
    """Return a CycloneDX 1.6 document: the installed packages that Heliograph asks for, and what the browser loads.

    The same installation gives the same document: there is no time and no random number in it.
    """
    root = distribution(PACKAGE)
    found = _needed(root, _extras(root))
    python = [_of_python(found[name][0]) for name in sorted(found) if name != PACKAGE]
    browser = _of_browser()
    of_root = {"type": "application", "bom-ref": _ref(root), "name": PACKAGE, "version": root.version}
    graph: list[dict[str, Any]] = [
        {"ref": _ref(each), "dependsOn": sorted(_ref(found[name][0]) for name in needs)}
        for each, needs in (found[name] for name in sorted(found))
    ]
    [of_heliograph] = [each for each in graph if each["ref"] == of_root["bom-ref"]]
    of_heliograph["dependsOn"] += [each["bom-ref"] for each in browser]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": of_root | {"purl": _ref(root), "licenses": _licences(root)}},
        "components": python + browser,
        "dependencies": graph,
    }


def shipped() -> list[str]:
    """Return the installed packages as lines of `name==version`, without Heliograph itself."""
    root = distribution(PACKAGE)
    found = _needed(root, _extras(root))
    return [f"{name}=={found[name][0].version}" for name in sorted(found) if name != PACKAGE]


def _extras(root: Distribution) -> frozenset[str]:
    return frozenset(root.metadata.get_all("Provides-Extra") or []) - NOT_SHIPPED


def _needed(root: Distribution, extras: frozenset[str]) -> dict[str, tuple[Distribution, set[str]]]:
    """Return every installed package that a package with some extras needs, with the names of what it needs itself."""
    found: dict[str, tuple[Distribution, set[str]]] = {}
    asked: set[tuple[str, frozenset[str]]] = set()
    waiting: list[tuple[Distribution, frozenset[str]]] = [(root, extras)]
    while waiting:
        one, wanted = waiting.pop()
        name = _name(one)
        if (name, wanted) in asked:
            continue
        asked.add((name, wanted))
        _, needs = found.setdefault(name, (one, set()))
        for text in one.requires or []:
            requirement = Requirement(text)
            held = requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in wanted | {""}
            )
            try:
                other = distribution(requirement.name) if held else None
            except PackageNotFoundError:  # of an extra that is not installed here
                continue
            if other is not None:
                needs.add(_name(other))
                waiting.append((other, frozenset(requirement.extras)))
    return found


def _name(of: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", of.metadata["Name"]).lower()


def _ref(of: Distribution) -> str:
    return f"pkg:pypi/{_name(of)}@{of.version}"


def _told(of: Distribution, name: str) -> str:
    return str((of.metadata.get_all(name) or [""])[0])


def _licences(of: Distribution) -> list[dict[str, Any]]:
    if expression := _told(of, "License-Expression"):
        return [{"expression": expression}]
    told = [each.rsplit("::", 1)[1].strip() for each in of.metadata.get_all("Classifier") or [] if "License ::" in each]
    # Some packages put the whole text there.
    given = _told(of, "License").strip()
    if not told and given and "\n" not in given and len(given) <= 200:
        told = [given]
    return [{"license": {"name": each}} for each in told]


def _of_python(of: Distribution) -> dict[str, Any]:
    found = {"type": "library", "bom-ref": _ref(of), "name": _name(of), "version": of.version, "purl": _ref(of)}
    return found | ({"licenses": licences} if (licences := _licences(of)) else {})


def _of_browser() -> list[dict[str, Any]]:
    """Return the packages of npm's lock file whose code a browser loads; the hashes are those of their archives."""
    locked = json.loads(settings.NPM_LOCK.read_text(encoding="utf-8"))["packages"]
    found = []
    for path, told in sorted(locked.items()):
        if not path or told.get("dev"):
            continue
        name = path.rpartition("node_modules/")[2]
        purl = f"pkg:npm/{name.replace('@', '%40', 1)}@{told['version']}"
        kind, _, digest = told["integrity"].partition("-")
        hashes = [{"alg": _HASHES[kind], "content": base64.b64decode(digest).hex()}]
        licences = [{"expression": told["license"]}] if "license" in told else []
        component = {"type": "library", "bom-ref": purl, "name": name, "version": told["version"], "purl": purl}
        found.append(component | {"hashes": hashes, "licenses": licences})
    return found


class Command(BaseCommand):
    """Print the document."""

    help = "Print what this installation is made of (SBOM, CycloneDX JSON)."

    def handle(self, **_: Any) -> None:
        """Print it."""
        self.stdout.write(json.dumps(document(), indent=1))
