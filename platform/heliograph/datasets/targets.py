"""What an experiment asks of an endpoint, checked before it begins, and the messages that a row becomes."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from heliograph.datasets.models import Endpoint, Row

# An engine's batch is some hundreds of requests; a worker's threads wait for them.
MAX_CONCURRENCY = 64
MAX_ATTEMPTS = 10
MAX_TEMPLATE_CHARACTERS = 50_000
_PLACE = re.compile(r"\{\{\s*(input|expected|context|metadata)((?:\.[A-Za-z0-9_-]+)*)\s*\}\}")


class InvalidTargetError(ValueError):
    """A target that cannot be asked; `field` names the part at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How an endpoint is asked. Raises InvalidTargetError.

    `template` makes the user's message of a row: {{input}}, {{input.field}}, {{context}}, {{metadata.field}}. An input
    that is a list of chat messages is sent as these where the template is {{input}} alone. `rate_per_minute` 0 is no
    limit; `timeout_s` bounds one try.
    """

    endpoint: int
    model: str
    system: str = ""
    template: str = "{{input}}"
    temperature: float | None = None
    max_tokens: int | None = None
    concurrency: int = 4
    rate_per_minute: int = 0
    attempts: int = 5
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.model.strip() or len(self.model) > 300:
            raise InvalidTargetError("model", "name the model that the endpoint serves")
        for name in ("system", "template"):
            if len(getattr(self, name)) > MAX_TEMPLATE_CHARACTERS:
                raise InvalidTargetError(name, f"has more than {MAX_TEMPLATE_CHARACTERS:,} characters")
        if not _PLACE.search(self.template):
            raise InvalidTargetError("template", "holds no part of the row, such as {{input}}")
        _check_between("temperature", self.temperature, 0, 2)
        _check_between("max_tokens", self.max_tokens, 1, 1_000_000)
        _check_between("concurrency", self.concurrency, 1, MAX_CONCURRENCY)
        _check_between("rate_per_minute", self.rate_per_minute, 0, 100_000)
        _check_between("attempts", self.attempts, 1, MAX_ATTEMPTS)
        _check_between("timeout_s", self.timeout_s, 1, 600)

    @classmethod
    def of(cls, project_id: int, given: Mapping[str, Any]) -> "Target":
        """Return the target that a request describes; `endpoint` is an id or a name. Raises InvalidTargetError."""
        unknown = set(given) - {field.name for field in fields(cls)}
        if unknown:
            raise InvalidTargetError(sorted(unknown)[0], "is no setting of a target")
        known = Endpoint.objects.filter(project=project_id)
        named = given.get("endpoint", "")
        chosen = known.filter(pk=named) if isinstance(named, int) else known.filter(name=named)
        endpoint = chosen.first()
        if endpoint is None:
            raise InvalidTargetError("endpoint", "the project has no such endpoint; Settings adds one")
        try:
            return cls(**{"model": "", **given, "endpoint": endpoint.pk})
        except (TypeError, AttributeError) as error:
            raise InvalidTargetError("target", f"a setting has the wrong type: {error}") from error

    def as_dict(self) -> dict[str, Any]:
        """Return the target as it is stored."""
        return asdict(self)

    def request(self, row: Row) -> dict[str, Any]:
        """Return the body of the request for a row."""
        body: dict[str, Any] = {"model": self.model, "messages": self.messages(row)}
        given = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return body | {name: value for name, value in given.items() if value is not None}

    def messages(self, row: Row) -> list[dict[str, Any]]:
        """Return the chat messages that a row becomes."""
        system = [{"role": "system", "content": filled(self.system, row)}] if self.system.strip() else []
        turns = _turns(row.content.input)
        if turns and re.fullmatch(r"\{\{\s*input\s*\}\}", self.template.strip()):
            return [*system, *turns]
        return [*system, {"role": "user", "content": filled(self.template, row)}]


def filled(template: str, row: Row) -> str:
    """Return a template with the row's parts in their places; a part that the row lacks is empty."""

    def part(match: re.Match[str]) -> str:
        value: Any = getattr(row.content, match[1])
        for name in match[2].split(".")[1:]:
            value = value.get(name) if isinstance(value, dict) else None
        return text_of(value)

    return _PLACE.sub(part, template)


def text_of(value: Any) -> str:
    """Return a text as it is, several texts one below the other, chat messages as such, anything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return "\n\n".join(value)
    return json.dumps(value, ensure_ascii=False)


def _turns(value: Any) -> list[dict[str, Any]]:
    """Return chat messages where the input is such, [] else."""
    turns = value.get("messages") if isinstance(value, dict) else value
    if not isinstance(turns, list) or not turns:
        return []
    is_chat = all(isinstance(turn, dict) and isinstance(turn.get("role"), str) and "content" in turn for turn in turns)
    return turns if is_chat else []


def _check_between(name: str, value: Any, low: float, high: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InvalidTargetError(name, f"must be a number from {low:,} to {high:,}")
