"""The words of a name: family first, then every other word by table or by shape."""

import re
from dataclasses import dataclass, field
from itertools import islice

from collectors.model_names.families import (
    BASE_FAMILIES,
    FAMILIES,
    FAMILY_PHRASES,
    SIZED_BASE,
    VERSION_LETTERS,
    WEAK_FAMILIES,
)
from collectors.model_names.vocabulary import LETTER_VARIANTS, NOISE, TIER_PAIRS, TIERS, VARIANT_PHRASES, VARIANTS

# More words than any name has; the rest of a longer text is not looked at.
MAX_WORDS = 48
# Longer than any family's name: how far into a word one is looked for.
MAX_FAMILY = 20
PHRASE_STARTS = frozenset(phrase[0] for phrase in FAMILY_PHRASES)

# Letters and digits, with dots only between digits (2.5, v0.3); "_" separates like "-".
_WORD = re.compile(r"[^\W_]+(?:(?<=\d)\.(?=\d)[^\W_]+)*")
_ATTACHED = re.compile(r"([a-z]+?)v?(\d{1,6}(?:[.p]\d{1,6})?)([a-z]*)")
_SHAPE = re.compile(
    r"(?P<size>(?P<number_of>\d{1,6}(?:[.p]\d{1,6})?)(?P<unit>[bmt])(?P<decimal>\d?))"
    r"|(?P<experts>\d+x\d+(?:\.\d+)?[bm]|\d+e)"
    r"|(?P<active>[ae]\d{1,6}(?:[.p]\d{1,6})?[bm])"
    r"|(?P<context>\d+(?:\.\d+)?k)"
    r"|(?P<version>v\d+(?:[.p]\d+)*[a-z]{0,2})"
    r"|(?P<number>\d+(?:[.p]\d+)*[a-z]{0,2})"
    r"|(?P<lettered>[a-z]\d+(?:[.p]\d+)*|[a-z]\d{1,6}b)"
)
_TO_BILLIONS = {"b": 1.0, "m": 0.001, "t": 1000.0}
_DIGITS = frozenset("0123456789")
# Makers write a version without its dot where a dot is not allowed: gpt-35, qwen35.
_DOTLESS = re.compile(r"[1-9]\d")


@dataclass(slots=True)
class Word:
    text: str
    start: int
    end: int


@dataclass(slots=True)
class Reading:
    """What the words of a name say. `known` holds the indexes of the words that were recognised."""

    words: list[Word]
    family: str | None = None
    is_weak: bool = False
    family_at: int = -1
    version: str | None = None
    version_at: int = -1
    tier: str | None = None
    params: float | None = None
    active: float | None = None
    experts: str | None = None
    date: str | None = None
    variants: set[str] = field(default_factory=set)
    known: set[int] = field(default_factory=set)


def read_words(text: str) -> Reading:
    """Read the lower-case `text`."""
    words = [Word(match[0], match.start(), match.end()) for match in islice(_WORD.finditer(text), MAX_WORDS)]
    reading = Reading(words)
    at = _read_family(reading)
    for index in range(len(words)):
        if index not in reading.known:
            _read_word(reading, index, text, after_family=index >= at)
    return reading


def _read_family(reading: Reading) -> int:
    """The leftmost word or phrase that is a family, and where the words after it begin.

    A family that is also a common word counts only if no other is there.
    """
    words = reading.words
    weak: tuple[int, str, re.Match[str] | None] | None = None
    for at, word in enumerate(words):
        for length in (3, 2) if word.text in PHRASE_STARTS else ():
            phrase = tuple(other.text for other in words[at : at + length])
            if len(phrase) == length and (family := FAMILY_PHRASES.get(phrase)) is not None:
                return _found_family(reading, at, family, length=length)
        attached = None
        family = FAMILIES.get(word.text)
        if family is None and not word.text.isalpha():
            attached = _ATTACHED.fullmatch(word.text)
            family = FAMILIES.get(attached[1]) if attached is not None else None
            if at == 0 and attached is not None and attached[1] == "o" and len(attached[2]) == 1 and not attached[3]:
                family = "o"
        if family is not None and family not in WEAK_FAMILIES:
            return _found_family(reading, at, family, attached=attached)
        if family is not None and weak is None:
            weak = (at, family, attached)
    if weak is None:
        return _read_joined_family(reading)
    reading.is_weak = True
    return _found_family(reading, weak[0], weak[1], attached=weak[2])


def _read_joined_family(reading: Reading) -> int:
    """A family and a role in one word: hunyuanocr, qwenvl."""
    for at, word in enumerate(reading.words):
        for cut in range(3, min(len(word.text), MAX_FAMILY)):
            family, role = FAMILIES.get(word.text[:cut]), VARIANTS.get(word.text[cut:])
            if family is not None and role is not None and family not in WEAK_FAMILIES:
                reading.variants.add(role)
                return _found_family(reading, at, family)
    return 0


def _found_family(
    reading: Reading, at: int, family: str, *, length: int = 1, attached: re.Match[str] | None = None
) -> int:
    reading.family, reading.family_at = family, at
    reading.known.update(range(at, at + length))
    if attached is not None:
        version, letters = attached[2].replace("p", "."), attached[3]
        if _DOTLESS.fullmatch(version):
            version = f"{version[0]}.{version[1]}"
        if letters == "b":
            reading.params = float(version)
            return at + length
        _take_version(reading, version, letters, at)
    return at + length


def _take_version(reading: Reading, version: str, letters: str, at: int) -> None:
    """4o and 3n are versions; the v of 4.5v and the vl of 2.5vl say what the model can do."""
    if letters in {"o", "n"}:
        version += letters
    elif letters == "v":
        reading.variants.add("vision")
    elif letters in VARIANTS:
        reading.variants.add(VARIANTS[letters])
    reading.version, reading.version_at = version, at


def _read_word(reading: Reading, at: int, text: str, *, after_family: bool) -> None:
    words, word = reading.words, reading.words[at].text
    following = words[at + 1].text if at + 1 < len(words) else ""
    reading.known.add(at)
    if (variant := VARIANT_PHRASES.get((word, following))) is not None:
        reading.known.add(at + 1)
        reading.variants.add(variant)
    elif (letter := LETTER_VARIANTS.get((reading.family or "", word))) is not None:
        reading.variants.add(letter)
    elif word == "base" and reading.family in SIZED_BASE:
        _read_tier(reading, word)
    elif word == "pt" and reading.family is not None and "gemma" in reading.family:
        reading.variants.add("base")
    elif word in VARIANTS:
        reading.variants.add(VARIANTS[word])
    elif word in TIERS:
        _read_tier(reading, TIERS[word])
    elif not word.isalpha() and word.isascii():
        if not _read_shape(reading, at, text, after_family=after_family):
            reading.known.discard(at)
    elif word not in NOISE:
        reading.known.discard(at)


def _read_tier(reading: Reading, tier: str) -> None:
    if reading.tier is None:
        reading.tier = tier
    elif (reading.tier, tier) in TIER_PAIRS:
        reading.tier = f"{reading.tier}-{tier}"


def _read_shape(reading: Reading, at: int, text: str, *, after_family: bool) -> bool:
    word = reading.words[at].text
    if (shape := _SHAPE.fullmatch(word)) is None:
        return _read_compound(reading, at, word)
    kind = shape.lastgroup
    if shape["size"] is not None:
        _read_size(reading, shape)
    elif kind == "experts":
        reading.experts = word[:-1] + word[-1].upper()
    elif kind == "active":
        scale = _TO_BILLIONS[word[-1]]
        reading.active = reading.active or _round(float(word[1:-1].replace("p", ".")) * scale)
    elif kind == "version":
        if reading.version is None or (reading.version_at < 0 and after_family):
            match = re.fullmatch(r"v([\d.p]+)([a-z]*)", word)
            if match is not None:
                _take_version(reading, match[1].replace("p", "."), match[2], at)
        else:
            return True
    elif kind == "number":
        return _read_number(reading, at, text, after_family=after_family)
    elif kind == "lettered":
        return _read_lettered(reading, at, word)
    return True


def _read_size(reading: Reading, shape: re.Match[str]) -> None:
    """A second size is a context (1M) or training tokens (4T), not parameters; 1B-7B of a mixture is active-total."""
    number, unit = shape["number_of"].replace("p", "."), shape["unit"]
    if reading.params is None and not (unit == "m" and float(number) == 1):
        if shape["decimal"] and "." not in number:
            number = f"{number}.{shape['decimal']}"
        reading.params = _round(float(number) * _TO_BILLIONS[unit])
    elif reading.params is not None and unit == "b" and reading.family == "olmoe" and reading.active is None:
        reading.active, reading.params = reading.params, float(number)


def _read_compound(reading: Reading, at: int, word: str) -> bool:
    """A role or a size in words with a version: vl2, small3.2."""
    attached = re.fullmatch(r"([a-z]+)(\d+(?:\.\d+)?)", word)
    if attached is None or (attached[1] not in VARIANTS and attached[1] not in TIERS):
        return False
    if attached[1] in VARIANTS:
        reading.variants.add(VARIANTS[attached[1]])
    else:
        _read_tier(reading, TIERS[attached[1]])
    if reading.version is None:
        reading.version, reading.version_at = attached[2], at
    return True


def _read_lettered(reading: Reading, at: int, word: str) -> bool:
    """r1 of deepseek, k2 of kimi; the r16 of an adapter and the r7b of command-r are other things."""
    if word.endswith("b"):
        if reading.params is None:
            reading.params = float(word[1:-1])
        if word[0] == "r" and reading.family == "command":
            reading.family = "command-r"
        return True
    letters = VERSION_LETTERS.get(reading.family or "", "")
    if word[0] in letters and reading.version is None:
        reading.version, reading.version_at = word.replace("p", "."), at
    return True


def _read_number(reading: Reading, at: int, text: str, *, after_family: bool) -> bool:
    words, word = reading.words, reading.words[at].text
    if word.isdigit() and _read_date(reading, at):
        return True
    separator = text[words[at].end : words[at].end + 1]
    following = words[at + 1].text if at + 1 < len(words) else ""
    # 1_5b and 0-6b are sizes whose dot was not allowed; in llama_3_1_8b the underscore is just the separator.
    if word in _DIGITS and ((separator == "_" and "-" in text) or word == "0") and re.fullmatch(r"\d{1,6}b", following):
        reading.known.add(at + 1)
        reading.params = reading.params or float(f"{word}.{following[:-1]}")
        return True
    match = re.fullmatch(r"([\d.p]+)([a-z]*)", word)
    is_of_base = at > 0 and at - 1 not in reading.known and words[at - 1].text in BASE_FAMILIES
    if match is None or not after_family or is_of_base or (word.isdigit() and len(word) > 2):
        return True
    number, letters = match[1].replace("p", "."), match[2]
    if reading.version is None:
        if _DOTLESS.fullmatch(number):
            is_before_size = at == reading.family_at + 1 and re.fullmatch(r"\d+[bm]", following) is not None
            if reading.family == "gpt":
                number = f"{number[0]}.{number[1]}"
            elif not is_before_size:  # aya-23-8b
                return True
        _take_version(reading, number, letters, at)
    elif reading.version_at == at - 1 and "." not in reading.version and len(number) <= 2 and "." not in number:
        _take_version(reading, f"{reading.version}.{number}", letters, at)
    return True


def _read_date(reading: Reading, at: int) -> bool:
    """20250514, 2024-04-09, 08-2024, 2507 and the bare 0528 or 05-06; 4096 and 002 are something else."""
    numbers = [word.text for word in reading.words[at : at + 3]]
    first = numbers[0]
    second = numbers[1] if len(numbers) > 1 else ""
    third = numbers[2] if len(numbers) > 2 else ""
    date, used = None, 1
    if len(first) == 8 and _is_day(first[4:6], first[6:]) and first.startswith("20"):
        date = f"{first[:4]}-{first[4:6]}-{first[6:]}"
    elif len(first) == 6 and first.startswith("2") and _is_day(first[2:4], first[4:]):
        date = f"20{first[:2]}-{first[2:4]}-{first[4:]}"
    elif len(first) == 4 and first.startswith("20") and len(second) == 2 and _is_day(second, "01"):
        is_full = len(third) == 2 and _is_day(second, third)
        date, used = (f"{first}-{second}-{third}", 3) if is_full else (f"{first}-{second}", 2)
    elif len(first) == 2 and len(second) == 4 and second.startswith("20") and _is_day(first, "01"):
        date, used = f"{second}-{first}", 2
    elif len(first) == 2 and len(second) == 2 and first.startswith("0") and _is_day(first, second):
        date, used = f"{first}-{second}", 2
    elif len(first) == 4 and "22" <= first[:2] <= "29" and _is_day(first[2:], "01"):
        date = f"20{first[:2]}-{first[2:]}"
    elif len(first) == 4 and _is_day(first[:2], first[2:]):
        date = first
    if date is None:
        return False
    reading.date = reading.date or date
    reading.known.update(range(at, at + used))
    return True


def _is_day(month: str, day: str) -> bool:
    return month.isdigit() and day.isdigit() and "01" <= month <= "12" and "01" <= day <= "31"


def _round(billions: float) -> float:
    return round(billions, 6)
