"""Records what the real libraries send: `python -m tests.collectors.recording [sender ...]`, from the project's root.

Each sender is a small program of its library (see the files beside this one) that runs in an environment of its own,
made below RECORDER_HOME (default: the temporary folder) with the versions named here, and talks to local stubs of
OpenAI's, Anthropic's and Gemini's API. A local receiver keeps the OTLP bodies that it gets, joined, as
`recorded/<sender>.<signal>.bin.gz`. What is particular to the machine is taken out of them. Run it again after a
library's upgrade, then read what the tests say.
"""

import gzip
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.otlp import json_wire
from tests.collectors.record import RECORDED, ROOT, receiver
from tests.stubs.agents_stub import agents_stub
from tests.stubs.anthropic_stub import anthropic_stub
from tests.stubs.openai_stub import openai_stub

HERE = Path(__file__).parent
HOME = Path(os.environ.get("RECORDER_HOME", Path(tempfile.gettempdir()) / "recorders"))
# A program makes a dozen calls; the first start of a large library takes most of this.
PROGRAM_SECONDS = 180
MAX_RECORDED_BYTES = 60_000
_OTEL = ("opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp-proto-http==1.45.2")
_ANTHROPIC = (
    "anthropic==2.12.0",
    "opentelemetry-instrumentation-anthropic==0.62.4",
    "openinference-instrumentation-anthropic==3.1.0",
    *_OTEL,
)
_LANGCHAIN = (
    "langchain==1.4.7",
    "langchain-openai==1.7.3",
    "langgraph==1.2.22",
    "numpy==2.4.6",
    "openinference-instrumentation-langchain==0.1.80",
    "opentelemetry-instrumentation-langchain==0.62.4",
    *_OTEL,
)
_VERCEL = (
    "ai@6.0.326",
    "@ai-sdk/openai@3.0.141",
    "@opentelemetry/sdk-trace-node@2.12.0",
    "@opentelemetry/exporter-trace-otlp-proto@0.223.1",
    "@opentelemetry/resources@2.12.1",
    "zod@4.6.7",
)
# The first is the program itself of the package of that name, which only copies it into place.
_CLAUDE_CODE = ("@anthropic-ai/claude-code-linux-x64@2.1.332",)
_CODEX = ("@openai/codex@0.171.0",)
_GEMINI_CLI = ("@google/gemini-cli@0.61.0",)
_REQUESTS: dict[str, Callable[[], Message]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}


@dataclass(frozen=True, slots=True)
class Sender:
    """One program: what it is run as, in which environment, with which packages and variables."""

    command: tuple[str, ...]
    environment: str
    packages: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    # Packages that are installed without what they ask for, which is then named above.
    without_requirements: tuple[str, ...] = ()


def _python(environment: str, script: str, *packages: str, variables: dict[str, str] | None = None) -> Sender:
    return Sender(tuple(script.split()), environment, packages, variables or {})


SENDERS: dict[str, Sender] = {
    "anthropic_traceloop": _python("anthropic", "anthropic_sdk.py traceloop", *_ANTHROPIC),
    "anthropic_openinference": _python("anthropic", "anthropic_sdk.py openinference", *_ANTHROPIC),
    "langchain_openinference": _python("langchain", "langchain_app.py openinference", *_LANGCHAIN),
    "langchain_traceloop": _python("langchain", "langchain_app.py traceloop", *_LANGCHAIN),
    "langsmith": _python(
        "langsmith",
        "langsmith_app.py",
        "langsmith[otel]==0.15.0",
        "openai==3.54.0",
        *_OTEL,
        variables={"LANGSMITH_TRACING": "true", "LANGSMITH_OTEL_ENABLED": "true", "LANGSMITH_OTEL_ONLY": "true"},
    ),
    "llama_index": _python(
        "llamaindex",
        "llama_index_app.py",
        "llama-index-core==0.14.25",
        "llama-index-llms-openai==0.8.3",
        "llama-index-embeddings-openai==0.7.0",
        "openinference-instrumentation-llama-index==4.6.1",
        *_OTEL,
    ),
    "litellm": _python(
        "litellm",
        "litellm_app.py",
        "litellm==1.106.2",
        "mcp==2.3.0",
        "fastapi==0.165.0",
        *_OTEL,
        variables={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    ),
    "pydantic_ai": _python("pydantic_ai", "pydantic_ai_app.py", "pydantic-ai-slim[openai]==2.68.0", *_OTEL),
    "smolagents": _python(
        "smolagents",
        "smolagents_app.py",
        "smolagents[openai]==1.26.0",
        "openinference-instrumentation-smolagents==0.1.43",
        *_OTEL,
    ),
    "traceloop": Sender(
        ("traceloop_app.py",),
        "traceloop",
        (
            "openai==2.54.0",
            "opentelemetry-sdk==1.45.1",
            "opentelemetry-exporter-otlp-proto-http==1.45.1",
            "opentelemetry-exporter-otlp-proto-grpc==1.45.1",
            "opentelemetry-instrumentation-logging==0.66b1",
            "opentelemetry-instrumentation-threading==0.66b1",
            "opentelemetry-instrumentation-openai==0.62.4",
            *("colorama==0.4.6", "tenacity==9.2.1", "pydantic==2.14.4", "jinja2==3.1.6", "deprecated==1.3.1"),
            *("cuid==0.4", "aiohttp==3.14.5"),
        ),
        # pip found no versions of all the libraries' instrumentations that it asks for, of which OpenAI's runs here.
        without_requirements=("traceloop-sdk==0.62.4",),
    ),
    "openlit": Sender(
        ("openlit_app.py",),
        "openlit",
        (
            "openai==2.54.0",
            "opentelemetry-instrumentation==0.66b2",
            "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
            *_OTEL,
            *("pydantic==2.14.3", "requests==2.34.2", "schedule==1.2.2", "xmltodict==1.0.4"),
        ),
        # pip found no versions of all the web frameworks' instrumentations that it asks for, none of which runs here.
        without_requirements=("openlit==1.45.0",),
    ),
    "langfuse": _python("langfuse", "langfuse_app.py", "langfuse==5.0.4", "openai==3.54.0"),
    "mlflow": _python(
        "mlflow",
        "mlflow_app.py",
        "mlflow-tracing==3.17.2",
        "pyyaml==6.0.3",
        "sqlparse==0.6.1",
        "openai==3.54.0",
        *_OTEL,
        variables={
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "{otlp}/v1/traces",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            "OTEL_SERVICE_NAME": "recorder",
        },
    ),
    "vercel_ai": _python("npm", "vercel_app.mjs", *_VERCEL),
    "claude_code": _python("npm-claude-code", "coding_agent.mjs claude_code", *_CLAUDE_CODE),
    "claude_code_traces": _python("npm-claude-code", "coding_agent.mjs claude_code traces", *_CLAUDE_CODE),
    "codex": _python("npm-codex", "coding_agent.mjs codex", *_CODEX),
    "codex_traces": _python("npm-codex", "coding_agent.mjs codex traces", *_CODEX),
    "gemini_cli": _python("npm-gemini-cli", "coding_agent.mjs gemini_cli", *_GEMINI_CLI),
    "gemini_cli_traces": _python("npm-gemini-cli", "coding_agent.mjs gemini_cli traces", *_GEMINI_CLI),
}


def _is_node(sender: Sender) -> bool:
    return sender.environment.startswith("npm")


def make_environment(sender: Sender) -> Path:
    """Make the sender's environment, or bring it to the versions named; answer its interpreter."""
    folder = HOME / sender.environment
    is_node = _is_node(sender)
    interpreter = Path("node") if is_node else folder / "bin" / "python"
    # Says what is installed, so that a program can be tried again without asking a registry.
    installed = folder / "recorded-with.txt"
    wanted = "\n".join((*sender.packages, *sender.without_requirements))
    if installed.exists() and installed.read_text() == wanted:
        return interpreter
    if is_node:
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", *sender.packages], cwd=folder, check=True)
    else:
        if not interpreter.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [interpreter, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *sender.packages], check=True)
        if sender.without_requirements:
            subprocess.run([*pip, "--no-deps", *sender.without_requirements], check=True)
    installed.write_text(wanted)
    return interpreter


def record(name: str) -> None:
    """Run a sender's program and keep what it sent. Raises where it failed, sent nothing or too much."""
    sender = SENDERS[name]
    interpreter = make_environment(sender)
    script, *arguments = sender.command
    path = HERE / script
    if _is_node(sender):
        # Node looks for packages above the file, so it goes where they are.
        path = HOME / sender.environment / script
        path.write_text((HERE / script).read_text())
    with (
        openai_stub() as openai,
        anthropic_stub() as anthropic,
        agents_stub() as agents,
        receiver() as (otlp, bodies),
    ):
        variables = {
            "RECORDER_OTLP": otlp,
            "RECORDER_OPENAI": openai,
            "RECORDER_ANTHROPIC": anthropic,
            "RECORDER_AGENTS": agents,
            **{key: value.format(otlp=otlp) for key, value in sender.variables.items()},
        }
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(
                [interpreter, path, *arguments],
                check=True,
                cwd=folder,
                env={**os.environ, **variables},
                timeout=PROGRAM_SECONDS,
            )
    if not bodies.keys() & {"traces", "logs"}:
        raise SystemExit(f"{name} sent neither spans nor log records")
    for signal, make in _REQUESTS.items():
        if signal not in bodies:
            continue
        message = make()
        for body in bodies[signal]:
            # No request of OTLP's has a field whose tag is this byte.
            if body.startswith(b"{"):
                sent = make()
                json_wire.parse(body, sent)
                message.MergeFrom(sent)
            else:
                message.MergeFromString(body)
        anonymize(message, [str(HOME / sender.environment), folder])
        # Without the time in its header, so that the same bodies make the same file.
        data = gzip.compress(message.SerializeToString(), mtime=0)
        if len(data) > MAX_RECORDED_BYTES:
            raise SystemExit(f"{name}.{signal} is {len(data)} bytes: make its program smaller")
        (RECORDED / f"{name}.{signal}.bin.gz").write_bytes(data)
        print(f"{name}.{signal}: {len(bodies[signal])} bodies, {len(data)} bytes")  # noqa: T201  (a script's output)


def anonymize(message: Message, folders: list[str]) -> None:
    """Replace in all texts below a message what names this machine: its folders, host, user and ports."""
    user = Path.home().name
    names = [(re.escape(folder), "/venv") for folder in folders]
    names += [(re.escape(str(ROOT)), "/app"), (re.escape(sys.prefix), "/venv"), (re.escape(sys.base_prefix), "/python")]
    names += [(rf"\b{re.escape(socket.gethostname())}\b", "alice"), (rf"/home/{re.escape(user)}\b", "/home/alice")]
    # The whole text alone: the user's name is a word, and Codex calls its first agent as root's home is called.
    names += [(rf"^{re.escape(user)}$", "alice"), (rf"^{re.escape(str(Path.home()))}$", "/alice")]
    names += [(re.escape(platform.release()), "6.1.0")]
    names += [(r"127\.0\.0\.1:\d+", "127.0.0.1:8000"), (r"File \"/usr/lib/[^\"]*/", 'File "/python/')]
    _each_text(message, lambda text: _replaced(text, names))


def _replaced(text: str, names: list[tuple[str, str]]) -> str:
    for pattern, instead in names:
        text = re.sub(pattern, instead, text)
    return text


def _each_text(message: Message, change: Callable[[str], str]) -> None:
    for descriptor, value in message.ListFields():
        if descriptor.type == descriptor.TYPE_MESSAGE:
            for each in value if descriptor.is_repeated else [value]:
                _each_text(each, change)
        elif descriptor.type == descriptor.TYPE_STRING:
            changed: Any = [change(each) for each in value] if descriptor.is_repeated else change(value)
            if descriptor.is_repeated:
                getattr(message, descriptor.name)[:] = changed
            elif changed != value:
                setattr(message, descriptor.name, changed)


if __name__ == "__main__":
    RECORDED.mkdir(exist_ok=True)
    for each in sys.argv[1:] or SENDERS:
        record(each)
