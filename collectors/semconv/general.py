"""Keys that belong to no GenAI convention: OpenTelemetry's general ones and bare names that several libraries share."""

from collectors.semconv.convert import first_label
from collectors.semconv.table import Dialect, Source

DIALECT = Dialect(
    name="",
    fields={
        "session_id": ("session.id", "conversation.id", "thread_id", "session_id"),
        "user_id": ("user.id", "enduser.id", "enduser.pseudo.id", "user_id", "customer_id"),
        # Bare names make no GenAI span, but complete one.
        "model_name": ("model",),
        "input": ("input", "inputs", "raw_input", "prompt"),
        "output": ("output", "outputs", "completion"),
        "tags": ("tags",),
        # The arguments of a call under the names of its API, as MLflow's autologging writes them.
        "request.temperature": ("temperature",),
        "request.top_p": ("top_p",),
        "request.top_k": ("top_k",),
        "request.max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens"),
        "request.stop_sequences": ("stop", "stop_sequences"),
        "request.seed": ("seed",),
        "request.frequency_penalty": ("frequency_penalty",),
        "request.presence_penalty": ("presence_penalty",),
        "request.choice_count": ("n",),
        "request.stream": ("stream",),
        "request.response_format": ("response_format",),
        "request.tool_choice": ("tool_choice",),
        "request.reasoning_effort": ("reasoning_effort",),
        "request.service_tier": ("service_tier",),
        "request.encoding_formats": ("encoding_format",),
        "request.dimensions": ("dimensions",),
        "response.system_fingerprint": ("system_fingerprint",),
        "tools": ("tools",),
        "error_type": ("error.type", "exception.type"),
        "error_message": ("error.message", "exception.message"),
        # No convention has a key for a LoRA; LoRAX names it in its request and in a header of its answer.
        "adapter": (
            "lora.adapter",
            "lora.adapter_id",
            "adapter_id",
            Source("http.response.header.x-adapter-id", first_label),
            "x-adapter-id",
        ),
        "gpu_uuids": ("gpu.uuids", "gpu.uuid", "hw.id"),
        "server_address": ("server.address", "net.peer.name"),
        "server_port": ("server.port", "net.peer.port"),
        "environment": ("deployment.environment.name", "deployment.environment"),
        "release": ("service.version",),
    },
)
