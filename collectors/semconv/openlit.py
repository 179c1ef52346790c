"""OpenLIT: OpenTelemetry's keys and its own for costs, token details, tools and environments.

https://github.com/openlit/openlit/blob/main/sdk/python/src/openlit/semcov/__init__.py
"""

from collectors.semconv.table import Dialect

DIALECT = Dialect(
    name="openlit",
    fields={
        "reported_cost": ("gen_ai.usage.cost", "gen_ai.token.cost.total"),
        "reported_input_cost": ("gen_ai.usage.input_cost", "gen_ai.token.cost.input"),
        "reported_output_cost": ("gen_ai.usage.output_cost", "gen_ai.token.cost.output"),
        "cache_read_tokens": (
            "gen_ai.usage.prompt_tokens_details.cached_tokens",
            "gen_ai.usage.input_cached_tokens",
        ),
        "cache_write_tokens": (
            "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
            "gen_ai.usage.input_cache_creation",
        ),
        "reasoning_tokens": (
            "gen_ai.usage.completion_tokens_details.reasoning_tokens",
            "gen_ai.usage.output_reasoning_tokens",
        ),
        "tokens.audio_input": ("gen_ai.usage.prompt_tokens_details.audio_tokens",),
        "tokens.audio_output": ("gen_ai.usage.completion_tokens_details.audio_tokens",),
        "output_reasoning": ("gen_ai.content.reasoning",),
        "environment": ("gen_ai.environment",),
        "user_id": ("gen_ai.request.user", "gen_ai.user.id", "gen_ai.user"),
        "session_id": ("gen_ai.session.id", "gen_ai.agent.session_id"),
        "input": ("gen_ai.tool.input", "gen_ai.tool.args", "gen_ai.tool.parameters", "gen_ai.task.input"),
        "output": ("gen_ai.tool.output", "gen_ai.tool.result", "gen_ai.task.output"),
        "error_message": ("gen_ai.execution.error",),
    },
)
