"""LiveKit Agents: `lk.*` beside OpenTelemetry's keys.

https://docs.livekit.io/agents/observability/data/
"""

from collectors.semconv.table import Dialect

DIALECT = Dialect(
    name="livekit",
    fields={
        "session_id": ("lk.room_name",),
        "tool_name": ("lk.function_tool.name",),
        "input": ("lk.chat_ctx", "lk.user_input", "lk.input_text", "lk.function_tool.arguments"),
        "output": ("lk.response.text", "lk.function_tool.output", "lk.user_transcript"),
    },
)
