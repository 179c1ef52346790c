"""The filters of traces and spans as options, named as the API's parameters are."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

T = TypeVar("T")

# Each may be repeated: any of its values. Different ones must all hold.
_REPEATED = {
    "service": "",
    "environment": "",
    "release": "",
    "kind": "agent, chain, llm, embedding, retriever, reranker, tool, ...",
    "status": "ok, error or unset.",
    "name": "",
    "model": "",
    "adapter": "The LoRA that answered.",
    "provider": "",
    "session": "",
    "user": "",
    "tag": "",
    "score": "A name and a bound, such as 'groundedness<0.5'.",
}


def span_filters(function: Callable[..., T]) -> Callable[..., T]:
    """Add the filters; the function gets `filters`, parameters of the API."""

    @wraps(function)
    def with_filters(*args: Any, **kwargs: Any) -> T:
        names = (*_REPEATED, "min_duration_ms", "max_duration_ms", "text", "filter")
        return function(*args, filters={name: kwargs.pop(name) for name in names}, **kwargs)

    found: Any = with_filters
    for option in (
        click.option(
            "--filter", default="", help="The filter language, such as 'latency>2s -status:ok' (docs/filters.md)."
        ),
        click.option("--text", default="", help="Words of the input or of the output."),
        click.option("--max-duration-ms", type=float),
        click.option("--min-duration-ms", type=float),
        *(click.option(f"--{name}", multiple=True, help=text) for name, text in reversed(_REPEATED.items())),
    ):
        found = option(found)
    filtered: Callable[..., T] = found
    return filtered
