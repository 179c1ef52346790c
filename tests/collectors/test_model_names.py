import dataclasses
import json
import math
from pathlib import Path

import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from collectors.model_names import ModelName, parse
from collectors.model_names.families import FAMILIES
from collectors.model_names.hosts import ROUTES
from collectors.model_names.vocabulary import TIERS, VARIANTS

FIELDS = [field.name for field in dataclasses.fields(ModelName)]
NUMBERS = {"params_total", "params_active", "bits"}


def read_cases() -> dict[str, dict[str, object]]:
    cases: dict[str, dict[str, object]] = {}
    for line in Path(__file__).with_name("model_names.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("# "):
            continue
        name, _, facts = line.partition("\t")
        stated: dict[str, object] = dict(fact.split("=", 1) for fact in facts.split())
        assert set(stated) <= set(FIELDS), name
        cases[name] = {key: float(str(value)) if key in NUMBERS else value for key, value in stated.items()}
        cases[name]["variant"] = [word for word in str(stated.get("variant", "")).split(",") if word]
    return cases


CASES = read_cases()


@pytest.mark.parametrize("name", CASES)
def test_a_name_says_its_fields_and_no_others(name: str) -> None:
    expected = dict.fromkeys(FIELDS) | CASES[name]
    assert {field: getattr(parse(name), field) for field in FIELDS} == expected


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "x" * 300,
        "x" * 100_000,
        "llama-3.1-8b-" * 10_000,
        "../../etc/passwd",
        "/",
        "//",
        "::::",
        "----",
        "' OR 1=1 --",
        "<script>alert(1)</script>",
        "модель-7B",
        "gрt-4o",  # the second letter is Cyrillic
        "🦙-3-8b",
        "٣b",
        "\x00\x01",
        "my-production-model",
        "Deployment-B",
        "default",
        "None",
        "7B",
        "v1.0",
        "2024-01-01",
        "123456",
        "instruct",
        "/data/model.safetensors/",
        "./checkpoints/step-1000",
    ],
)
def test_a_text_that_names_no_model_says_nothing(name: str) -> None:
    assert dataclasses.replace(parse(name), format=None) == ModelName()


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("gpt-4-32k", "params_total"),
        ("meta-llama/Llama-3.1-8B-Instruct-1M", "date"),
        ("mixtral-8x7b-32768", "params_total"),
        ("llama3-70b-8192", "date"),
        ("gemini-1.5-pro-002", "date"),
        ("acme/Llama-2-7b-AQLM-2Bit-1x16", "experts"),
        ("llama-3-8b-lora-r64", "version_suffix"),
        ("sales-report-q3", "quantization"),
        ("north-star-prod", "family"),
        ("my-flux-capacitor", "family"),
    ],
)
def test_a_number_or_word_of_another_kind_is_not_taken_for_the_field(name: str, field: str) -> None:
    if field == "version_suffix":
        assert parse(name).version == "3"
    else:
        assert getattr(parse(name), field) is None


@pytest.mark.parametrize(
    "name",
    [
        "acme-7.5b1-chat",
        "acme-r1.2.3b",
        "acme-1.2.3.4bit",
        "acme-a1.2.3b",
        "qwen" + "9" * 400,
        "9" * 400 + "b",
        "v1.p.2",
    ],
)
def test_a_malformed_number_is_read_as_far_as_it_goes(name: str) -> None:
    sizes = (parse(name).params_total, parse(name).params_active, parse(name).bits)
    assert all(size is None or size < 1_000 for size in sizes)


def test_one_repository_is_the_same_model_on_the_hub_and_on_a_router() -> None:
    hub, router = parse("Qwen/Qwen3-32B"), parse("qwen/qwen3-32b")
    assert (hub.provider, hub.format) == ("huggingface", "safetensors")
    assert (router.provider, router.format) == ("openrouter", "api")
    assert (hub.family, hub.version, hub.params_total) == (router.family, router.version, router.params_total)


def test_variants_equal_a_list_and_cannot_be_changed() -> None:
    variant = parse("Qwen/Qwen2.5-VL-3B-Instruct").variant
    assert variant == ["instruct", "vl"]
    assert variant in (["base"], ["instruct", "vl"])
    assert variant == ("instruct", "vl")
    assert variant != ["instruct"]
    assert variant != "instruct"
    assert json.dumps(variant) == '["instruct", "vl"]'
    assert hash(parse("Qwen/Qwen2.5-VL-3B-Instruct")) == hash(parse(" Qwen/Qwen2.5-VL-3B-Instruct "))
    assert not hasattr(variant, "append")


def test_nearly_every_model_of_the_price_list_has_a_family() -> None:
    names = {model.id for provider in get_snapshot().providers for model in provider.models}
    named = sum(parse(name).family is not None for name in names)
    assert named / len(names) > 0.95


WORDS = st.one_of(
    st.sampled_from([*FAMILIES, *ROUTES, *TIERS, *VARIANTS]),
    st.sampled_from(
        [
            "Q4_K_M",
            "UD-IQ1_S",
            "q8_0",
            "awq",
            "gptq",
            "fp8",
            "exl2",
            "exl2-6_5",
            "4.65bpw",
            "4bit",
            "w4a16",
            "gguf",
            "mlx",
            "bf16",
            "nvfp4",
        ]
    ),
    st.from_regex(r"[aerkvw]?[0-9]{1,9}([.p_][0-9]{1,4})*([bmtkexo]{1,3}[0-9]{0,2})?", fullmatch=True),
    st.sampled_from(
        [
            "ft:",
            "arn:aws:bedrock:",
            "us.",
            "anthropic.",
            "v1:0",
            "@",
            "~",
            ".gguf",
            "-00001-of-00002",
            "models--a--b",
            "accounts",
        ]
    ),
    st.text(max_size=6),
)
NAMES = st.lists(st.tuples(WORDS, st.sampled_from(["-", "_", "/", ".", ":", " ", "@", ""])), max_size=12).map(
    lambda pairs: "".join(word + separator for word, separator in pairs)
)


@given(st.one_of(st.text(), NAMES))
def test_no_text_raises_and_every_field_has_its_type(name: str) -> None:
    model = parse(name)
    for field in FIELDS:
        value = getattr(model, field)
        if field == "variant":
            assert list(value) == sorted(set(value))
        elif field in NUMBERS:
            assert value is None or (math.isfinite(value) and value >= 0)
        else:
            assert value is None or (isinstance(value, str) and value)
