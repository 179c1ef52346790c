"""What a user's service imports: `init()` once, `@observe` where it helps, `score()` for feedback.

Depends on OpenTelemetry only. Nothing here raises into the caller's code once `init` has returned.
"""

from heliograph.sdk.observation import observe, session
from heliograph.sdk.scoring import score
from heliograph.sdk.setup import init

__all__ = ["init", "observe", "score", "session"]
