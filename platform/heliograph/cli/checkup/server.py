"""The server that commands ask: reached, the key known, the clocks equal."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import httpx

from heliograph.cli.checkup.finding import Finding
from heliograph.cli.frame.profile import Profile

TIMEOUT_S = 5.0
# The Date header is whole seconds; the server's pages name hosts whose clocks differ by more than a second.
_CLOCK_S = 2.0


def server(profile: Profile) -> Iterator[Finding]:
    """Reach it and ask for one trace."""
    headers = {"x-api-key": profile.key} if profile.key else {}
    before = time.time()
    try:
        answer = httpx.get(f"{profile.url}/api/v1/traces", params={"limit": 1}, headers=headers, timeout=TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        mend = "Start it (heliograph up), or name another: --url, HELIOGRAPH_URL, heliograph profile set."
        yield Finding("server", "failure", f"{profile.url} cannot be reached: {error or type(error).__name__}", mend)
        return
    yield from _said(profile, answer)
    yield from _clock(answer, before, time.time())


def _said(profile: Profile, answer: httpx.Response) -> Iterator[Finding]:
    if answer.status_code == 200 and "items" in answer.text:
        yield Finding("server", "ok", f"{profile.url} answers and knows the key")
    elif answer.status_code == 401:
        what = "does not know the key" if profile.key else "wants a key"
        mend = "Make one under Settings, or with heliograph keys create, and give it as HELIOGRAPH_API_KEY."
        yield Finding("key", "failure", f"{profile.url} {what}", mend)
    elif answer.status_code in {500, 503}:
        yield Finding(
            "server", "failure", f"{profile.url} answers {answer.status_code}", "Its store may be away; see its log."
        )
    else:
        mend = "Is it Heliograph's web address (port 8000 by default), not the collector's or a proxy's?"
        yield Finding("server", "failure", f"{profile.url} answers {answer.status_code}", mend)


def _clock(answer: httpx.Response, before: float, after: float) -> Iterator[Finding]:
    """Compare the header `Date` with this machine's time while the question was under way."""
    try:
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        yield Finding("clock", "skipped", "the server tells no time")
        return
    # A whole second was cut off; any time between asking and hearing is right.
    ahead = max(0.0, before - (theirs + 1), theirs - after)
    if ahead > _CLOCK_S:
        mend = "Spans would stand at the wrong time: run chrony or systemd-timesyncd on both machines."
        yield Finding("clock", "failure", f"{ahead:.0f} s between this clock and the server's", mend)
    else:
        yield Finding("clock", "ok", "this clock and the server's agree")
