"""What answers a judge's question: an endpoint or a model in this process, with a memory of what was asked before."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer. The tokens are as the model counted them, None where it did not say."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None


class Chat(Protocol):
    """A model that is asked. `identity` names it well enough for its answers to be kept under; no secret is in it."""

    @property
    def model(self) -> str: ...
    @property
    def identity(self) -> str: ...
    @property
    def is_remote(self) -> bool: ...

    def complete(self, messages: list[dict[str, str]], schema: Mapping[str, Any]) -> Completion:
        """The answer to some messages, which should be JSON of `schema`; raises JudgeError."""
        ...


class AnswerCache(Protocol):
    """Answers by the hash of all that was asked. A lost answer costs asking again."""

    def get(self, key: str) -> Completion | None: ...
    def put(self, key: str, answer: Completion) -> None: ...


class MemoryCache:
    """The answers that were used last, up to a number."""

    def __init__(self, most: int = 10_000) -> None:
        self._most, self._lock = most, threading.Lock()
        self._answers: OrderedDict[str, Completion] = OrderedDict()

    def get(self, key: str) -> Completion | None:
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    def put(self, key: str, answer: Completion) -> None:
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)
