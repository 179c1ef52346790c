"""Coding agents send log records and no spans: what each record of theirs is of a turn, and where it belongs.

Claude Code, Codex CLI and Gemini CLI say in events what they do: a prompt, a call of a model, a tool that ran. Here
those events become spans: the records of one turn are one trace, under the prompt. Trace and span ids are hashes of
what a record says, so that a record that is sent again is the same span, in whatever order and export it comes.

Their metrics (`claude_code.token.usage` and the like) count the same tokens once more and stay metrics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from collectors.semconv.convert import label, milliseconds

# A root of its turn, a call of a model, a tool that ran, anything else within the turn.
ROOT, CALL, TOOL, STEP = "root", "call", "tool", "step"
TOOL_NAMES = ("tool_name", "function_name")
_FALSE = ("false", "False", False)
# The whole of an OpenAI response: the other server-sent events are its pieces. Codex tells of its end twice, the second
# time with what it took.
_WHOLE = "response.completed"
_COUNTED = "input_token_count"


@dataclass(frozen=True, slots=True)
class Agent:
    """A coding agent: its name in events and dialects, the keys that group its records, and what its events are.

    Without a turn's key, all records of a session are one trace. Of a sender whose records of one turn are only some of
    them within a span, `keeps_traces` is false: their own traces would tear the turn apart.
    """

    name: str
    session: str
    turns: tuple[str, ...]
    events: Mapping[str, str]
    # Events of calls that are spans only where they failed: where they did not, another event tells the whole call.
    failures: frozenset[str] = frozenset()
    keeps_traces: bool = True

    @property
    def prefix(self) -> str:
        """How its events' names and the keys on its spans begin."""
        return f"{self.name}."


CLAUDE_CODE = Agent(
    "claude_code",
    "session.id",
    ("prompt.id",),
    {"user_prompt": ROOT, "api_request": CALL, "api_error": CALL, "api_refusal": CALL, "tool_result": TOOL},
)
CODEX = Agent(
    "codex",
    "conversation.id",
    (),
    {
        "conversation_starts": ROOT,
        "user_prompt": STEP,
        "sse_event": CALL,
        "api_request": CALL,
        "websocket_request": CALL,
        "tool_result": TOOL,
    },
    frozenset({"api_request", "websocket_request"}),
    keeps_traces=False,
)
GEMINI_CLI = Agent(
    "gemini_cli",
    "session.id",
    ("prompt_id",),
    {"user_prompt": ROOT, "api_response": CALL, "api_error": CALL, "tool_call": TOOL},
    keeps_traces=False,
)
AGENTS = (CLAUDE_CODE, CODEX, GEMINI_CLI)
# Claude Code's record of an answer: it has no span of its own and is about that of the call.
_ANSWER = "assistant_response"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record belongs: ids as lower-case hex, `parent_id` '' for a root, `role` '' for what makes no span."""

    agent: Agent
    event: str
    role: str
    trace_id: str
    span_id: str
    parent_id: str


def event_of(names: Sequence[str]) -> tuple[Agent, str] | None:
    """The agent and its event, without prefix, of a record that calls itself by these names, else None."""
    for name in names:
        for agent in AGENTS:
            if name.startswith(agent.prefix):
                return agent, name[len(agent.prefix) :]
    return None


def place_of(
    agent: Agent, event: str, values: Mapping[str, Any], *, trace_id: str, span_id: str, digest: bytes
) -> Place | None:
    """Where a record with these attributes belongs; None for one that names no session.

    `trace_id` and `span_id` are the record's own, '' without: then its spans go beneath that span. `digest` stands for
    the record as it was first sent.
    """
    session = label(values.get(agent.session))
    if session is None:
        return None
    if not agent.keeps_traces:
        trace_id = span_id = ""
    turn = next((text for key in agent.turns if (text := label(values.get(key)))), "")
    trace = trace_id or _hash(16, agent.name, session, turn)
    root = _hash(8, trace, session, turn, ROOT)
    role = agent.events.get(event, "")
    if event in agent.failures and not has_failed(event, values):
        role = ""
    if event == "sse_event" and not has_failed(event, values) and not _is_whole(values):
        role = ""
    if role == ROOT:
        return Place(agent, event, role, trace, root, span_id)
    if agent.turns and not turn:
        # Between two prompts, such as a title that is made in the background: beneath nothing.
        root = ""
    request = label(values.get("request_id"))
    if request and event in ("api_request", _ANSWER):
        own = _hash(8, trace, CALL, request)
    elif role:
        own = _hash(8, trace, event, digest.hex())
    else:
        own = root
    return Place(agent, event, role, trace, own, span_id or root)


def _is_whole(values: Mapping[str, Any]) -> bool:
    return label(values.get("event.kind")) == _WHOLE and values.get(_COUNTED) is not None


def has_failed(event: str, values: Mapping[str, Any]) -> bool:
    """Whether a record tells of a failure."""
    if event in ("api_error", "api_refusal") or values.get("success") in _FALSE:
        return True
    return bool(values.get("error.message") or values.get("error"))


def error_of(values: Mapping[str, Any]) -> str:
    """What a record says about its failure, '' where it says nothing."""
    return next((text for key in ("error.message", "error", "error_type") if (text := label(values.get(key)))), "")


def duration_of(values: Mapping[str, Any]) -> int:
    """Nanoseconds that what a record tells of took, up to the record's time; 0 where it does not say."""
    return milliseconds(values.get("duration_ms")) or 0


def key_of(agent: Agent, key: str) -> str:
    """The key on a span of an attribute of a record: names that any sender may use are put beneath the agent's."""
    # The id of a turn is no prompt's of a library of prompts, as OpenInference's `prompt.id` is.
    return key if "." in key and key not in agent.turns else agent.prefix + key


def _hash(size: int, *parts: str) -> str:
    return blake2b("\x00".join(parts).encode("utf-8", "replace"), digest_size=size).hexdigest()
