"""What one model call cost in USD, at the price in force when it was made.

Prices come from the genai-prices package (offline, with history) and from a project's own table, which wins. A price
that is not known is ``None`` with a reason, never 0. Looking a model up costs tens of microseconds, so the lookup (hits
and misses) and the price of a model on a day are kept; a call after the first is a few multiplications.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import NamedTuple

from genai_prices import data_snapshot, types

from collectors.model_names import parse

# No provider's or model's id comes near this; a longer one is not one, and must not fill the caches.
MAX_NAME_LENGTH = 300
# One entry is about 1 kB. A busy project names tens of models; the rest absorbs names made up by hostile senders.
CACHED_MODELS = 4096
# Prices are kept per model and day: backfilling a year of three models fits.
CACHED_DAYS = 8192

# The dearest model takes a fiftieth of it. Twenty million tokens at this price are a cost that the columns hold.
MAX_UNIT_USD = Decimal("0.02")

_SOURCE = f"genai-prices {version('genai-prices')}"
# The source of a cost at a project's own price.
OVERRIDE = "project override"
_ZERO = Decimal(0)

# Provider names as instrumentations write them (lower case, "_" and blanks as "-") -> ids of the price list.
_PROVIDERS = {
    "amazon-bedrock": "aws",
    "aws-bedrock": "aws",
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "bedrock-converse": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure-ai": "azure",
    "azure-openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "claude": "anthropic",
    "cohere-chat": "cohere",
    "fireworks-ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen-ai": "google",
    "gcp.vertex-ai": "google",
    "gemini": "google",
    "google-genai": "google",
    "google-vertex": "google",
    "google.generative-ai": "google",
    "google.vertex": "google",
    "vertex-ai": "google",
    "vertexai": "google",
    "kimi": "moonshotai",
    "mistral-ai": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "together-ai": "together",
    "togetherai": "together",
    "voyage": "voyageai",
    "x-ai": "x-ai",
    "xai": "x-ai",
    "z-ai": "zai",
    "z.ai": "zai",
}
# Engines that people run themselves: nobody publishes a price per token for them.
_SELF_HOSTED = frozenset(
    {
        "huggingface",
        "hf",
        "llama.cpp",
        "llama-cpp",
        "llamacpp",
        "llamafile",
        "lmstudio",
        "lm-studio",
        "localai",
        "lorax",
    }
    | {"mlx", "ollama", "ollama-chat", "sglang", "tensorrt-llm", "tgi", "triton", "vllm", "hosted-vllm"}
)
# Hosts that a model's own name can tell, and makers that it can: see `collectors.model_names`.
_HOSTS = {
    "bedrock": "aws",
    "vertex": "google",
    "openai": "openai",
    "cloudflare": "cloudflare",
    "databricks": "databricks",
}
_MAKERS = frozenset(
    {"anthropic", "cohere", "deepseek", "fireworks", "google", "mistral", "perplexity", "voyage", "xai"}
)
# Gateways carry any provider's models: the model name has to say whose.
_GATEWAYS = frozenset({"gateway", "helicone", "langchain", "litellm", "litellm-proxy", "portkey", "proxy", "unknown"})


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """A project's own price of a model, in USD per million tokens; cached input costs as input where not given."""

    input_per_million: Decimal
    output_per_million: Decimal
    cache_read_per_million: Decimal | None = None
    cache_write_per_million: Decimal | None = None


class Cost(NamedTuple):
    """The cost of one call in USD, in parts that do not overlap; exact, not rounded.

    ``input_usd`` is for the input tokens that were neither read from nor written to a cache. ``total_usd`` is the sum
    of the parts and of a fee per request where the provider charges one. A part is None when its token count or price
    is not known; ``reason`` says why ``total_usd`` is None. ``source`` names the price list and entry, "" without one.
    """

    input_usd: Decimal | None
    output_usd: Decimal | None
    cache_read_usd: Decimal | None
    cache_write_usd: Decimal | None
    total_usd: Decimal | None
    source: str
    reason: str | None


class UnitPrices(NamedTuple):
    """USD a token; None each where a call's cost is unknown whatever its counts are."""

    input: Decimal | None
    output: Decimal | None


# USD per token from an input size on: (more input tokens than this, price), largest first; None where not charged.
_Tiers = tuple[tuple[int, Decimal], ...] | None


@dataclass(frozen=True, slots=True)
class _Rates:
    input: _Tiers
    output: _Tiers
    cache_read: _Tiers
    cache_write: _Tiers
    reasoning: _Tiers
    audio_input: _Tiers
    audio_output: _Tiers
    per_request: Decimal
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class _Resolved:
    """An entry of the price list. Compared by identity: it is a cache key."""

    provider_id: str
    model: types.ModelInfo
    by_time_of_day: bool


def price(
    model: str,
    provider: str | None,
    at: datetime,
    *,
    input_tokens: int | None,
    output_tokens: int | None,
    cache_read_tokens: int | None = None,
    cache_write_tokens: int | None = None,
    reasoning_tokens: int | None = None,
    audio_input_tokens: int | None = None,
    audio_output_tokens: int | None = None,
    overrides: Mapping[str, ModelPrice] | None = None,
) -> Cost:
    """Cost of one call to `model` made at `at` (naive is UTC); `provider` in any spelling the conventions use, or None.

    `input_tokens` includes the cached and the audio ones, `output_tokens` the reasoning and the audio ones. Cached
    input, reasoning and audio are charged as plain input and output where the provider has no price of its own for
    them; of audio that is more than the input which no cache held, the rest counts as cached. `overrides` maps
    a model name exactly as it is sent to the project's own price. Never raises on any name or count.
    """
    if overrides is not None and (own := overrides.get(model)) is not None:
        rates = _override_rates(own)
    else:
        too_long = len(model) > MAX_NAME_LENGTH or len(provider or "") > MAX_NAME_LENGTH
        resolved = "name too long" if too_long else _resolve(model, provider)
        if isinstance(resolved, str):
            return _unknown(resolved)
        if at.tzinfo is not None and at.tzinfo is not UTC:
            at = at.astimezone(UTC)
        rates = _rates(resolved, at.replace(second=0, microsecond=0) if resolved.by_time_of_day else at.date())
    return _charge(
        rates,
        input_tokens,
        output_tokens,
        read=cache_read_tokens or 0,
        write=cache_write_tokens or 0,
        reasoning=reasoning_tokens or 0,
        audio=(audio_input_tokens or 0, audio_output_tokens or 0),
    )


def unit_prices(
    model: str, provider: str | None, at: datetime, overrides: Mapping[str, ModelPrice] | None = None
) -> UnitPrices | None:
    """Prices by which a cost without cached and reasoning tokens is counts times price; None where it takes more.

    As `price` finds them. They hold for the UTC day of `at`.
    """
    if overrides is not None and (own := overrides.get(model)) is not None:
        rates = _override_rates(own)
    elif len(model) > MAX_NAME_LENGTH or len(provider or "") > MAX_NAME_LENGTH:
        return None
    else:
        resolved = _resolve(model, provider)
        if isinstance(resolved, str):
            return UnitPrices(None, None)
        if resolved.by_time_of_day:
            return None
        rates = _rates(resolved, at.date())
    steps = (rates.input, rates.output)
    if rates.per_request or any(tiers is None or len(tiers) != 1 for tiers in steps):
        return None
    input_, output = (tiers[0][1] for tiers in steps if tiers is not None)
    return UnitPrices(input_, output) if max(input_, output) < MAX_UNIT_USD else None


def _charge(
    rates: _Rates,
    input_: int | None,
    output: int | None,
    *,
    read: int,
    write: int,
    reasoning: int,
    audio: tuple[int, int],
) -> Cost:
    if (impossible := _impossible(input_, output, read, write, reasoning)) is not None:
        return _unknown(impossible, rates.source)
    size = input_ or 0
    input_usd = None if input_ is None else _of_input(rates, input_ - read - write, audio[0], size)
    read_usd = _part(rates.cache_read, read, size)
    write_usd = _part(rates.cache_write, write, size)
    output_usd = None
    # Without the input size the tier is not known; with one tier it does not matter.
    if output is not None and (input_ is not None or rates.output is None or len(rates.output) == 1):
        output_usd = _of_output(rates, output, reasoning, audio[1], size)
    reason = None
    if input_ is None:
        reason = "input token count missing"
    elif input_usd is None or read_usd is None or write_usd is None:
        reason = "no price per input token"
    elif output is None and rates.output is not None:
        reason = "output token count missing"
    elif output is not None and output_usd is None:
        reason = "no price per output token"
    total = None
    if reason is None:
        total = _add(input_usd, read_usd, write_usd, output_usd or _ZERO, rates.per_request)
    return Cost(input_usd, output_usd, read_usd, write_usd, total, rates.source, reason)


def _of_input(rates: _Rates, tokens: int, audio: int, size: int) -> Decimal | None:
    heard = min(audio, tokens) if rates.audio_input is not rates.input else 0
    plain = _part(rates.input, tokens - heard, size)
    return _add(plain, _part(rates.audio_input, heard, size)) if heard else plain


def _of_output(rates: _Rates, tokens: int, reasoning: int, audio: int, size: int) -> Decimal | None:
    thought = reasoning if rates.reasoning is not rates.output else 0
    spoken = min(audio, tokens - thought) if rates.audio_output is not rates.output else 0
    plain = _part(rates.output, tokens - thought - spoken, size)
    if not (thought or spoken):
        return plain
    return _add(plain, _part(rates.reasoning, thought, size), _part(rates.audio_output, spoken, size))


def _impossible(*counts: int | None) -> str | None:
    """Why no call can have these counts (input, output, cache read, cache write, reasoning), None if one can."""
    input_, output, read, write, reasoning = counts
    if input_ is None and output is None:
        return "no token counts"
    if (input_ or 0) < 0 or (output or 0) < 0 or (read or 0) < 0 or (write or 0) < 0 or (reasoning or 0) < 0:
        return "negative token count"
    if input_ is not None and (read or 0) + (write or 0) > input_:
        return "more cached tokens than input tokens: the sender counts them apart"
    if output is not None and (reasoning or 0) > output:
        return "more reasoning tokens than output tokens: the sender counts them apart"
    return None


def _add(*parts: Decimal | None) -> Decimal | None:
    total = _ZERO
    for part in parts:
        if part is None:
            return None
        total += part
    return total


def _part(tiers: _Tiers, tokens: int, input_size: int) -> Decimal | None:
    """Price of `tokens`: none cost 0 whatever the price, some cost None where there is no price."""
    if not tokens:
        return _ZERO
    if tiers is None:
        return None
    for above, usd in tiers:
        if input_size > above:
            return usd * tokens
    return None


def _unknown(reason: str, source: str = "") -> Cost:
    return Cost(None, None, None, None, None, source, reason)


@lru_cache(maxsize=1024)
def _override_rates(own: ModelPrice) -> _Rates:
    input_, output = _tiers(own.input_per_million), _tiers(own.output_per_million)
    return _Rates(
        input=input_,
        output=output,
        cache_read=_tiers(own.cache_read_per_million) or input_,
        cache_write=_tiers(own.cache_write_per_million) or input_,
        reasoning=output,
        audio_input=input_,
        audio_output=output,
        per_request=_ZERO,
        source=OVERRIDE,
    )


@lru_cache(maxsize=CACHED_DAYS)
def _rates(resolved: _Resolved, at: date) -> _Rates:
    """Prices of a model on a UTC day, or in a UTC minute where they follow the time of day."""
    moment = at if isinstance(at, datetime) else datetime(at.year, at.month, at.day, tzinfo=UTC)
    listed = resolved.model.get_prices(moment)
    input_, output = _tiers(listed.input_mtok), _tiers(listed.output_mtok)
    if input_ is None and output is None and resolved.model.id.endswith(":free"):
        input_ = output = _tiers(_ZERO)  # the list leaves the prices of free models out
    per_request = listed.requests_kcount
    return _Rates(
        input=input_,
        output=output,
        cache_read=_tiers(listed.cache_read_mtok) or input_,
        cache_write=_tiers(listed.cache_write_mtok) or input_,
        reasoning=_tiers(listed.output_reasoning_mtok) or output,
        audio_input=_tiers(listed.input_audio_mtok) or input_,
        audio_output=_tiers(listed.output_audio_mtok) or output,
        per_request=per_request.scaleb(-3) if isinstance(per_request, Decimal) else _ZERO,
        source=f"{_SOURCE}: {resolved.provider_id}/{resolved.model.id}",
    )


def _tiers(per_million: Decimal | types.TieredPrices | None) -> _Tiers:
    if per_million is None:
        return None
    if isinstance(per_million, Decimal):
        return ((-1, per_million.scaleb(-6)),)
    steps = [(-1, per_million.base), *((tier.start, tier.price) for tier in per_million.tiers)]
    return tuple((above, usd.scaleb(-6)) for above, usd in reversed(steps))


@lru_cache(maxsize=CACHED_MODELS)
def _resolve(model: str, provider: str | None) -> _Resolved | str:
    """The price list's entry, or the reason why there is none.

    Walks the list itself: the package's own lookup keeps every name it was ever asked for.
    """
    if not model:
        return "no model name"
    name = model.lower()
    listed: types.Provider | None
    folded = (provider or "").strip().lower().replace("_", "-").replace(" ", "-")
    if not folded or folded in _GATEWAYS:
        listed, name = _provider_of_model(name)
    elif folded in _SELF_HOSTED:
        return f"self-hosted ({provider}): no price per token"
    else:
        listed = _listed_provider(folded)
    if listed is None:
        return f"no price list for provider {provider!r}" if provider and folded not in _GATEWAYS else "unknown model"
    for candidate in _spellings(name, listed.id):
        if (found := listed.find_model(candidate, all_providers=_providers())) is not None:
            return _Resolved(listed.id, found, _has_time_of_day(found))
    return f"unknown model of {listed.id}"


def _spellings(name: str, provider_id: str) -> list[str]:
    """`name` as sent, then without a path that only says where the model is served."""
    spellings = [name]
    if name.startswith("arn:"):
        spellings.append(name.rsplit("/", 1)[-1])
    elif provider_id == "google":
        spellings.append(name.rsplit("models/", 1)[-1])
    route, slash, rest = name.partition("/")
    if slash and _PROVIDERS.get(route.replace("_", "-"), route) == provider_id:
        spellings.append(rest)
    return spellings


def _providers() -> list[types.Provider]:
    return data_snapshot.get_snapshot().providers


def _listed_provider(folded: str) -> types.Provider | None:
    """`openai.responses` and `anthropic.messages` name an API of a provider: the part before the dot counts too."""
    for candidate in (folded, folded.rsplit(".", 1)[0]):
        known = _PROVIDERS.get(candidate, candidate)
        for listed in _providers():
            if listed.id == known:
                return listed
    return data_snapshot.find_provider_by_id(_providers(), folded)


def _provider_of_model(name: str) -> tuple[types.Provider | None, str]:
    """Provider of a model that came without one, and the name without its route (`azure/gpt-4o`, `bedrock/us....`)."""
    route, slash, rest = name.partition("/")
    if slash:
        route = route.replace("_", "-")
        known = _PROVIDERS.get(route, route)
        for listed in _providers():
            if listed.id == known:
                return listed, rest
    host = parse(name).provider
    if host in _HOSTS:
        return _listed_provider(_HOSTS[host]), name
    # `deepseek-r1:7b` and a file of weights run wherever their owner put them, not at the maker's.
    if host is None or host in _MAKERS:
        for listed in _providers():
            if listed.model_match is not None and listed.model_match.is_match(name):
                return listed, name
    return None, name


def _has_time_of_day(model: types.ModelInfo) -> bool:
    if isinstance(model.prices, types.ModelPrice):
        return False
    return any(isinstance(conditional.constraint, types.TimeOfDateConstraint) for conditional in model.prices)
