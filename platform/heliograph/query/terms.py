"""A filter's text cut into terms: the first half of `language`, which knows no field.

query   = [ term { space term } ]
term    = [ "-" ] ( name operator value { "," value } | word | quoted )
name    = letter { letter | digit | "_" } [ "." ( key | quoted ) ]
value   = quoted | bare, in which "*" is a wildcard and "\\" takes the next letter as it is
quoted  = '"' ... '"', in which "\\" takes the next letter as it is
"""

import re
from dataclasses import dataclass

from heliograph.query.clauses import InvalidFilterError

# A rule that a person writes and reads; it is stored with what uses it.
MAX_TEXT_CHARACTERS = 4_000
MAX_TERMS = 200

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r'[^\s:<>=!,"]+')
_OPERATOR = re.compile(r"<=|>=|!=|[:<>=]")
_BARE = re.compile(r'(?:\\.|[^\s,"\\])+', re.DOTALL)
_WORD = re.compile(r'[^\s"]+')
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPACE = re.compile(r"\s*")


class FilterTextError(InvalidFilterError):
    """A text that is no filter: where (1 is its first letter), and what to do about it."""

    def __init__(self, position: int, message: str, suggestion: str = "") -> None:
        super().__init__("filter", f"at character {position}: {message}")
        self.position = position
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Value:
    """One value; of a pattern, `text` has `*` for any text and a backslash before `*` or a backslash that is meant."""

    text: str
    is_pattern: bool
    is_quoted: bool
    position: int


@dataclass(frozen=True, slots=True)
class Term:
    """`name` is '' for words; then `values` has them. `position` counts letters from 1, `end` is behind the term."""

    position: int
    end: int
    negated: bool
    name: str
    operator: str
    values: tuple[Value, ...]


def terms(text: str) -> list[Term]:
    """Return the terms of a text in order. Raises FilterTextError."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise FilterTextError(MAX_TEXT_CHARACTERS + 1, f"a filter may have {MAX_TEXT_CHARACTERS} characters")
    found: list[Term] = []
    at = _after_space(text, 0)
    while at < len(text):
        if len(found) == MAX_TERMS:
            raise FilterTextError(at + 1, f"a filter may have {MAX_TERMS} terms")
        term = _term(text, at)
        found.append(term)
        at = _after_space(text, term.end)
    return found


def quote(text: str) -> str:
    """Return a text as a quoted value."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(text: str) -> str:
    """Return a text as a value, quoted only where it has to be."""
    return text if re.fullmatch(r"[\w.@/#$%+~][\w.@/#$%+~-]*", text) else quote(text)


def written_pattern(pattern: str) -> str:
    """Return the text of a pattern as a bare value."""
    return re.sub(r"\\.|[^\w.@/#$%+~*-]", lambda found: found[0] if len(found[0]) > 1 else "\\" + found[0], pattern)


def as_pattern(text: str) -> str:
    """Return a plain text as a pattern that matches it alone."""
    return re.sub(r"[\\*]", lambda found: "\\" + found[0], text)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _term(text: str, start: int) -> Term:
    at = start
    negated = text[at] == "-"
    at += negated
    if at >= len(text) or text[at].isspace():
        raise FilterTextError(start + 1, "a minus needs a condition right after it, such as -status:error")
    if text[at] == '"':
        value, at = _quoted(text, at)
        return Term(start + 1, at, negated, "", "", (value,))
    named = _name(text, at)
    operator = _OPERATOR.match(text, named[1]) if named else None
    if not named or not operator:
        word = _WORD.match(text, at)
        assert word is not None  # it is neither a space nor a quote
        return Term(start + 1, word.end(), negated, "", "", (Value(word[0], False, False, at + 1),))
    values, end = _values(text, operator.end(), named[0])
    sign = operator[0]
    return Term(
        start + 1, end, negated != (sign == "!="), named[0], ":" if sign in {"=", "!="} else sign, tuple(values)
    )


def _name(text: str, at: int) -> tuple[str, int] | None:
    found = _NAME.match(text, at)
    if not found:
        return None
    end = found.end()
    if end >= len(text) or text[end] != ".":
        return found[0], end
    if end + 1 < len(text) and text[end + 1] == '"':
        value, after = _quoted(text, end + 1)
        return f"{found[0]}.{value.text}", after
    key = _KEY.match(text, end + 1)
    return (f"{found[0]}.{key[0]}", key.end()) if key else None


def _values(text: str, at: int, name: str) -> tuple[list[Value], int]:
    values: list[Value] = []
    while True:
        if at < len(text) and text[at] == '"':
            value, at = _quoted(text, at)
        elif bare := _BARE.match(text, at):
            value, at = _bare(bare[0], at), bare.end()
        else:
            raise FilterTextError(at + 1, f'{name} needs a value here; for an empty one write {name}:""')
        values.append(value)
        if at >= len(text) or text[at].isspace():
            return values, at
        if text[at] != ",":
            raise FilterTextError(at + 1, "put a space before the next condition, or a comma before another value")
        at += 1


def _quoted(text: str, at: int) -> tuple[Value, int]:
    found = _QUOTED.match(text, at)
    if not found:
        raise FilterTextError(at + 1, 'this quotation mark is never closed; add " behind the last word')
    return Value(_ESCAPED.sub(lambda letter: letter[1], found[1]), False, True, at + 1), found.end()


def _bare(text: str, at: int) -> Value:
    if "*" in re.sub(r"\\.", "", text):
        kept = re.sub(r"\\(.)", lambda letter: letter[0] if letter[1] in "*\\" else letter[1], text, flags=re.DOTALL)
        return Value(kept, True, False, at + 1)
    return Value(_ESCAPED.sub(lambda letter: letter[1], text), False, False, at + 1)
