"""The state machine: a table of what people expect, and what must hold whatever comes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.alerts.models import Silence
from heliograph.alerts.state import NoData, Policy, Standing, State, Verdict, advance, step

# Verdicts of one minute each: ! breach, . clear, ? no value. States: o p f r n.
LETTERS = {State.OK: "o", State.PENDING: "p", State.FIRING: "f", State.RESOLVED: "r", State.NO_DATA: "n"}
BREACH = {"!": True, ".": False, "?": None}


def run(verdicts: str, policy: Policy) -> tuple[str, Standing]:
    given = [Verdict(minute, BREACH[each]) for minute, each in enumerate(verdicts)]
    found = [standing for standing, _ in advance(Standing(), given, policy)]
    return "".join(LETTERS[standing.state] for standing in found), found[-1]


@pytest.mark.parametrize(
    ("verdicts", "states", "policy"),
    [
        ("..!!..", "ooffrr", Policy()),
        ("..!!!!..", "oopppfrr", Policy(hold=3)),
        ("!!.!!.", "ppoppo", Policy(hold=3)),  # a clear moment begins the count again
        ("!..!...", "fffffff", Policy(recover=4)),  # and so does a breach on the way out
        ("!....", "ffffr", Policy(recover=3)),
        ("!?!?!", "ppppf", Policy(hold=4)),  # a gap neither breaks nor ends what was going on
        ("???.!", "oonof", Policy(patience=2)),
        ("!???.", "fffnr", Policy(patience=2)),  # kept open without data, and ended by the first good value
        ("!???!", "fffnf", Policy(patience=2)),
        ("!????.", "fffrno", Policy(patience=2, no_data=NoData.RESOLVE)),
        (".???..", "ooofrr", Policy(patience=2, no_data=NoData.FIRE)),
        (".???!", "oooop", Policy(hold=5, patience=9)),
    ],
)
def test_it_moves_as_people_expect(verdicts: str, states: str, policy: Policy) -> None:
    assert run(verdicts, policy)[0] == states


def test_an_alert_that_ended_is_shown_for_an_hour_and_may_fire_again() -> None:
    states, _ = run("!" + "." * 62 + "!", Policy())
    assert states == "f" + "r" * 60 + "oo" + "f"


policies = st.builds(
    Policy,
    hold=st.integers(0, 5),
    recover=st.integers(0, 5),
    patience=st.integers(0, 5),
    no_data=st.sampled_from(NoData),
)
stories = st.text("!.?", max_size=60)


@given(stories, policies)
def test_nothing_fires_that_did_not_breach_for_so_long(story: str, policy: Policy) -> None:
    standing = Standing()
    for minute, each in enumerate(story):
        before, standing = standing, step(standing, Verdict(minute, BREACH[each]), policy)
        if standing.is_open and not before.is_open:
            lately = story[max(0, minute - policy.hold) : minute + 1]
            by_breach = each == "!" and "." not in lately and len(lately) == policy.hold + 1
            assert by_breach or (each == "?" and policy.no_data == NoData.FIRE)


@given(stories, policies)
def test_open_alerts_fire_or_lack_data_and_others_do_not_fire(story: str, policy: Policy) -> None:
    for standing, verdict in advance(Standing(), [Verdict(n, BREACH[each]) for n, each in enumerate(story)], policy):
        assert (standing.state == State.FIRING) <= standing.is_open
        assert standing.is_open <= (standing.state in (State.FIRING, State.NO_DATA))
        assert standing.since <= verdict.at
        if verdict.breach is False and policy.recover == 0:
            assert not standing.is_open


@given(stories, policies, st.integers(0, 60))
def test_it_does_not_matter_in_how_many_evaluations_the_verdicts_come(story: str, policy: Policy, cut: int) -> None:
    verdicts = [Verdict(minute, BREACH[each]) for minute, each in enumerate(story)]
    whole = [standing for standing, _ in advance(Standing(), verdicts, policy)]
    first = [standing for standing, _ in advance(Standing(), verdicts[:cut], policy)]
    rest = [standing for standing, _ in advance(first[-1] if first else Standing(), verdicts[cut:], policy)]
    assert whole == first + rest


def test_a_maintenance_window_silences_the_same_hours_of_each_week() -> None:
    begins = datetime(2026, 3, 2, 22, tzinfo=UTC)
    window = Silence(starts_at=begins, ends_at=begins + timedelta(hours=4), is_weekly=True)
    for week in (0, 1, 30):
        at = begins + timedelta(weeks=week)
        assert [window.is_active(at + timedelta(hours=hours)) for hours in (-1, 0, 3, 4, 30)] == [
            *(False, True, True, False, False)
        ]
    once = Silence(starts_at=begins, ends_at=begins + timedelta(hours=4))
    assert [once.is_active(begins + timedelta(weeks=week)) for week in (0, 1)] == [True, False]
