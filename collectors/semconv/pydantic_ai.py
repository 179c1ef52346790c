"""Pydantic AI and Logfire: usage details by provider field, whole conversations on the agent's span.

https://ai.pydantic.dev/logfire/
"""

from collectors.semconv.table import Dialect

DIALECT = Dialect(
    name="pydantic_ai",
    fields={
        "cache_read_tokens": (
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.details.cache_read_input_tokens",
            "gen_ai.usage.details.cached_tokens",
        ),
        "cache_write_tokens": (
            "gen_ai.usage.details.cache_write_tokens",
            "gen_ai.usage.details.cache_creation_input_tokens",
        ),
        "reasoning_tokens": ("gen_ai.usage.details.reasoning_tokens",),
        "reported_cost": ("operation.cost",),
        "input_messages": ("pydantic_ai.all_messages", "all_messages_events"),
        "input": ("tool_arguments",),
        "output": ("pydantic_ai.final_result", "final_result", "tool_response"),
    },
)
