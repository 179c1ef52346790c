"""Whether the clocks of GPU hosts agree with the server's: a trace is joined to its GPUs by time.

- `agent_clocks(project_id, range, *, hosts=()) -> list[AgentClock]`

A reading carries the time at which the agent took it, and the store keeps when it came. One that came before it was
taken is from a clock that is ahead; where even the quickest of many came seconds late, the clock is behind, or somebody
on the way holds readings back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from heliograph.clickhouse import client
from heliograph.query.filters import TimeRange, put

# An engine's spans and its GPU's readings are a second apart at most, or counters of another moment are shown.
WARN_S = 1.0
# What came later than this was kept back by a sender that was offline, or is history: no clock is told from it.
LATEST_S = 300.0
# Readings of this long are enough for a minimum, and a fleet's are some million.
LONGEST = timedelta(minutes=15)
MAX_HOSTS = 1_000

CLOCKS = """
SELECT host, count() AS readings, max(-lag) AS ahead_s, min(lag) AS lag_s
FROM (
    SELECT host,
        (toUnixTimestamp64Micro(received_at) - toUnixTimestamp64Micro(toDateTime64(time, 6, 'UTC'))) / 1e6 AS lag
    FROM metric_points
    WHERE project_id = %(project_id)s AND metric IN ('hw.energy', 'hw.gpu.utilization') AND gpu_uuid != ''
        AND time >= fromUnixTimestamp64Nano(%(start_ns)s, 'UTC') AND time < fromUnixTimestamp64Nano(%(end_ns)s, 'UTC')
        AND {hosts}
)
GROUP BY host
ORDER BY greatest(ahead_s, if(lag_s <= %(latest)s, lag_s, 0)) DESC, host
LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentClock:
    """One host's GPU agent. `ahead_s` is by how much its clock is ahead at least; negative where it is not.

    `lag_s` is how long after its time the quickest of the readings came.
    """

    host: str
    readings: int
    ahead_s: float
    lag_s: float

    @property
    def warning(self) -> str:
        """What is wrong in a sentence, '' for nothing."""
        who = self.host or "a host without a name"
        if self.ahead_s > WARN_S:
            return (
                f"The clock of {who} is ahead of the server's by {self.ahead_s:.1f} s at least: its GPU readings may "
                "be of another moment than the spans."
            )
        if WARN_S < self.lag_s <= LATEST_S:
            return (
                f"The readings of {who} came {self.lag_s:.1f} s after their time at least: its clock is behind the "
                "server's, or something on the way holds them back."
            )
        return ""


def agent_clocks(project_id: int, span: TimeRange, *, hosts: Sequence[str] = ()) -> list[AgentClock]:
    """Return the clocks of the hosts whose GPUs were read in the last LONGEST of the range, the worst first."""
    start = max(span.start, span.end - LONGEST)
    parameters = {
        "start_ns": TimeRange(start, span.end).start_ns,
        "end_ns": span.end_ns,
        "hosts": list(hosts[:MAX_HOSTS]),
        "latest": LATEST_S,
        "limit": MAX_HOSTS,
    }
    sql = put(CLOCKS, hosts="host IN %(hosts)s" if hosts else "1")
    return [AgentClock(**row) for row in client.query(project_id, sql, parameters, tag="agent_clocks")]
