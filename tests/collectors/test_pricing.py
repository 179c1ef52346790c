import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache

import pytest
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider, Usage
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import pricing
from collectors.model_names import parser
from collectors.pricing import Cost, ModelPrice, price

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


def total(model: str, provider: str | None, at: datetime = NOVEMBER, **tokens: int | None) -> Decimal | None:
    counts: dict[str, int | None] = {"input_tokens": 1_000_000, "output_tokens": 0, **tokens}
    return price(model, provider, at, **counts).total_usd


def test_a_call_costs_what_the_model_cost_on_that_day() -> None:
    tokens = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}
    january = price("o3", "openai", datetime(2025, 1, 15, tzinfo=UTC), **tokens)
    august = price("o3", "openai", datetime(2025, 8, 1, tzinfo=UTC), **tokens)
    assert (january.input_usd, january.output_usd, january.total_usd) == (10, 40, 50)
    assert (august.input_usd, august.output_usd, august.total_usd) == (2, 8, 10)


def test_cached_input_is_part_of_the_input_and_has_its_own_price() -> None:
    cost = price("claude-sonnet-4-5", "anthropic", NOVEMBER, input_tokens=1000, output_tokens=0, cache_read_tokens=400)
    assert (cost.input_usd, cost.cache_read_usd) == (Decimal("0.0018"), Decimal("0.00012"))
    assert cost.total_usd == Decimal("0.00192")


def test_cache_writes_cost_more_than_plain_input() -> None:
    cost = price(
        "claude-sonnet-4-5", "anthropic", NOVEMBER, input_tokens=1000, output_tokens=10, cache_write_tokens=1000
    )
    assert (cost.input_usd, cost.cache_write_usd) == (0, Decimal("0.00375"))
    assert cost.total_usd == Decimal("0.0039")


def test_a_long_prompt_costs_the_higher_tier_on_every_token() -> None:
    below = total("claude-sonnet-4-5", "anthropic", input_tokens=200_000)
    above = total("claude-sonnet-4-5", "anthropic", input_tokens=200_001)
    assert below == Decimal("0.6")
    assert above == 200_001 * Decimal("0.000006")


def test_a_price_that_follows_the_time_of_day_is_not_kept_for_the_day() -> None:
    peak = datetime(2025, 3, 10, 12, 0, tzinfo=UTC)
    night = datetime(2025, 3, 10, 20, 0, tzinfo=UTC)
    expected = [
        calc_price(
            Usage(input_tokens=1_000_000, output_tokens=0),
            "deepseek-chat",
            provider_id="deepseek",
            genai_request_timestamp=at,
        ).total_price
        for at in (peak, night)
    ]
    assert expected[0] != expected[1]
    assert [total("deepseek-chat", "deepseek", at) for at in (peak, night)] == expected


def test_the_day_is_the_utc_day() -> None:
    change = datetime(2025, 6, 10, tzinfo=UTC)
    east = timezone(timedelta(hours=9))
    before, after = total("o3", "openai", change - timedelta(seconds=1)), total("o3", "openai", change)
    assert (before, after) == (10, 2)
    assert total("o3", "openai", datetime(2025, 6, 10, 8, 59, tzinfo=east)) == before
    assert total("o3", "openai", datetime(2025, 6, 10, 9, 0, tzinfo=east)) == after
    assert total("o3", "openai", datetime(2025, 6, 10)) == after


@pytest.mark.parametrize(
    ("spelling", "model", "entry"),
    [
        ("azure.ai.openai", "gpt-4o", "azure/gpt-4o"),
        ("az.ai.inference", "gpt-4o", "azure/gpt-4o"),
        ("openai.responses", "gpt-4o", "openai/gpt-4o"),
        ("anthropic.messages", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("gcp.vertex_ai", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.gemini", "models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("vertex_ai", "claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
        ("mistral_ai", "mistral-large-latest", "mistral/mistral-large"),
        ("x_ai", "grok-4", "x-ai/grok-4-0709"),
        ("xai", "grok-4", "x-ai/grok-4-0709"),
        ("OpenAI", "openai/gpt-4o", "openai/gpt-4o"),
        ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws/regional.anthropic.claude-sonnet-4-5"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc123", "openai/ft:gpt-4o-mini"),
        (None, "ft:gpt-4o-mini-2024-07-18:acme::abc123", "openai/ft:gpt-4o-mini"),
        (None, "azure/gpt-4o", "azure/gpt-4o"),
        (None, "openrouter/anthropic/claude-sonnet-4.5", "openrouter/anthropic/claude-sonnet-4.5"),
        ("litellm", "bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws/regional.anthropic.claude-sonnet"),
        (None, "gpt-4o-2024-08-06", "openai/gpt-4o"),
        (None, "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws/regional.anthropic.claude-sonnet-4-5"),
        (None, "claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
        (None, "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        (None, "kimi-k3", "moonshotai/kimi-k3"),
        (None, "@cf/meta/llama-3.1-8b-instruct", "cloudflare/@cf/meta/llama-3.1-8b-instruct"),
    ],
)
def test_providers_fold_to_the_price_list(spelling: str | None, model: str, entry: str) -> None:
    cost = price(model, spelling, NOVEMBER, input_tokens=10, output_tokens=10)
    assert f": {entry}" in cost.source
    assert cost.total_usd is not None


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        ("openai", "gpt-nonesuch", "unknown model of openai"),
        ("openai", "ft:o3-mini:acme::abc123", "unknown model of openai"),
        (None, "acme-7b", "unknown model"),
        (None, "deepseek-r1:7b", "unknown model"),
        (None, "mistral-7b-instruct-v0.2.Q4_K_M.gguf", "unknown model of mistral"),
        (None, "Qwen/Qwen3-8B", "unknown model"),
        ("litellm", "acme-7b", "unknown model"),
        ("ollama", "gpt-4o", "self-hosted (ollama): no price per token"),
        ("vllm", "Qwen/Qwen3-8B", "self-hosted (vllm): no price per token"),
        ("nobody", "gpt-4o", "no price list for provider 'nobody'"),
        ("openai", "", "no model name"),
        ("openai", "x" * 301, "name too long"),
        ("openai" * 100, "gpt-4o", "name too long"),
        ("openai", "whisper-1", "no price per input token"),
    ],
)
def test_an_unknown_price_is_none_with_the_reason(provider: str | None, model: str, reason: str) -> None:
    cost = price(model, provider, NOVEMBER, input_tokens=1000, output_tokens=10)
    assert (cost.input_usd, cost.total_usd, cost.reason) == (None, None, reason)


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ((None, None, None), "no token counts"),
        ((10, None, None), "output token count missing"),
        ((None, 10, None), "input token count missing"),
        ((-1, 10, None), "negative token count"),
        ((10, 1, 11), "more cached tokens than input tokens: the sender counts them apart"),
    ],
)
def test_missing_or_impossible_counts_give_no_total(tokens: tuple[int | None, ...], reason: str) -> None:
    cost = price(
        "gpt-4o", "openai", NOVEMBER, input_tokens=tokens[0], output_tokens=tokens[1], cache_read_tokens=tokens[2]
    )
    assert (cost.total_usd, cost.reason) == (None, reason)


def test_what_is_known_of_an_unfinished_call_is_still_given() -> None:
    cost = price("gpt-4o", "openai", NOVEMBER, input_tokens=1_000_000, output_tokens=None)
    assert (cost.input_usd, cost.output_usd, cost.total_usd) == (Decimal("2.5"), None, None)


def test_an_embedding_needs_no_output_count() -> None:
    assert total("text-embedding-3-small", "openai", output_tokens=None) == Decimal("0.02")


def test_a_fee_per_request_is_in_the_total() -> None:
    cost = price("sonar-pro", "perplexity", NOVEMBER, input_tokens=0, output_tokens=0)
    assert (cost.input_usd, cost.output_usd) == (0, 0)
    assert cost.total_usd == Decimal("0.014")


def test_a_free_model_costs_zero_and_that_is_known() -> None:
    free = next(
        (listed, model)
        for listed in get_snapshot().providers
        for model in listed.models
        if listed.id == "openrouter" and model.id.endswith(":free")
    )
    cost = price(free[1].id, free[0].id, NOVEMBER, input_tokens=1000, output_tokens=1000)
    assert (cost.total_usd, cost.reason) == (0, None)


def test_an_entry_without_a_price_is_not_free() -> None:
    cost = price("qwen-3-coder-480b", "cerebras", NOVEMBER, input_tokens=1000, output_tokens=1000)
    assert (cost.total_usd, cost.reason) == (None, "no price per input token")


def test_a_project_price_wins_over_the_list_and_needs_no_provider() -> None:
    overrides = {"gpt-4o": ModelPrice(Decimal(1), Decimal(2)), "house-8b": ModelPrice(Decimal("0.1"), Decimal("0.2"))}
    tokens = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}
    listed = price("gpt-4o", "openai", NOVEMBER, **tokens, overrides=overrides)
    own = price("house-8b", "vllm", NOVEMBER, **tokens, overrides=overrides)
    other = price("o3", "openai", NOVEMBER, **tokens, overrides=overrides)
    assert (listed.total_usd, listed.source) == (3, "project override")
    assert own.total_usd == Decimal("0.3")
    assert other.total_usd == 10


def test_a_project_price_may_set_cached_input_apart() -> None:
    overrides = {"house-8b": ModelPrice(Decimal(1), Decimal(2), cache_read_per_million=Decimal("0.5"))}
    cost = price(
        "house-8b",
        None,
        NOVEMBER,
        input_tokens=3_000_000,
        output_tokens=0,
        cache_read_tokens=1_000_000,
        cache_write_tokens=1_000_000,
        overrides=overrides,
    )
    assert (cost.input_usd, cost.cache_read_usd, cost.cache_write_usd) == (1, Decimal("0.5"), 1)


# Entries priced by tokens alone: the rest (audio hours, pages) cannot be told from token counts. The first entry whose
# pattern takes an id owns it, so an id that another entry of its provider also takes is left out.
PRICED = [
    (listed, model)
    for listed in get_snapshot().providers
    for model in listed.models
    if listed.find_model(model.id) is model and len(model.id) <= pricing.MAX_NAME_LENGTH
]


@given(
    entry=st.sampled_from(PRICED),
    at=st.datetimes(datetime(2023, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    tokens=st.tuples(*[st.integers(0, 400_000)] * 5),
)
@settings(max_examples=300, deadline=None)
def test_every_total_is_the_one_the_price_package_computes(
    entry: tuple[Provider, ModelInfo], at: datetime, tokens: tuple[int, ...]
) -> None:
    listed, model = entry
    uncached, output, read, write, reasoning = tokens
    reasoning = min(reasoning, output)
    cost = price(
        model.id,
        listed.id,
        at,
        input_tokens=uncached + read + write,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=write,
        reasoning_tokens=reasoning,
    )
    if cost.total_usd is None:
        assert cost.reason is not None
        assert cost.reason.startswith("no price per")
        return
    usage = Usage(
        input_tokens=uncached + read + write,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_reasoning_tokens=reasoning,
    )
    assert cost.total_usd == model.calc_price(usage, listed, genai_request_timestamp=at).total_price


@given(
    model=st.text(max_size=400),
    provider=st.none() | st.text(max_size=400),
    at=st.datetimes(timezones=st.none() | st.timezones()),
    tokens=st.tuples(*[st.none() | st.integers()] * 5),
)
@settings(deadline=None)
def test_no_name_and_no_count_raises_and_none_has_a_reason(
    model: str, provider: str | None, at: datetime, tokens: tuple[int | None, ...]
) -> None:
    cost = price(
        model,
        provider,
        at,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        cache_read_tokens=tokens[2],
        cache_write_tokens=tokens[3],
        reasoning_tokens=tokens[4],
    )
    assert isinstance(cost, Cost)
    assert (cost.total_usd is None) == (cost.reason is not None)


def test_names_made_up_by_a_sender_do_not_pile_up_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    caches = (pricing._resolve, pricing._rates, pricing._override_rates, parser._parse_cached)
    assert all(cache.cache_parameters()["maxsize"] for cache in caches)
    # Small caches, so that a short flood turns them over: what then still grows is kept somewhere without a bound.
    monkeypatch.setattr(pricing, "_resolve", lru_cache(maxsize=64)(pricing._resolve.__wrapped__))
    monkeypatch.setattr(parser, "_parse_cached", lru_cache(maxsize=64)(parser._parse_cached.__wrapped__))

    def flood(prefix: str) -> None:
        for number in range(500):
            price(f"{prefix}{number:0200}", None, NOVEMBER, input_tokens=1, output_tokens=1)
            price(f"{prefix}{number:0200}", "openai", NOVEMBER, input_tokens=1, output_tokens=1)

    flood("warm")
    tracemalloc.start()
    try:
        flood("first")
        before, _ = tracemalloc.get_traced_memory()
        flood("second")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after < before + 50_000
