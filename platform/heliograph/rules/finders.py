"""What a redaction rule looks for in a text: built-in kinds, a person's own regular expression, Presidio.

A find is characters [start, end) of a text and a label for the token that takes their place.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import re2

from personal_data.pii import find_pii
from personal_data.presidio import presidio_analyzer
from personal_data.secrets import SIGNS, find_secrets

# A person writes these; a longer one is a mistake.
MAX_REGEX_CHARACTERS = 1_000
# Of one compiled expression: RE2 refuses a larger one when the rule is saved.
_MAX_REGEX_BYTES = 1 << 20

# Presidio reads about 100 kB/s; what is behind this stays as it came.
MAX_PRESIDIO_CHARACTERS = 20_000

# The built-in kinds: the label of its tokens, and what it is called on the page.
BUILT_IN: dict[str, str] = {
    "email": "E-mail addresses",
    "credit_card": "Credit card numbers (with their check digit)",
    "iban": "IBANs (with their check digits)",
    "secret": "API keys, tokens and private keys of known shapes",
    "phone": "Phone numbers",
    "ip": "IP addresses",
    "us_ssn": "US social security numbers",
    "street_address": "Street addresses",
}
DEFAULT_KINDS = ("email", "credit_card", "iban", "secret", "phone", "ip")
_NOT_LABEL = re.compile(r"[^a-z_.-]+")
_TYPES = {
    "email": "EMAIL_ADDRESS",
    "credit_card": "CREDIT_CARD",
    "iban": "IBAN_CODE",
    "phone": "PHONE_NUMBER",
    "ip": "IP_ADDRESS",
    "us_ssn": "US_SSN",
    "street_address": "STREET_ADDRESS",
}
_LABELS = {name: label for label, name in _TYPES.items()}


class Find(NamedTuple):
    """Characters [start, end) of a text, and what stands there."""

    start: int
    end: int
    label: str


class Finder(NamedTuple):
    """`find` answers the finds of a text in order; `may_hold` says quickly that a text, or JSON of it, holds none."""

    find: Callable[[str], list[Find]]
    may_hold: Callable[[str], bool]


class UnusableRuleError(ValueError):
    """A rule that cannot be applied; the text says what to change."""


# What a find of each kind must hold. RE2 reads a text in a hundredth of the time that the patterns themselves take, and
# most texts hold nothing; a test compares with the answer without these.
_GATES = {
    "EMAIL_ADDRESS": r"@",
    "CREDIT_CARD": r"\p{Nd}(?:[ -]?\p{Nd}){11}",
    "IBAN_CODE": r"[A-Z]{2}\p{Nd}{2} ?[A-Z0-9]{4}",
    "US_SSN": r"\p{Nd}{3}-\p{Nd}{2}-\p{Nd}{4}",
    "IP_ADDRESS": r"\p{Nd}{1,3}\.\p{Nd}{1,3}\.\p{Nd}{1,3}\.\p{Nd}|:[0-9a-fA-F]{0,4}:",
    "PHONE_NUMBER": r"\p{Nd}(?:[ .\-/()]{0,3}\p{Nd}){6}",
    "STREET_ADDRESS": r"\p{Nd} \pL",
}


def built_in(kinds: Sequence[str]) -> Finder:
    """Return a finder of some built-in kinds. Raises UnusableRuleError for one that does not exist."""
    unknown = sorted(set(kinds) - set(BUILT_IN))
    if unknown or not kinds:
        wrong = f", not {unknown[0]}." if unknown else "."
        raise UnusableRuleError(f"Choose one or more of {', '.join(BUILT_IN)}{wrong}")
    types = tuple(_TYPES[kind] for kind in kinds if kind != "secret")
    gates = [(name, _compiled(_GATES[name]).search) for name in types]
    signs = [_GATES[name] for name in types] + ([SIGNS] if "secret" in kinds else [])
    any_sign = _compiled("|".join(f"(?:{sign})" for sign in signs)).search

    def find(text: str) -> list[Find]:
        if any_sign(text) is None:
            return []
        found = [Find(start, end, "secret") for start, end, _ in find_secrets(text)] if "secret" in kinds else []
        secrets = found.copy()
        likely = [name for name, may_hold in gates if may_hold(text)]
        for start, end, name in find_pii(text, likely) if likely else ():
            # A secret as a whole goes before the digits that look like a phone number within it.
            if not any(secret.start < end and start < secret.end for secret in secrets):
                found.append(Find(start, end, _LABELS[name]))
        return sorted(found)

    # An escape may write a sign in other letters: then only the text itself tells.
    return Finder(find, lambda text: any_sign(text) is not None or "\\u" in text or "\\/" in text)


def label_of(text: str) -> str:
    """Return a text as the label of a token: lower-case letters, dots, dashes, underscores; at most 40."""
    return _NOT_LABEL.sub("_", text.lower()).strip("_.-")[:40].rstrip("_.-") or "value"


def expression(pattern: str, label: str) -> Finder:
    """Return a finder of a regular expression, in RE2's syntax: its time is linear in the text whatever it says.

    Raises UnusableRuleError for one that RE2 does not take.
    """
    if not pattern or len(pattern) > MAX_REGEX_CHARACTERS:
        raise UnusableRuleError(f"A pattern has 1 to {MAX_REGEX_CHARACTERS} characters.")
    compiled, label = _compiled(pattern), label_of(label)
    if compiled.search("") is not None:
        raise UnusableRuleError("This pattern matches the empty text; write + for * so that it needs a character.")

    def find(text: str) -> list[Find]:
        matches = compiled.finditer(text)
        return [Find(match.start(), match.end(), label) for match in matches if match.end() > match.start()]

    return Finder(find, lambda _: True)


@cache
def _options() -> Any:
    options = re2.Options()
    options.max_mem = _MAX_REGEX_BYTES
    options.log_errors = False
    return options


def _compiled(pattern: str) -> Any:
    try:
        return re2.compile(pattern, _options())
    except (re2.error, UnicodeEncodeError) as error:
        said = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise UnusableRuleError(
            f"RE2 cannot use this pattern: {said}. Look-around and back references do not exist in it."
        ) from error


def presidio(entities: str) -> Finder:
    """Return a finder that asks Presidio for some entities, separated by spaces or commas; empty asks for all it knows.

    Only its pattern recognisers run: no language model is loaded, so names of people and places are not found. It takes
    about a hundred times what the built-in kinds take. Raises UnusableRuleError where it is not installed or does not
    know an entity.
    """
    wanted = entities.replace(",", " ").split()
    try:
        analyzer = presidio_analyzer(None)
    except ImportError as error:
        raise UnusableRuleError(str(error)) from error
    unknown = sorted(set(wanted) - set(analyzer.get_supported_entities("en")))
    if unknown:
        raise UnusableRuleError(f"Presidio's pattern recognisers do not know {unknown[0]}.")

    def find(text: str) -> list[Find]:
        found: list[Find] = []
        end = 0
        results = analyzer.analyze(text[:MAX_PRESIDIO_CHARACTERS], "en", entities=wanted or None, score_threshold=0.4)
        for result in sorted(results, key=lambda result: (result.start, -result.end, -result.score)):
            if result.start >= end:
                found.append(Find(result.start, result.end, result.entity_type.lower()))
                end = result.end
        return found

    return Finder(find, lambda _: True)


def has_presidio() -> bool:
    """Whether rules may ask Presidio; nothing is imported."""
    return find_spec("presidio_analyzer") is not None
