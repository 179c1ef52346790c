"""A model name to its fields: route off, quantisation off, words read, then resolved together."""

import re
from functools import lru_cache

from collectors.model_names.families import BASE_FAMILIES, FAMILY_VARIANTS
from collectors.model_names.fields import ModelName, Variants
from collectors.model_names.hosts import (
    CLOSED_FAMILIES,
    CLOSED_NAMES,
    FORMAT_OWNERS,
    HOSTED_TIERS,
    OLLAMA_FAMILIES,
    OLLAMA_LIBRARY,
    OPEN_FAMILIES,
    WEIGHT_HOSTS,
)
from collectors.model_names.quantization import Quantization, read_quantization
from collectors.model_names.routes import Route, split_route
from collectors.model_names.vocabulary import NOISE
from collectors.model_names.words import Reading, read_words

# The longest names in use are hub cache paths and ARNs of about 250 characters; a longer text is no name, and reading
# it would only give its sender our time.
MAX_LENGTH = 512
# A deployment serves tens of models and thousands of adapters; an entry is about 1 kB.
CACHED_NAMES = 8192

_UNKNOWN = ModelName()
_EXTENSION = re.compile(
    r"\.(gguf|ggml|ggjt|safetensors|exl2|exl3|mlx|awq|gptq|bin|pt|pth|onnx|npz|engine|plan|ckpt|llamafile|nemo|json)$",
    re.IGNORECASE,
)
_SHARD = re.compile(r"[-.]\d{5}-of-\d{5}")
_ADAPTER_WORDS = frozenset({"lora", "loras", "qlora", "dora", "adapter", "adapters", "peft"})
_ATTACHED = re.compile(r"([a-z]+)([\d.]*)")
_CONTAINER_WORD = re.compile(r"(?<![a-z0-9])(gguf|ggml|mlx|onnx)(?:v\d)?(?![a-z0-9])")
_CONTAINERS = ("gguf", "ggml", "exl2", "exl3", "mlx", "onnx", "safetensors")


def parse(name: str) -> ModelName:
    """The fields that `name` states, for any string; a text over 512 characters is no model name and says nothing."""
    return _parse_cached(name) if len(name) <= MAX_LENGTH else _UNKNOWN


@lru_cache(maxsize=CACHED_NAMES)
def _parse_cached(name: str) -> ModelName:
    return parse_uncached(name)


def parse_uncached(name: str) -> ModelName:
    """As `parse` for a name of at most 512 characters, without the cache."""
    text = name.strip()
    if not text:
        return _UNKNOWN
    route = split_route(text)
    if not route.core:
        return _unlisted(text, route, Reading([]), None)
    core, extension = _strip_file(route.core)
    hint = f"{route.org} {core} {extension} {route.provider}".lower()
    quantization, rest = read_quantization(
        core if extension not in {"awq", "gptq"} else f"{core}-{extension}", hint=hint
    )
    reading = read_words(rest)
    container = _container(route, rest, extension, quantization)
    recipe, bits = quantization.named(container)
    has_weights = recipe is not None or (container is not None and route.provider != "ollama")
    if not _is_model(route, reading, has_weights=has_weights):
        return _unlisted(text, route, reading, container)
    provider = route.provider or _maker(route, reading, text, has_weights=has_weights)
    variants = reading.variants | set(route.variants)
    if (implied := FAMILY_VARIANTS.get(reading.family or "")) is not None and "reranker" not in variants:
        variants.add(implied)
    family = reading.family or _unlisted_family(reading)
    params, active = reading.params, reading.active
    if family == "llama" and (reading.version or "").startswith("4") and active is None:
        params, active = None, params  # llama 4 names say how many parameters are active
    adapter, base_model = _lineage(text, core, route, reading)
    return ModelName(
        provider=provider,
        org=route.org,
        family=family,
        version=route.revision if reading.version is None else reading.version,
        tier=reading.tier,
        params_total=params,
        params_active=active,
        experts=reading.experts,
        variant=Variants(sorted(variants)),
        quantization=recipe,
        bits=bits,
        format=container or ("gguf" if provider == "ollama" else _served_format(provider)),
        date=reading.date,
        region=route.region,
        adapter=adapter,
        base_model=base_model,
    )


def _strip_file(core: str) -> tuple[str, str | None]:
    extension = None
    if (found := _EXTENSION.search(core)) is not None:
        core, extension = core[: found.start()], found[1].lower()
    if "-of-" in core:
        core = _SHARD.sub("", core)
    return core, extension


def _container(route: Route, rest: str, extension: str | None, found: Quantization) -> str | None:
    if extension in _CONTAINERS:
        return extension
    if found.exl is not None:
        return found.exl.lower()
    if (owned := FORMAT_OWNERS.get((route.org or "").lower())) is not None:
        return owned
    if (word := _CONTAINER_WORD.search(rest)) is not None:
        return word[1]
    # the k- and i-recipes of llama.cpp exist in no other container
    is_recipe = found.recipe is not None and "_" in found.recipe and "F" not in found.recipe
    return "gguf" if route.provider == "ollama" or is_recipe else None


def _served_format(provider: str | None) -> str | None:
    if provider is None:
        return None
    return ("safetensors" if provider == "huggingface" else None) if provider in WEIGHT_HOSTS else "api"


def _is_model(route: Route, reading: Reading, *, has_weights: bool) -> bool:
    """Whether the words are a model's: a known family, or at least a size or a container beside an unknown one."""
    stated = reading.params is not None or reading.active is not None or reading.experts is not None
    if reading.family is not None:
        has_host = route.provider is not None or route.org is not None
        is_told = stated or has_host or has_weights or reading.version is not None
        is_plain = not route.is_file and len(reading.known) == len(reading.words)
        return not reading.is_weak or is_told or is_plain
    is_versioned = route.org is not None and reading.version is not None and "lora" not in reading.variants
    is_stated = stated or is_versioned or (has_weights and not route.is_file)
    return is_stated and _unlisted_family(reading) is not None


def _unlisted(text: str, route: Route, reading: Reading, container: str | None) -> ModelName:
    """What is left where the words name no model: who serves it, its container, and that it is an adapter."""
    variants = {*route.variants, *(reading.variants & {"lora"})}
    return ModelName(
        provider=route.provider,
        org=route.org,
        variant=Variants(sorted(variants)),
        format=container or (_served_format(route.provider) if route.core else None),
        region=route.region,
        adapter=route.adapter or (text if "lora" in variants else None),
        base_model=route.base_model,
    )


def _maker(route: Route, reading: Reading, text: str, *, has_weights: bool) -> str | None:
    """Who serves a name without a route: only makers of models that nobody else serves can be told."""
    family = reading.family
    if has_weights or route.is_file or family is None or reading.family_at > 0 or "lora" in reading.variants:
        return None
    maker = CLOSED_NAMES.get(text) or CLOSED_FAMILIES.get(family)
    if maker is None and text == text.lower():
        maker = _open_maker(family, reading, text)
    return maker


def _open_maker(family: str, reading: Reading, text: str) -> str | None:
    """The maker's own API, or Ollama for a bare tag of its library, where the spelling shows it."""
    has_api_word = reading.tier is not None or reading.date is not None or "latest" in reading.variants
    is_sized = reading.params is not None and bool(reading.variants - {"latest"})
    if family in OPEN_FAMILIES and (text.startswith("open-") or (has_api_word and not is_sized)):
        return OPEN_FAMILIES[family]
    is_tag = reading.version_at == reading.family_at and reading.params is None and len(reading.words) <= 2
    is_tag = is_tag and family in OLLAMA_FAMILIES and reading.tier not in HOSTED_TIERS
    return "ollama" if is_tag or text in OLLAMA_LIBRARY else None


def _unlisted_family(reading: Reading) -> str | None:
    """The first words (two at most) that no table knows, without a version written onto them."""
    family: list[str] = []
    for index, word in enumerate(reading.words):
        is_name = index not in reading.known and word.text not in NOISE
        if is_name and word.text.isascii() and (match := re.match(r"[a-z]+(?:\d+[a-z]+)*", word.text)) is not None:
            family.append(match[0])
        elif family:
            break
        if len(family) == 2:
            break
    return "-".join(family) or None


def _lineage(text: str, core: str, route: Route, reading: Reading) -> tuple[str | None, str | None]:
    """(adapter, base model). A name that calls itself an adapter is the adapter."""
    if route.adapter is None and "lora" in reading.variants:
        return text, _adapted_model(core, reading)
    return route.adapter, route.base_model or _second_family(core, reading)


def _adapted_model(core: str, reading: Reading) -> str | None:
    """The base model in an adapter's name: the stretch from its family on, if it touches the word for the adapter.

    Another word between the two could belong to either, so then the base cannot be told.
    """
    if reading.family_at < 0:
        return None
    words = reading.words
    end = reading.family_at
    while end + 1 < len(words) and end + 1 in reading.known and words[end + 1].text not in _ADAPTER_WORDS:
        end += 1
    before = words[reading.family_at - 1].text if reading.family_at else ""
    after = words[end + 1].text if end + 1 < len(words) else ""
    if before not in _ADAPTER_WORDS and after not in _ADAPTER_WORDS:
        return None
    return core[words[reading.family_at].start : words[end].end] or None


def _second_family(core: str, reading: Reading) -> str | None:
    """The student of a distillation and the base of a fine-tune follow the model's own family: R1-Distill-Llama."""
    words = reading.words
    for at in range(reading.family_at + 1, len(words) if reading.family_at >= 0 else 0):
        if at in reading.known:
            continue
        attached = _ATTACHED.fullmatch(words[at].text)
        if attached is None or attached[1] not in BASE_FAMILIES:
            continue
        end = at
        if not attached[2] and at + 1 < len(words) and re.fullmatch(r"\d(?:\.\d+)?", words[at + 1].text):
            end = at + 1
        return core[words[at].start : words[end].end].lower() or None
    return None
