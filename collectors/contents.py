"""Long texts taken out of a span, and put back: what many spans repeat is then stored once.

A text of at least MIN_CHARS characters is replaced by a reference,

    content:b2-<32 hex digits>;<form>;<characters>

where the form says how the text stood there: `p` as it is, `j` inside a JSON string as our own encoder writes it, `a`
the same with everything beyond ASCII escaped, `r` inside a JSON string with escapes as another encoder wrote them. So
the message of a tool, the attribute that repeats it and the flat key of another convention share one text, and what is
put back is the original to the letter.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from json import JSONDecodeError, loads
from json.encoder import encode_basestring, encode_basestring_ascii

from collectors import kernel

# Below, a reference and its row cost about what the text costs compressed: docs/adr/0013 has the figures.
MIN_CHARS = 1_024

# Columns of a span whose long texts are taken out, with the letter of each in its `contents`: only a span's input and
# output are searched for words apart.
SIDES = (("input", "i"), ("output", "o"), ("documents", "x"), ("tools", "x"))

_REFERENCE = re.compile(r"content:b2-([0-9a-f]{32});([pjar]);(\d{1,10});")
# String literals of a JSON text. Possessive: a literal that never ends must not be tried again from each character.
_LITERAL = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
# What begins like a JSON object or array; numbers are vectors, which no other span repeats.
_JSON = re.compile(r'\s*(?:\{\s*["}]|\[\s*["{\[\]\-0-9])')
# Attributes that hold the same JSON on each call: what a model may call, or must answer with.
_REPEATED = re.compile(r"tool.*(?:definition|schema)|(?:\.|^)(?:tools|functions)(?:\.|$)|json_schema")


@dataclass(slots=True)
class Splitter:
    """Takes the long texts of one project's spans out. `texts` are those that were found, by hash."""

    key: bytes
    texts: dict[str, str] = field(default_factory=dict)
    # Literals seen before: (hash, reference). A history comes again with each turn, and mostly in the same request.
    _known: dict[str, tuple[str, str]] = field(default_factory=dict)
    # The latest text with what became of it: the canonical messages often are the attribute to the letter.
    _latest: tuple[str, str, list[str]] = ("", "", [])

    def split(self, text: str, used: list[str], side: str, name: str = "") -> str:
        """Return `text` with references in place of its long parts; append `side` + hash of each to `used`.

        JSON is split at its strings, any other text is one part. `name` is the key of an attribute.
        """
        if not _JSON.match(text):
            return self._reference(text, "p", used, side)
        source, result, hashes = self._latest
        if text != source:
            hashes = []
            result = self._split_json(text, hashes)
            self._latest = (text, result, hashes)
        if not hashes and _REPEATED.search(name):
            return self._reference(text, "p", used, side)
        used += [side + hash_ for hash_ in hashes]
        return result

    def _split_json(self, text: str, hashes: list[str]) -> str:
        pieces: list[str] = []
        done = 0
        for start, end, is_plain in _long_literals(text):
            inner = text[start:end]
            known = self._known.get(inner)
            if known is None:
                known = self._known[inner] = self._keep(*((inner, "j") if is_plain else _content_of(inner)))
            hashes.append(known[0])
            pieces += text[done:start], known[1]
            done = end
        return "".join((*pieces, text[done:])) if pieces else text

    def _reference(self, text: str, form: str, used: list[str], side: str) -> str:
        hash_, reference = self._keep(text, form)
        used.append(side + hash_)
        return reference

    def _keep(self, text: str, form: str) -> tuple[str, str]:
        hash_ = blake2b(text.encode(), digest_size=16, key=self.key).hexdigest()
        self.texts[hash_] = text
        return hash_, f"content:b2-{hash_};{form};{len(text)};"


def long_values(texts: dict[str, str]) -> list[str]:
    """The keys of long texts."""
    native = kernel.active()
    if native is not None:
        found: list[str] = native.long_values(texts, MIN_CHARS)
        return found
    return [key for key, text in texts.items() if len(text) >= MIN_CHARS]


def _long_literals(text: str) -> list[tuple[int, int, bool]]:
    """Where the long string literals of a JSON text begin and end, without their quotes, and which surely stand for
    themselves: no escapes, and nothing that would need one."""
    native = kernel.active()
    if native is not None:
        found: list[tuple[int, int, bool]] = native.long_literals(text, MIN_CHARS)
        return found
    spans = (literal.span(1) for literal in _LITERAL.finditer(text))
    return [(start, end, False) for start, end in spans if end - start >= MIN_CHARS]


def _content_of(inner: str) -> tuple[str, str]:
    """The text that a JSON string literal stands for and the form that gives the literal back."""
    if "\\" not in inner:
        return inner, "j" if encode_basestring(inner)[1:-1] == inner else "r"
    try:
        text: str = loads(f'"{inner}"')
        text.encode()
    except (JSONDecodeError, UnicodeEncodeError):  # no JSON after all, or half a surrogate pair
        return inner, "r"
    if encode_basestring(text)[1:-1] == inner:
        return text, "j"
    return (text, "a") if encode_basestring_ascii(text)[1:-1] == inner else (inner, "r")


_FORMS: dict[str, Callable[[str], str]] = {
    "p": lambda text: text,
    "r": lambda text: text,
    "j": lambda text: encode_basestring(text)[1:-1],
    "a": lambda text: encode_basestring_ascii(text)[1:-1],
}


def references(text: str, used: Collection[str]) -> dict[str, int]:
    """The hashes that `text` refers to with the lengths of their texts; `used` is the span's `contents` column.

    A reference that the span itself does not name is a text that only looks like one.
    """
    if not used or "content:b2-" not in text:
        return {}
    own = {entry[1:] for entry in used}
    return {found[1]: int(found[3]) for found in _REFERENCE.finditer(text) if found[1] in own}


def _unescaped(inner: str) -> str:
    try:
        return str(loads(f'"{inner}"'))
    except JSONDecodeError:
        return inner


def restore(text: str, used: Collection[str], texts: Mapping[str, str], *, is_parsed: bool = False) -> str:
    """The original of a split text. Where a text is not among `texts`, its place says how much is missing.

    `is_parsed` says that `text` is what a JSON string stood for, and no longer JSON itself.
    """
    if not used or "content:b2-" not in text:
        return text
    own = {entry[1:] for entry in used}

    def original(found: re.Match[str]) -> str:
        if found[1] not in own:
            return found[0]
        content = texts.get(found[1])
        if content is None:
            return f"[{found[3]} characters that were not read]"
        if is_parsed:
            return _unescaped(content) if found[2] == "r" else content
        return _FORMS[found[2]](content)

    return _REFERENCE.sub(original, text)
