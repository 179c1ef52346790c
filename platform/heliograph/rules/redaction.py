"""Blanking of personal data and secrets, before anything is stored.

Content rules look into texts; key rules take an attribute by its name. Texts that are JSON are walked, so that what is
stored is JSON still and an escape never hides the beginning of a find. A token in a text is never searched again, and a
text is searched until nothing is found: blanking twice is blanking once.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import translate
from typing import Any

from collectors.text import to_json
from heliograph.rules.finders import Find, Finder, label_of

# Rounds of searching one text: a replacement may bring a find to light that stood next to it.
_MAX_ROUNDS = 8
# JSON inside a string inside JSON: tool calls do this two or three times.
_MAX_NESTING = 8
_TOKEN = re.compile(r"\[redacted:[a-z][a-z_.-]{0,39}\]|\[hashed:[a-z][a-z_.-]{0,39}:[0-9a-f]{16}\]")
# In JSON that was cut in the middle, an escape is blanked by spaces before the search: offsets stay as they are.
_ESCAPE = re.compile(r"\\+(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
# Texts of one request that are remembered: a conversation says the same again in every span.
_MAX_REMEMBERED = 20_000
# Longer ones are seldom said twice, and the memory of one request is bounded.
_MAX_REMEMBERED_CHARACTERS = 20_000


class Action(StrEnum):
    """What takes the place of a find."""

    MASK = "mask"
    HASH = "hash"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class ContentRule:
    """Blank what a finder finds."""

    name: str
    finder: Finder
    action: Action


@dataclass(frozen=True, slots=True)
class KeyRule:
    """Blank the values of the attributes whose key matches a glob, in any letter case."""

    name: str
    glob: str
    action: Action


@dataclass(frozen=True, slots=True)
class Hit:
    """What one rule did in a text as it was shown: characters [start, end), and what stands there now."""

    start: int
    end: int
    rule: str
    text: str
    replacement: str


class Redactor:
    """The rules of one project, ready to be applied. Safe in several threads.

    `secret` salts the hashes: the same value has the same token within a project, and another one elsewhere.
    """

    def __init__(self, rules: Sequence[ContentRule | KeyRule], secret: bytes) -> None:
        self._content = [rule for rule in rules if isinstance(rule, ContentRule)]
        self._keys = [
            (re.compile(translate(rule.glob), re.IGNORECASE), rule) for rule in rules if isinstance(rule, KeyRule)
        ]
        self._secret = secret
        self._known_keys: dict[str, KeyRule | None] = {}

    def key_rule(self, key: str) -> KeyRule | None:
        """Return the first rule that takes an attribute of this name."""
        if not self._keys:
            return None
        known = self._known_keys
        if key not in known:
            if len(known) > _MAX_REMEMBERED:  # keys are few, but a sender may make them up
                known.clear()
            known[key] = next((rule for pattern, rule in self._keys if pattern.match(key)), None)
        return known[key]

    def token(self, action: Action, label: str, value: str) -> str:
        """Return what takes the place of a value."""
        if action is Action.DROP:
            return ""
        if action is Action.MASK:
            return f"[redacted:{label}]"
        digest = hmac.new(self._secret, value.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
        return f"[hashed:{label}:{digest[:16]}]"

    def may_change(self, text: str) -> bool:
        """Say quickly that a text needs no closer look; a key rule may take a key within any JSON."""
        return bool(self._keys) or any(rule.finder.may_hold(text) for rule in self._content)

    def pass_over(self) -> "Pass":
        """Return a memory for the texts of one request."""
        return Pass(self)

    def replace(self, text: str, visible: Callable[[str], str] = str) -> tuple[str, list[Hit]]:
        """Blank one plain text; `visible` is the text that is searched, character for character as long.

        The hits are in the order in which they were found; their offsets are those of the round that found them.
        """
        hits: list[Hit] = []
        for rule in self._content:
            for _ in range(_MAX_ROUNDS):
                found = rule.finder.find(visible(text))
                if not found:
                    break
                tokens = [match.span() for match in _TOKEN.finditer(text)] if "[" in text else []
                pieces: list[str] = []
                end = 0
                for find in found:
                    if find.start < end or any(start < find.end and find.start < stop for start, stop in tokens):
                        continue
                    replacement = self.token(rule.action, find.label, text[find.start : find.end])
                    pieces += (text[end : find.start], replacement)
                    hits.append(Hit(find.start, find.end, rule.name, text[find.start : find.end], replacement))
                    end = find.end
                if not pieces:
                    break
                text = "".join(pieces) + text[end:]
        return text, hits


class Pass:
    """Applies a redactor to the texts of one request, and remembers them; `redact` answers a text and its rules."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._known: dict[str, tuple[str, tuple[str, ...]]] = {}

    def redact(self, text: str) -> tuple[str, tuple[str, ...]]:
        """Return a text blanked, and the names of the rules that changed it; JSON stays JSON."""
        known = self._known.get(text)
        if known is not None:
            return known
        rules: dict[str, None] = {}
        result = self._text(text, rules, 0)
        answer = (result, tuple(rules))
        if len(text) <= _MAX_REMEMBERED_CHARACTERS and len(self._known) < _MAX_REMEMBERED:
            self._known[text] = answer
        return answer

    def _text(self, text: str, rules: dict[str, None], depth: int) -> str:
        if text[:1] in ("[", "{") and depth < _MAX_NESTING:
            if not self._redactor.may_change(text):
                return text
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):  # cut in the middle, or only looks like JSON
                return self._plain(text, rules, lambda shown: _ESCAPE.sub(lambda match: " " * len(match[0]), shown))
            if not isinstance(value, (list, dict)):
                return self._plain(text, rules)
            changed: dict[str, None] = {}
            try:
                walked = self._walk(value, changed, depth + 1)
            except RecursionError:  # nested deeper than anything but an attack: it is searched as it stands
                return self._plain(text, rules)
            rules |= changed
            return to_json(walked) if changed else text
        return self._plain(text, rules)

    def _plain(self, text: str, rules: dict[str, None], visible: Callable[[str], str] = str) -> str:
        result, hits = self._redactor.replace(text, visible)
        for hit in hits:
            rules[hit.rule] = None
        return result

    def _leaf(self, text: str, rules: dict[str, None], depth: int) -> str:
        known = self._known.get(text)
        if known is None:
            own: dict[str, None] = {}
            known = (self._text(text, own, depth), tuple(own))
            if len(text) <= _MAX_REMEMBERED_CHARACTERS and len(self._known) < _MAX_REMEMBERED:
                self._known[text] = known
        for rule in known[1]:
            rules[rule] = None
        return known[0]

    def _walk(self, value: Any, rules: dict[str, None], depth: int) -> Any:
        if isinstance(value, str):
            return self._leaf(value, rules, depth)
        if isinstance(value, list):
            return [self._walk(item, rules, depth) for item in value]
        if isinstance(value, dict):
            return self._object(value, rules, depth)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            text = repr(value)
            # A card number that was sent as a number; it becomes a text.
            new = self._leaf(text, rules, depth)
            return value if new == text else new
        return value

    def _object(self, value: dict[str, Any], rules: dict[str, None], depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in value.items():
            rule = self._redactor.key_rule(key)
            if rule is None:
                result[self._leaf(key, rules, depth)] = self._walk(item, rules, depth)
                continue
            whole = item if isinstance(item, str) else to_json(item)
            new = whole if _TOKEN.fullmatch(whole) else self._redactor.token(rule.action, label_of(key), whole)
            if new != whole or rule.action is Action.DROP:
                rules[rule.name] = None
            if rule.action is not Action.DROP:
                result[key] = new
        return result

    def attributes(self, values: dict[str, str]) -> tuple[dict[str, str], tuple[str, ...], dict[str, "KeyRule"]]:
        """Return an attribute map blanked, the rules that changed it, and the keys that a key rule took.

        The same map comes back where nothing changed.
        """
        redactor = self._redactor
        rules: dict[str, None] = {}
        taken: dict[str, KeyRule] = {}
        result: dict[str, str] | None = None
        for key, value in values.items():
            rule = redactor.key_rule(key)
            if rule is not None:
                if rule.action is not Action.DROP and _TOKEN.fullmatch(value):
                    continue
                taken[key] = rule
                rules[rule.name] = None
                result = dict(values) if result is None else result
                if rule.action is Action.DROP:
                    del result[key]
                else:
                    result[key] = redactor.token(rule.action, label_of(key), value)
                continue
            new, changed = self.redact(value)
            if changed:
                result = dict(values) if result is None else result
                result[key] = new
                rules.update(dict.fromkeys(changed))
        return (values if result is None else result), tuple(rules), taken


__all__ = ["Action", "ContentRule", "Find", "Hit", "KeyRule", "Pass", "Redactor", "label_of"]
