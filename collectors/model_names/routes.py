"""Where a name says the model is served, and what is left of the name without that."""

import re
from dataclasses import dataclass, field

from collectors.model_names.hosts import (
    AZURE_SCOPES,
    BEDROCK_GEOGRAPHIES,
    BEDROCK_VENDORS,
    HUB_LOWER_CASE,
    PROXIES,
    ROUTER_AUTHORS,
    ROUTER_SUFFIXES,
    ROUTES,
)

_SEGMENT = re.compile(r"[A-Za-z0-9~@][\w.~@+=:-]{0,127}")
_FILE = re.compile(r"\.[A-Za-z]\w{1,11}$")
_FINE_TUNED = re.compile(r"([a-z0-9][\w.-]*?)[.:]ft-", re.IGNORECASE)
_CLOUD_REGION = re.compile(r"[a-z]{2}(?:-gov)?-[a-z]+-\d")
_PATH = re.compile(r"(?:[A-Za-z]:)?[\\/]|\.{1,2}[\\/]|~[\\/]")
_URL = re.compile(r"[a-z][a-z0-9+]{1,9}://", re.IGNORECASE)
_HUB_CACHE = re.compile(r"models--([A-Za-z0-9][\w.-]*?)--([A-Za-z0-9][\w.-]*)")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BEDROCK_REVISION = re.compile(r"(?:-v?(\d+))?:(\d+)(?::\w+)?$")
_RECIPE_TAG = re.compile(r"(?:ud-)?(?:i?q\d|tq\d|[bf]p?\d\d|bf16|mxfp4)[\w.-]*", re.IGNORECASE)
_OLLAMA_TAG = re.compile(
    r"latest|cloud|(?:\d+(?:\.\d+)?|\d+x\d+)[bm](?:-.*)?|e\d+b(?:-.*)?|(?:.*-)?(?:q\d.*|fp16|bf16|f16|instruct|chat|text|it-qat|mini|medium|"
    r"small|large|code|base|thinking|vision|scout|maverick|cloud|v\d[\d.]*)",
    re.IGNORECASE,
)
# Weights whose own name says nothing: the folder above them has the model's.
_NAMELESS_FILES = frozenset(
    {"model", "pytorch_model", "adapter_model", "consolidated", "weights", "snapshots", "main", "ggml-model", "resolve"}
)


@dataclass(slots=True)
class Route:
    """A name taken apart: who serves it, who owns it, and the part that names the model (`core`)."""

    core: str
    provider: str | None = None
    org: str | None = None
    region: str | None = None
    adapter: str | None = None
    base_model: str | None = None
    revision: str | None = None
    variants: list[str] = field(default_factory=list)
    is_file: bool = False


def split_route(name: str) -> Route:
    """Take the hosting part off `name`; a name that follows no known form is all core."""
    lower = name.lower()
    if lower.startswith("ft:"):
        return _fine_tune(name)
    if lower.startswith("arn:"):
        return _arn(name)
    if _URL.match(name):
        return _url(name)
    if "\\" in name or _PATH.match(name):
        return _path(name.replace("\\", "/"))
    if "/" in name:
        return _segments(name.split("/"))
    return _single(name)


def _fine_tune(name: str) -> Route:
    """`ft:<base>:<organisation>:<suffix>:<id>`, as OpenAI and Mistral name fine-tuned models."""
    _, base, *rest = name.split(":")
    route = _single(base) if "/" not in base else Route(base)
    route.provider = "mistral" if "mistral" in base.lower() or "mixtral" in base.lower() else "openai"
    route.org = rest[0] or None if rest else None
    route.base_model = base or None
    route.variants.append("finetune")
    return route


def _arn(name: str) -> Route:
    """`arn:aws:bedrock:<region>:<account>:<kind>/<id>`: a geography in the id says more than the region of the call."""
    service_region = name.split(":", 5)
    route = _bedrock(name.rsplit("/", 1)[-1])
    if len(service_region) == 6 and service_region[2].lower().startswith("sagemaker"):
        route.provider = "sagemaker"
    if route.region is None and len(service_region) > 3 and _CLOUD_REGION.fullmatch(service_region[3]):
        route.region = service_region[3]
    return route


def _url(name: str) -> Route:
    scheme, _, rest = name.partition("://")
    segments = [part for part in rest.split("?", 1)[0].split("/") if part]
    if scheme.lower() == "hf" or (segments and segments[0].lower().endswith(("huggingface.co", "hf.co"))):
        if scheme.lower() != "hf":
            segments = segments[1:]
        return _hub([part for part in segments if part not in {"resolve", "blob", "tree", "main"}])
    return _path("/" + "/".join(segments[1:]))


def _path(path: str) -> Route:
    """A file or folder: only its last telling part names the model, unless it lies in the Hugging Face cache."""
    if (cached := _HUB_CACHE.search(path)) is not None:
        last = path.rsplit("/", 1)[-1]
        core = last if "." in last and not _COMMIT.fullmatch(last) and "--" not in last else cached[2]
        return Route(cached[2] if _is_nameless(core) else core, provider="huggingface", org=cached[1])
    parts = [part for part in path.split("/") if part not in {"", ".", "..", "~"}]
    extension = ""
    while len(parts) > 1 and _is_nameless(parts[-1]):
        weights = _FILE.search(parts.pop())
        extension = extension or (weights[0] if weights is not None else "")
    return Route(parts[-1] + extension if parts else "", is_file=True)


def _is_nameless(part: str) -> bool:
    stem = part.split(".", 1)[0].lower()
    return _COMMIT.fullmatch(part) is not None or re.sub(r"-\d{5}-of-\d{5}$", "", stem) in _NAMELESS_FILES


def _segments(parts: list[str]) -> Route:
    first = parts[0].lower()
    if first in PROXIES and len(parts) > 1:
        return split_route("/".join(parts[1:]))
    if first == "accounts" and len(parts) >= 4:
        return Route(parts[-1], provider="fireworks", org=parts[1])
    if first in {"projects", "publishers"}:
        return _vertex(parts)
    if first in {"models", "tunedmodels"} and len(parts) == 2:
        route = _single(parts[1])
        if parts[1].lower().startswith(("gemini", "gemma", "imagen", "veo", "text-embedding", "embedding", "learnlm")):
            route.provider = "google"
        return route
    provider = ROUTES.get(parts[0])  # routes are lower case; Databricks/ or Snowflake/ is an author
    is_author = first in ROUTER_AUTHORS or first in HUB_LOWER_CASE
    if provider is None or (len(parts) == 2 and is_author and not _is_direct(first, parts[1])):
        return _hub(parts)
    return _hosted(provider, parts[1:])


def _is_direct(author: str, model: str) -> bool:
    """Whether `author/model` goes to the maker's own API rather than to a router or hub that files by author.

    Routers write claude-3.5, the maker claude-3-5; dates, "latest" and fine-tunes are only the maker's.
    """
    lower = model.lower()
    if ":" in lower and not lower.startswith("ft:"):
        return False
    if lower.startswith(HUB_LOWER_CASE.get(author, ("\0",))):
        return False
    if author not in ROUTER_AUTHORS:
        return True
    if author == "anthropic":
        return re.search(r"-\d-\d(?:-|$)|\d{8}|-latest$", lower) is not None
    return lower.startswith("ft:") or re.search(r"reasoner|-latest$|^text-embedding", lower) is not None


def _hosted(provider: str, rest: list[str]) -> Route:
    """The part after a route: `together_ai/<org>/<model>`, `bedrock/<region>/<vendor>.<model>`, ..."""
    region = None
    while len(rest) > 1 and _is_scope(provider, rest[0]):
        if _CLOUD_REGION.fullmatch(rest[0].lower()) or rest[0].lower() in AZURE_SCOPES:
            region = rest[0].lower()
        rest = rest[1:]
    if provider == "bedrock":
        route = _bedrock(rest[-1])
    elif provider == "predibase":
        return Route("", provider=provider, org=provider, adapter="/".join(rest) or None, variants=["lora"])
    elif provider == "huggingface":
        if len(rest) >= 3 and rest[0].lower() in ROUTES | {"auto": ""}:
            rest = rest[1:]
        route = _hub(rest)
        route.provider = provider
    elif rest[0].lower() in {"projects", "publishers"}:
        route = _vertex(rest)
    elif rest[0].lower() == "accounts" and len(rest) >= 4:
        route = Route(rest[-1], org=rest[1])
    elif rest[0].lower().startswith("ft:"):
        route = _fine_tune("/".join(rest))
    else:
        owner = "/".join(rest[:-1])
        route = Route(rest[-1], org=owner if owner not in {"", "library"} else None)
        _strip_suffix(route, provider)
    route.provider = provider
    route.region = route.region or region
    return route


def _is_scope(provider: str, segment: str) -> bool:
    lower = segment.lower()
    if provider == "bedrock":
        return True
    if provider == "azure":
        return lower in AZURE_SCOPES or lower in {"global-standard", "standard", "deployments", "openai"}
    if provider == "cloudflare":
        return lower in {"@cf", "@hf"}
    return provider == "databricks" and lower == "serving-endpoints"


def _vertex(parts: list[str]) -> Route:
    """`projects/<p>/locations/<l>/publishers/<org>/models/<model>`, or the part of it from `publishers` on."""
    route = Route(parts[-1], provider="vertex")
    lower = [part.lower() for part in parts]
    if "publishers" in lower[:-1]:
        route.org = parts[lower.index("publishers") + 1]
    if "locations" in lower[:-1]:
        route.region = lower[lower.index("locations") + 1]
    return route


def _bedrock(model: str) -> Route:
    """`[<geography>.]<vendor>.<model>[-v<revision>:<n>[:<context>]]`."""
    geography, dot, rest = model.partition(".")
    region = None
    if dot and geography.lower() in BEDROCK_GEOGRAPHIES and "." in rest:
        region, model = geography.lower(), rest
    vendor, dot, rest = model.partition(".")
    if not dot or vendor.lower() not in BEDROCK_VENDORS:
        return Route(_BEDROCK_REVISION.sub("", model), provider="bedrock", region=region)
    route = Route(rest, provider="bedrock", org=vendor, region=region)
    if (revision := _BEDROCK_REVISION.search(rest)) is not None:
        route.core = rest[: revision.start()]
        # v0:2 is version 0.2 and v2:1 is 2.1 of makers who count so; v1:0 counts the revisions of the host.
        number, minor = revision[1], revision[2]
        if number is not None and (number == "0" or minor != "0"):
            route.revision = f"{number}.{minor}"
        elif number != "1":
            route.revision = number
    # deepseek.r1 names the family in the vendor only
    if vendor.lower() not in route.core.lower() and vendor.lower() == "deepseek":
        route.core = f"{vendor}-{route.core}"
    return route


def _hub(parts: list[str]) -> Route:
    """`org/name[:tag]`, `org/name/file`: a hub repository, or the same written for a router."""
    if len(parts) < 2 or not all(_SEGMENT.fullmatch(part) for part in parts):
        return Route(" ".join(parts))
    org, model = parts[0], parts[1]
    if len(parts) > 2:
        file = parts[-1]
        if _FILE.search(file) is None:
            return Route(file, org=parts[-2] if len(parts) == 3 else None, is_file=True)
        return Route(model if _is_nameless(file) else file, provider="huggingface", org=org)
    route = Route(model, org=org)
    if org.startswith("~"):  # a router's moving alias
        route.org, route.provider = org[1:], "openrouter"
        return route
    _strip_suffix(route, None)
    if route.provider is None:
        is_router = org in ROUTER_AUTHORS and route.core == route.core.lower()
        is_router = is_router and not route.core.startswith(HUB_LOWER_CASE.get(org, ("\0",)))
        route.provider = "openrouter" if is_router else "huggingface"
    return route


def _strip_suffix(route: Route, provider: str | None) -> None:
    """Take `:free`, `:Q4_K_M`, `:70b` or `:adapter` off the core and note what it says."""
    core, colon, tag = route.core.partition(":")
    if not colon or not tag:
        return
    lower = tag.lower()
    route.core = core
    if provider == "ollama":
        route.core = f"{core}-{tag}"
    elif lower in ROUTER_SUFFIXES:
        route.variants.append(lower)
        route.provider = "openrouter"
    elif _RECIPE_TAG.fullmatch(tag):
        route.core, route.provider = f"{core}-{tag}-GGUF", "huggingface"
    elif provider is None and _OLLAMA_TAG.fullmatch(tag):
        route.core, route.provider = f"{core}-{tag}", "ollama"
    elif lower in ROUTES or lower in {"fastest", "cheapest", "preferred", "auto"}:
        route.provider = "huggingface"
    else:
        route.adapter = tag
        route.base_model = core if route.org is None else f"{route.org}/{core}"
        route.variants.append("lora")


def _single(name: str) -> Route:
    """A name without a slash."""
    vendor = name.split(".", 2)
    head = vendor[0].lower()
    if len(vendor) > 1 and (
        head in BEDROCK_VENDORS
        or (head in BEDROCK_GEOGRAPHIES and len(vendor) > 2 and vendor[1].lower() in BEDROCK_VENDORS)
    ):
        return _bedrock(name)
    lower = name.lower()
    if lower.startswith("databricks-") and "dolly" not in lower and "dbrx" not in lower:
        return Route(name[len("databricks-") :], provider="databricks")
    if lower.startswith("system.ai."):
        return Route(name[len("system.ai.") :], provider="databricks")
    if "@" in name:
        core, _, version = name.partition("@")
        return Route(f"{core}-{version}", provider="vertex") if version else Route(core)
    if (tuned := _FINE_TUNED.match(name)) is not None:
        return Route(tuned[1], base_model=tuned[1], variants=["finetune"])
    route = Route(name)
    core, colon, tag = name.partition(":")
    if colon and tag and _SEGMENT.fullmatch(tag):
        if tag.lower() in ROUTER_SUFFIXES:
            route.core = core
            route.variants.append(tag.lower())
            route.provider = "openrouter"
        elif core != core.lower() and not _OLLAMA_TAG.fullmatch(tag) and not _RECIPE_TAG.fullmatch(tag):
            route.core, route.adapter, route.base_model = core, tag, core
            route.variants.append("lora")
        elif _OLLAMA_TAG.fullmatch(tag) or not re.search(r"\d[bm](?:-|$)", core.lower()):
            route.core, route.provider = f"{core}-{tag}", "ollama"
        else:
            route.core, route.adapter, route.base_model = core, tag, core
            route.variants.append("lora")
    return route
