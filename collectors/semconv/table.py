"""The one table: canonical field <- ordered source keys, compiled from the dialects to an index by key.

A dialect is data (see `otel_genai.py` for the pattern): for each canonical field its keys in order of precedence. The
order of DIALECTS decides between dialects, so the rank of a key is (dialect, position in the field's list).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from collectors.semconv import convert
from collectors.semconv.convert import Converter
from collectors.semconv.request import REQUEST, RESPONSE, TOKEN_FIELDS

# Canonical fields and how a value is read where a dialect does not say otherwise. Those that are no columns are what
# `meaning` works the columns out from.
FIELDS: Mapping[str, Converter] = {
    "kind": convert.label,
    "operation": convert.label,
    "provider": convert.json_label,
    "model_requested": convert.json_label,
    "model_answered": convert.json_label,
    # A model without saying whether asked for or answered.
    "model_name": convert.json_label,
    "input_tokens": convert.count,
    "output_tokens": convert.count,
    # Without cached and reasoning tokens, by the sender's own definition.
    "exclusive_input_tokens": convert.count,
    "exclusive_output_tokens": convert.count,
    "total_tokens": convert.count,
    "cache_read_tokens": convert.count,
    "cache_write_tokens": convert.count,
    "cache_write_5m_tokens": convert.count,
    "cache_write_1h_tokens": convert.count,
    "reasoning_tokens": convert.count,
    # Parts of input and output by what they stand for: the column `modality_tokens`.
    **dict.fromkeys(TOKEN_FIELDS, convert.count),
    "reported_cost": convert.usd,
    "reported_input_cost": convert.usd,
    "reported_output_cost": convert.usd,
    "ttft_ns": convert.seconds,
    "first_token_at": convert.moment,
    "queue_ns": convert.seconds,
    "prefill_ns": convert.seconds,
    "decode_ns": convert.seconds,
    "finish_reason": convert.first_label,
    "response_id": convert.json_label,
    # The columns `request` and `response`.
    **{f"request.{name}": converter for name, converter in REQUEST.items()},
    **{f"response.{name}": converter for name, converter in RESPONSE.items()},
    # Definitions of what the model may call.
    "tools": convert.present,
    # The LoRA that answered, where the sender names it apart from the model.
    "adapter": convert.json_label,
    "session_id": convert.json_label,
    "user_id": convert.json_label,
    "tags": convert.labels,
    "prompt_name": convert.json_label,
    "prompt_version": convert.json_label,
    "tool_name": convert.json_label,
    "tool_call_id": convert.label,
    "agent_name": convert.json_label,
    # The name of whatever runs: a tool's on a tool's span.
    "entity_name": convert.json_label,
    "gpu_uuids": convert.labels,
    "environment": convert.json_label,
    "release": convert.json_label,
    "server_address": convert.label,
    "server_port": convert.port,
    "error_type": convert.type_name,
    "error_message": convert.present,
    "level": convert.label,
    # Messages with roles; `input` and `output` are what a span took and gave without saying in what shape.
    "system_instructions": convert.present,
    "input_messages": convert.present,
    "output_messages": convert.present,
    "output_tool_calls": convert.present,
    "output_reasoning": convert.present,
    "input": convert.present,
    "output": convert.present,
    "documents": convert.present,
    "embedded_texts": convert.present,
    # A JSON object with several fields in it, read by a Spread.
    "several": convert.present,
}

# Path segments of flat keys: bounded so that a hostile key builds no deep tree, and its number is no long integer.
MAX_FLAT_DEPTH = 12
MAX_INDEX_DIGITS = 9
# Keys met so far, mapped or not, are kept so that each attribute costs one look-up; a full index starts over.
MAX_KEYS = 65_536


class Source(NamedTuple):
    """A key that is read by a converter other than its field's."""

    key: str
    convert: Converter


@dataclass(frozen=True, slots=True)
class Dialect:
    """One convention: its keys by canonical field, the fields of its flat prefixes (`prefix.N.rest`), and the kinds of
    its operations (lower case)."""

    name: str
    fields: Mapping[str, tuple[str | Source, ...]]
    flat: Mapping[str, str] = field(default_factory=dict)
    operations: Mapping[str, str] = field(default_factory=dict)


# Where a flat key's value belongs in its field: the steps to its parent, and its own.
Path = tuple[tuple[str | int, ...], str | int]


class Hit(NamedTuple):
    """What a key means. `path` is where in its field a flat key's value belongs, None for a plain key."""

    field: str
    rank: int
    convert: Converter
    path: Path | None
    dialect: str


class Plan(NamedTuple):
    """What is read from spans of the same keys: plain keys, best rank first, and those whose values are taken apart."""

    plain: list[tuple[str, str, int, Converter]]
    nested: list[tuple[str, Hit]]


# Senders send the same keys in the same order, span after span. Keys with an index in them (`messages.3.role`) make
# many plans, so that all are dropped when there are too many; 1,024 plans of 64 keys take about 20 MB.
MAX_PLANS = 1_024
MAX_PLAN_KEYS = 64

# The dialect of a project's own rules (see `rules`).
PROJECT = "project"

# Segments that only wrap what follows them, in OpenInference's and Traceloop's flat keys.
_WRAPPERS = frozenset({"message", "message_content", "tool_call", "document", "embedding", "completion", "prompt"})
# Distance between two dialects' ranks: more than any field has keys.
RANKS_PER_DIALECT = 1_000


class Index:
    """Key -> Hit over some dialects, in order of precedence.

    `prefixes` are looked at last, in their order: what a key means that nothing else names and that begins so.
    `max_keys` bounds what is remembered of keys met so far.
    """

    def __init__(
        self, dialects: tuple[Dialect, ...], prefixes: tuple[tuple[str, Hit], ...] = (), max_keys: int | None = None
    ) -> None:
        self.dialects = dialects
        self.prefixes = prefixes
        self._max_keys = max_keys
        self._flat: dict[str, tuple[str, int, str]] = {}
        plain: dict[str, Hit | None] = {}
        for order, dialect in enumerate(dialects):
            base = order * RANKS_PER_DIALECT
            for name, sources in dialect.fields.items():
                for position, source in enumerate(sources):
                    key, converter = (source, FIELDS[name]) if isinstance(source, str) else source
                    plain.setdefault(key, Hit(name, base + position, converter, None, dialect.name))
            for position, (prefix, name) in enumerate(dialect.flat.items()):
                self._flat.setdefault(prefix, (name, base + RANKS_PER_DIALECT // 2 + position, dialect.name))
        self.kind_of_operation = {
            name: kind for dialect in reversed(dialects) for name, kind in dialect.operations.items()
        }
        self._plain = plain
        # Read directly by `collect`: the look-up of every attribute of every span.
        self.known: dict[str, Hit | None] = dict(plain)

        # Read directly by `collect`, as above.
        self.plans: dict[tuple[str, ...], Plan] = {}

    def plan(self, keys: tuple[str, ...]) -> Plan:
        """What to read from spans that have these keys; kept for the next one."""
        plan = Plan([], [])
        for key in keys:
            hit = self.lookup(key)
            if hit is None:
                continue
            if hit.path is not None or hit.field == "several":
                plan.nested.append((key, hit))
            else:
                plan.plain.append((key, hit.field, hit.rank, hit.convert))
        # Of one rank, the first key that came wins.
        plan.plain.sort(key=itemgetter(2))
        if len(keys) <= MAX_PLAN_KEYS:
            # A project's own table is one of many.
            if len(self.plans) >= (MAX_PLANS if self._max_keys is None else MAX_PLANS // 16):
                self.plans = {}
            self.plans[keys] = plan
        return plan

    def of_rank(self, rank: int) -> str:
        """Name of the dialect that a rank belongs to."""
        return self.dialects[rank // RANKS_PER_DIALECT].name

    def lookup(self, key: str) -> Hit | None:
        """Meaning of a key, None for one that nobody maps."""
        return self.known[key] if key in self.known else self._learn(key)

    def _learn(self, key: str) -> Hit | None:
        """Meaning of a key that is not in `known` yet; it is from now on."""
        hit = self._flat_hit(key)
        if hit is None and self.prefixes:
            hit = next((hit for prefix, hit in self.prefixes if key.startswith(prefix)), None)
        if len(self.known) >= (self._max_keys or MAX_KEYS):
            self.known = dict(self._plain)
        self.known[key] = hit
        return hit

    def _flat_hit(self, key: str) -> Hit | None:
        segments = key.split(".")
        at = next((at for at, segment in enumerate(segments) if segment.isdecimal()), None)
        if at is None:
            return None
        flat = self._flat.get(".".join(segments[:at]))
        if flat is None or len(segments) > MAX_FLAT_DEPTH:
            return None
        path: list[str | int] = []
        for segment in segments[at:]:
            if segment.isdecimal():
                if len(segment) > MAX_INDEX_DIGITS:
                    return None
                path.append(int(segment))
            elif segment not in _WRAPPERS:
                path.append(segment)
        name, rank, dialect = flat
        return Hit(name, rank, convert.present, (tuple(path[:-1]), path[-1]), dialect)


def unflatten(items: list[tuple[Path, Any]]) -> Any:
    """Nested lists and objects of flat keys' paths and values. Indexes give the order; gaps close, so a huge one costs
    nothing.

    Where one key contradicts another (`a.0` and `a.0.b`), the first to come stays.
    """
    root: dict[str | int, Any] = {}
    # (parent, step) of each node below the root, in the order in which they were made: parents before children.
    made: list[tuple[dict[str | int, Any], str | int]] = []
    for (head, last), value in items:
        node = root
        for step in head:
            below = node.get(step)
            if below is None:
                below = node[step] = {}
                made.append((node, step))
            elif type(below) is not dict:
                break
            node = below
        else:
            if last not in node:
                node[last] = value
    for parent, step in reversed(made):
        parent[step] = _in_order(parent[step])
    return _in_order(root)


def _in_order(node: dict[str | int, Any]) -> Any:
    """A list where all keys are numbers, else an object whose keys are texts."""
    kinds = set(map(type, node))
    if kinds == {int}:
        return [node[key] for key in sorted(node)]
    return {str(key): value for key, value in node.items()} if int in kinds else node
