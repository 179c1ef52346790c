"""The rules of a project, ready to be applied, remembered for some seconds."""

import logging
import threading
import time
from dataclasses import dataclass

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils.crypto import salted_hmac

from heliograph.rules.finders import UnusableRuleError
from heliograph.rules.head import HeadRule
from heliograph.rules.models import DiskState, RedactionRule, RetentionRule, SamplingRule, finder_of
from heliograph.rules.redaction import Action, ContentRule, KeyRule, Redactor
from heliograph.rules.retention import AS_THE_PROJECT, Retention

log = logging.getLogger(__name__)

# A changed rule works after so long at most, as a revoked key does.
CACHE_SECONDS = 10.0
# Where the database does not answer, rules of this age are better than none; after that nothing is stored without.
STALE_SECONDS = 600.0
_MAX_PROJECTS = 10_000


class RulesUnknownError(Exception):
    """The rules cannot be read, so nothing may be stored: it might hold what a rule would have blanked."""


@dataclass(frozen=True, slots=True)
class ProjectRules:
    """What is done with a project's telemetry before it is stored; falsy where that is nothing."""

    redactor: Redactor | None
    head: tuple[HeadRule, ...]
    # Whether whole traces are sampled too: what comes late for a removed one is left out.
    has_tail: bool = False
    # No part of the truth value: it leaves nothing out and blanks nothing.
    retention: Retention = AS_THE_PROJECT

    def __bool__(self) -> bool:
        return self.redactor is not None or bool(self.head) or self.has_tail


NO_RULES = ProjectRules(None, ())
_lock = threading.Lock()
_known: dict[int, tuple[float, ProjectRules]] = {}


def rules_of(project_id: int) -> ProjectRules:
    """Return a project's rules. Raises RulesUnknownError where the database does not answer. For threads of ingest."""
    now = time.monotonic()
    known = _known.get(project_id)
    if known is not None and known[0] + CACHE_SECONDS > now:
        return known[1]
    try:
        close_old_connections()
        try:
            rules = read_rules(project_id)
        finally:
            close_old_connections()
    except DatabaseError as error:
        if known is not None and known[0] + STALE_SECONDS > now:
            return known[1]
        raise RulesUnknownError("The project's rules cannot be read now: the database does not answer.") from error
    with _lock:
        if len(_known) >= _MAX_PROJECTS:
            _known.clear()
        _known[project_id] = (now, rules)
    return rules


def forget() -> None:
    """Read every project's rules afresh."""
    with _lock:
        _known.clear()


def read_rules(project_id: int) -> ProjectRules:
    """Return a project's enabled rules as the database has them."""
    redaction = list(RedactionRule.objects.filter(project=project_id, enabled=True))
    sampling = list(SamplingRule.objects.filter(project=project_id, enabled=True))
    head = tuple(
        HeadRule(rule.service, rule.environment, rule.rate)
        for rule in sampling
        if rule.stage == SamplingRule.Stage.HEAD
    )
    # Behind the project's own, which say what is worth most: of what none of them speaks of, a share is kept.
    guard = _disk_rule()
    head += guard
    retention = read_retention(project_id)
    if not redaction and not head and not sampling and retention is AS_THE_PROJECT:
        return NO_RULES
    redactor = redactor_of(project_id, redaction) if redaction else None
    return ProjectRules(redactor, head, has_tail=len(head) - len(guard) < len(sampling), retention=retention)


def _disk_rule() -> tuple[HeadRule, ...]:
    """Return the rule that holds for everybody while the disk is filling (see `heliograph.disk`)."""
    if not settings.DISK_SAMPLE_PERCENT or not DiskState.objects.filter(level__in=DiskState.SAMPLED).exists():
        return ()
    return (HeadRule("", "", settings.DISK_SAMPLE_RATE_PERCENT / 100),)


def read_retention(project_id: int) -> Retention:
    """Return for how long a project's telemetry is kept where it is not as long as the project says."""
    found: dict[str, dict[str, int]] = {}
    for rule in RetentionRule.objects.filter(project=project_id):
        found.setdefault(rule.signal, {})[rule.environment] = rule.days
    return Retention(found) if found else AS_THE_PROJECT


def redactor_of(project_id: int, rules: list[RedactionRule]) -> Redactor:
    """Return a redactor of these rules, in their order.

    Raises UnusableRuleError for one that an older version took: then nothing is stored rather than too much.
    """
    compiled: list[ContentRule | KeyRule] = []
    for rule in rules:
        action = Action(rule.action)
        finder = finder_of(rule)
        if finder is None:
            compiled.append(KeyRule(rule.name, rule.pattern.strip(), action))
        else:
            compiled.append(ContentRule(rule.name, finder, action))
    secret = salted_hmac("heliograph.redaction", str(project_id), algorithm="sha256").digest()
    return Redactor(compiled, secret)


__all__ = ["NO_RULES", "ProjectRules", "RulesUnknownError", "UnusableRuleError", "forget", "read_rules", "rules_of"]
