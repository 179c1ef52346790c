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
        "tokens.audio_input": (
            "gen_ai.usage.details.input_audio_tokens",
            "gen_ai.usage.details.audio_prompt_tokens",
        ),
        # OpenAI's `audio_tokens` of the completion keep their name, those of the prompt do not.
        "tokens.audio_output": (
            "gen_ai.usage.details.output_audio_tokens",
            "gen_ai.usage.details.audio_candidates_tokens",
            "gen_ai.usage.details.audio_tokens",
        ),
        "tokens.image_input": ("gen_ai.usage.details.image_prompt_tokens",),
        "tokens.image_output": ("gen_ai.usage.details.image_candidates_tokens",),
        "tokens.video_input": ("gen_ai.usage.details.video_prompt_tokens",),
        "tokens.text_input": ("gen_ai.usage.details.text_prompt_tokens",),
        "tokens.text_output": ("gen_ai.usage.details.text_candidates_tokens",),
        "tools": ("model_request_parameters",),
        "reported_cost": ("operation.cost",),
        "input_messages": ("pydantic_ai.all_messages", "all_messages_events"),
        "input": ("tool_arguments",),
        "output": ("pydantic_ai.final_result", "final_result", "tool_response"),
    },
)
