"""Where an alert stands, moved on by one verdict after another: the only place that decides what fires.

    ok ──breach──> pending ──for `hold`──> firing ──clear for `recover`──> resolved ──an hour──> ok
     no value for `patience` from any of them ──> no_data; the first value leads on from there

An alert is *open* from firing until it is resolved: people were to be told, and are to be told of the end. One that has
no data stays open unless the rule says otherwise. Times are minutes since the epoch. Reads nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

# For how long an alert that ended is shown as such.
RESOLVED_MINUTES = 60


class State(StrEnum):
    """The five states."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    NO_DATA = "no_data"


class NoData(StrEnum):
    """What a rule does when there is no value: keep an open alert open, end it, or fire."""

    KEEP = "keep"
    RESOLVE = "resolve"
    FIRE = "fire"


@dataclass(frozen=True, slots=True)
class Policy:
    """How many minutes it takes to fire (`hold`), to end (`recover`), to have no data (`patience`)."""

    hold: int = 0
    recover: int = 0
    patience: int = 10
    no_data: NoData = NoData.KEEP


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an alert stands since when, and since when its verdicts have been as they are."""

    state: State = State.OK
    since: int = 0
    is_open: bool = False
    breach_since: int | None = None
    clear_since: int | None = None
    silent_since: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one evaluation found at the end of a window: whether the condition holds, None where there is no value."""

    at: int
    breach: bool | None
    value: float | None = None
    reason: str = ""


def advance(standing: Standing, verdicts: Iterable[Verdict], policy: Policy) -> Iterator[tuple[Standing, Verdict]]:
    """Yield where the alert stands after each verdict; verdicts come in the order of time."""
    for verdict in verdicts:
        standing = step(standing, verdict, policy)
        yield standing, verdict


def step(standing: Standing, verdict: Verdict, policy: Policy) -> Standing:
    """Return where the alert stands after one verdict."""
    if verdict.breach is None:
        return _without_value(standing, verdict.at, policy)
    if verdict.breach:
        return _breached(standing, verdict.at, policy)
    return _cleared(standing, verdict.at, policy)


def _without_value(standing: Standing, at: int, policy: Policy) -> Standing:
    silent_since = standing.silent_since if standing.silent_since is not None else at
    # A gap neither breaks nor lengthens what was going on; it only grows into a state of its own.
    waiting = replace(standing, silent_since=silent_since)
    if at - silent_since < policy.patience:
        return waiting
    if policy.no_data == NoData.FIRE:
        return _to(waiting, State.FIRING, at, is_open=True, breach_since=None, clear_since=None)
    if policy.no_data == NoData.RESOLVE and standing.is_open:
        return _to(waiting, State.RESOLVED, at, is_open=False, breach_since=None, clear_since=None)
    return _to(waiting, State.NO_DATA, at, is_open=standing.is_open, breach_since=None, clear_since=None)


def _breached(standing: Standing, at: int, policy: Policy) -> Standing:
    breach_since = standing.breach_since if standing.breach_since is not None else at
    is_open = standing.is_open or at - breach_since >= policy.hold
    state = State.FIRING if is_open else State.PENDING
    return _to(standing, state, at, is_open=is_open, breach_since=breach_since, clear_since=None, silent_since=None)


def _cleared(standing: Standing, at: int, policy: Policy) -> Standing:
    if standing.is_open:
        clear_since = standing.clear_since if standing.clear_since is not None else at
        is_open = at - clear_since < policy.recover
        state = State.FIRING if is_open else State.RESOLVED
        kept = clear_since if is_open else None
        return _to(standing, state, at, is_open=is_open, breach_since=None, clear_since=kept, silent_since=None)
    is_recent = standing.state == State.RESOLVED and at - standing.since < RESOLVED_MINUTES
    state = State.RESOLVED if is_recent else State.OK
    return _to(standing, state, at, is_open=False, breach_since=None, clear_since=None, silent_since=None)


def _to(
    standing: Standing,
    state: State,
    at: int,
    *,
    is_open: bool,
    breach_since: int | None,
    clear_since: int | None,
    silent_since: int | None = -1,
) -> Standing:
    return Standing(
        state=state,
        since=standing.since if state == standing.state else at,
        is_open=is_open,
        breach_since=breach_since,
        clear_since=clear_since,
        silent_since=standing.silent_since if silent_since == -1 else silent_since,
    )
