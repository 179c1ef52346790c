"""Changing a project's rules: every change is a new revision, checked as a whole, never an edit in place."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from django.db import IntegrityError, transaction

from collectors.semconv.rules import MAX_RULES, Rule, fault
from heliograph.accounts.models import Project, User
from heliograph.conventions.models import Ruleset, enabled_rules

# A neighbour's change at the same moment makes ours one revision later; more than this is no coincidence.
_TRIES = 5
NAMES = ("source", "field", "match", "conversion", "order")


class InvalidRule(ValueError):  # noqa: N818  (it is an answer to a person, not a failure)
    """A rule or a set of rules that cannot be; `field` names the part at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class UnknownRule(LookupError):  # noqa: N818  (see InvalidRule)
    """The project has no rule of this id."""


def rule_of(given: Mapping[str, Any]) -> Rule:
    """Return the rule that was asked for. Raises InvalidRule."""
    rule = Rule(
        source=str(given.get("source", "")).strip(),
        field=given.get("field", ""),
        match=given.get("match") or "exact",
        conversion=given.get("conversion", ""),
        order=given.get("order") or "before",
    )
    found = fault(rule)
    if found is not None:
        raise InvalidRule(*found)
    return rule


def rules_in_force(project: Project) -> list[dict[str, Any]]:
    """Return the project's rules as stored, the disabled ones too, in order."""
    latest = Ruleset.latest(project.pk)
    return list(latest.rules) if latest else []


def add_rule(project: Project, user: User | None, rule: Rule, *, enabled: bool = True) -> dict[str, Any]:
    """Append a rule. Raises InvalidRule for one too many, or a second one of the same key."""
    entry = {"id": uuid.uuid4().hex[:12], "enabled": enabled, **asdict(rule)}

    def change(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*rules, entry]

    _revise(project, user, change, f"added {_words(entry)}")
    return entry


def change_rule(
    project: Project, user: User | None, rule_id: str, rule: Rule | None = None, *, enabled: bool | None = None
) -> dict[str, Any]:
    """Replace a rule, or switch it on or off, in its place. Raises UnknownRule, InvalidRule."""
    entry = dict(get_rule(project, rule_id))
    if rule is not None:
        entry |= asdict(rule)
    if enabled is not None:
        entry["enabled"] = enabled

    def change(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not any(each["id"] == rule_id for each in rules):
            raise UnknownRule(rule_id)
        return [entry if each["id"] == rule_id else each for each in rules]

    said = "changed" if rule is not None else "enabled" if enabled else "disabled"
    _revise(project, user, change, f"{said} {_words(entry)}")
    return entry


def remove_rule(project: Project, user: User | None, rule_id: str) -> None:
    """Take a rule out; earlier revisions keep it. Raises UnknownRule."""
    entry = get_rule(project, rule_id)
    _revise(project, user, lambda rules: [each for each in rules if each["id"] != rule_id], f"removed {_words(entry)}")


def note_change(project: Project, user: User | None, words: str) -> None:
    """Make a revision of the same rules, where something else that decides what is stored has changed."""
    _revise(project, user, lambda rules: rules, words)


def drafted(project: Project, rule: Rule, rule_id: str = "") -> tuple[Rule, ...]:
    """Return the enabled rules as they would be with this one added, or in the place of the rule of that id.

    Nothing is stored. Raises UnknownRule, InvalidRule.
    """
    entry = {"id": rule_id, "enabled": True, **asdict(rule)}
    rules = rules_in_force(project)
    if not rule_id:
        rules.append(entry)
    elif any(each["id"] == rule_id for each in rules):
        rules = [entry if each["id"] == rule_id else each for each in rules]
    else:
        raise UnknownRule(rule_id)
    _check(rules)
    return enabled_rules(rules)


def get_rule(project: Project, rule_id: str) -> dict[str, Any]:
    """Return one rule in force. Raises UnknownRule."""
    for each in rules_in_force(project):
        if each["id"] == rule_id:
            return each
    raise UnknownRule(rule_id)


def _words(entry: Mapping[str, Any]) -> str:
    return f"{entry['source'][:200]}{'*' if entry['match'] == 'prefix' else ''} → {entry['field']}"


def _revise(
    project: Project,
    user: User | None,
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    words: str,
) -> Ruleset:
    for attempt in range(_TRIES):
        latest = Ruleset.latest(project.pk)
        rules = change(list(latest.rules) if latest else [])
        _check(rules)
        try:
            with transaction.atomic():
                return Ruleset.objects.create(
                    project=project,
                    revision=(latest.revision if latest else 0) + 1,
                    rules=rules,
                    change=words,
                    created_by=user,
                )
        except IntegrityError:  # somebody else's revision came first: on top of theirs
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("the loop returns or raises")


def _check(rules: list[dict[str, Any]]) -> None:
    if len(rules) > MAX_RULES:
        raise InvalidRule("source", f"A project has at most {MAX_RULES} rules. Remove one that is no longer used.")
    seen: set[tuple[str, str]] = set()
    for each in rules:
        key = (each["match"], each["source"])
        if key in seen:
            raise InvalidRule("source", f"There is a rule for {each['source']} already. Change that one instead.")
        seen.add(key)
