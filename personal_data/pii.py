"""Personal data in a text, by patterns with check digits: what a regular expression can know, and no more.

Types are named as Presidio names them. Each pattern has bounded repeats, so a search is linear in the text.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Found(NamedTuple):
    """Characters [start, end) of a text and the type of what stands there."""

    start: int
    end: int
    type: str


def luhn(digits: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1)."""
    values = [int(c) for c in reversed(digits)]
    return sum(values[::2]) % 10 == -sum(sum(divmod(2 * v, 10)) for v in values[1::2]) % 10


def iban_valid(text: str) -> bool:
    """The check digits of an IBAN (ISO 13616): as a number, rotated, it leaves 1 when divided by 97."""
    compact = re.sub(r"\s", "", text).upper()
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def _iban(match: re.Match[str]) -> bool:
    return iban_valid(match.group())


def _card(match: re.Match[str]) -> bool:
    digits = re.sub(r"\D", "", match.group())
    return 12 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn(digits)


def _address(match: re.Match[str]) -> bool:
    try:
        ipaddress.ip_address(match.group())
    except ValueError:
        return False
    return True


def _any(match: re.Match[str]) -> bool:
    return bool(match.group())


_CALENDAR = re.compile(r"(?:\d{4}[-./]\d{2}[-./]\d{2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4})(?!\S)")
_PHONE_WORD = re.compile(
    r"(?:phone|mobile|cell|tel|fax|desk|call|office|whatsapp|number)\W{0,3}(?:\w+\W{1,2}){0,2}\Z", re.IGNORECASE
)


def _phone(match: re.Match[str]) -> bool:
    """Digits are a phone number when they are written as one, or a word before them says so."""
    text = match.group()
    main = re.split(r"x|#|ext", text)[0]
    digits = re.sub(r"\D", "", main)
    # Years, amounts and dates have fewer digits, account numbers more.
    if not 7 <= len(digits) <= 15 or len(set(digits)) < 3 or digits.startswith("000") or _CALENDAR.match(text):
        return False
    written = text.startswith(("+", "00", "(")) or "x" in text or len(re.findall(r"\d+", main)) >= 3
    return (
        written
        or len(digits) == 10
        or bool(_PHONE_WORD.search(match.string[max(0, match.start() - 40) : match.start()]))
    )


_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?"
_STREET = (
    r"(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|square|sq|place|pl|terrace|way|highway|"
    r"hwy|parkway|pkwy|alley)\b\.?"
)
_URL = r"\bhttps?://[^\s<>\"')\]]+|\bwww\.(?:[\w-]{1,63}\.){1,4}[A-Za-z]{2,24}[^\s<>\"')\]]*"
_IP = r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)|(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:]))"
_DIALLED = (
    r"(?<![\w.,/$€£-])(?:\+|00)?\(?\d{1,4}\)?(?:[ .\-/]?\(?\d{1,5}\)?){1,6}"
    r"(?:\s?(?:x|ext\.?|#)\s?\d{1,6})?(?![\w-]|[.,/]\d)"
)
_PLACE = rf"\b\d{{1,6}} (?:[A-ZÀ-Ý][\w'’-]+ ){{1,4}}{_STREET}(?:,? (?:apt|suite|unit|ste)\.? \w{{1,6}})?"
_DATE = (
    rf"\b(?:{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?|\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}(?: \d{{4}})?|"
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?|(?<![\d./])\d{1,2}[/.]\d{1,2}[/.](?:\d{4}|\d{2}))\b(?![./]\d)"
)
_AGE = r"\b\d{1,3}(?=[ -]years?[ -]old|[ -]year-old| y/o\b)|(?:(?<=\baged )|(?<=\bage of ))\d{1,3}\b"
# In order of trust: of two overlapping finds the earlier kind stays.
_PATTERNS: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], bool]], ...] = (
    ("EMAIL_ADDRESS", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,5}[A-Za-z]{2,24}\b"), _any),
    ("DOMAIN_NAME", re.compile(_URL), _any),
    ("IBAN_CODE", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"), _iban),
    ("CREDIT_CARD", re.compile(r"(?<![\d.+-])\d(?:[ -]?\d){11,18}(?![\d.]?\d)"), _card),
    ("US_SSN", re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"), _any),
    ("IP_ADDRESS", re.compile(_IP), _address),
    ("PHONE_NUMBER", re.compile(_DIALLED), _phone),
    ("STREET_ADDRESS", re.compile(_PLACE, re.IGNORECASE), _any),
    ("DATE_TIME", re.compile(_DATE, re.IGNORECASE), _any),
    ("AGE", re.compile(_AGE, re.IGNORECASE), _any),
)
TYPES = tuple(name for name, _, _ in _PATTERNS)
# Dates and ages are personal only beside a name; they are found on request, not by default.
DEFAULT_TYPES = tuple(name for name in TYPES if name not in ("DATE_TIME", "AGE", "DOMAIN_NAME"))


def find_pii(text: str, types: Sequence[str] = TYPES) -> list[Found]:
    """Finds of the wanted types in order of place, none overlapping another."""
    found: list[Found] = []
    taken = bytearray(len(text))
    for name, pattern, check in _PATTERNS:
        for match in pattern.finditer(text) if name in types else ():
            start, end = match.span()
            if check(match) and not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                found.append(Found(start, end, name))
    return sorted(found)
