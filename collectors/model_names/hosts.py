"""Who serves models, and how each host writes its names. A new host is a new row here."""

from collectors.model_names.families import BASE_FAMILIES
from collectors.model_names.vocabulary import words

# The part after ":" of a router's model name.
ROUTER_SUFFIXES = frozenset({"free", "nitro", "floor", "extended", "thinking", "online", "beta", "exacto", "batch"})

# Families of Ollama's library that attach their version to their name there; a name like that is a bare tag.
OLLAMA_FAMILIES = BASE_FAMILIES | frozenset(
    {"exaone", "dolphin", "hermes", "tulu", "stablelm", "olmoe", "minicpm", "lfm", "nemotron", "wizardlm", "moondream"}
)

# Families that only their maker serves: a bare name tells the provider.
CLOSED_FAMILIES = {
    "claude": "anthropic",
    "gpt": "openai",
    "o": "openai",
    "text-embedding": "openai",
    "dall-e": "openai",
    "gpt-image": "openai",
    "omni-moderation": "openai",
    "text-moderation": "openai",
    "computer-use": "openai",
    "codex": "openai",
    "sora": "openai",
    "davinci": "openai",
    "code-davinci": "openai",
    "curie": "openai",
    "babbage": "openai",
    "ada": "openai",
    "gemini": "google",
    "palm": "google",
    "imagen": "google",
    "veo": "google",
    "lyria": "google",
    "text-bison": "google",
    "chat-bison": "google",
    "code-bison": "google",
    "multimodal-embedding": "google",
    "grok": "xai",
    "command": "cohere",
    "command-r": "cohere",
    "command-a": "cohere",
    "embed": "cohere",
    "rerank": "cohere",
    "sonar": "perplexity",
    "pplx-embed": "perplexity",
    "pplx-decider": "perplexity",
    "voyage": "voyage",
    "mistral-embed": "mistral",
    "mistral-ocr": "mistral",
    "codestral-embed": "mistral",
    "doubao": "volcengine",
}

# Names of open families that their makers keep for their own API.
CLOSED_NAMES = {
    "whisper-1": "openai",
    "tts-1": "openai",
    "tts-1-hd": "openai",
    "tts-1-1106": "openai",
    "tts-1-hd-1106": "openai",
    "deepseek-chat": "deepseek",
    "deepseek-reasoner": "deepseek",
    "text-embedding-004": "google",
    "text-embedding-005": "google",
    "text-multilingual-embedding-002": "google",
}

# Makers who serve some members of an open family themselves, under names without a size or with a date or "latest".
OPEN_FAMILIES = {
    "mistral": "mistral",
    "ministral": "mistral",
    "codestral": "mistral",
    "devstral": "mistral",
    "magistral": "mistral",
    "pixtral": "mistral",
    "voxtral": "mistral",
    "mixtral": "mistral",
    "codestral-mamba": "mistral",
}

# Sizes in words that the makers of open families give to models without public weights (qwen3-coder-plus).
HOSTED_TIERS = frozenset({"plus", "max", "turbo", "flash", "flash-lite", "pro", "lite"})

# Names in Ollama's library that carry no version: bare, they mean its "latest" tag.
OLLAMA_LIBRARY = frozenset(
    words(
        """
    nomic-embed-text mxbai-embed-large all-minilm snowflake-arctic-embed snowflake-arctic-embed2 bge-m3 bge-large
    granite-embedding paraphrase-multilingual embeddinggemma qwen3-embedding mistral mistral-nemo mixtral
    codellama tinyllama tinydolphin llava llava-llama3 llava-phi3 bakllava moondream minicpm-v deepseek-coder
    deepseek-llm deepseek-coder-v2 deepseek-r1 deepseek-v2 deepseek-v2.5 deepseek-v3 deepseek-v3.1 deepseek-ocr
    qwen qwq gemma codegemma shieldgemma phi dolphin-mistral dolphin-mixtral dolphin-llama3 dolphin-phi falcon
    vicuna zephyr openchat openhermes starcoder starling-lm orca-mini neural-chat nous-hermes nous-hermes2
    nous-hermes2-mixtral wizardcoder wizard-math wizardlm wizard-vicuna-uncensored llama2-uncensored
    llama2-chinese llama-guard3 llama-pro yi yi-coder solar solar-pro stable-code stablelm-zephyr stable-beluga
    sqlcoder samantha-mistral notus notux nemotron nemotron-mini mathstral command-r7b aya aya-expanse codeqwen
    codebooga codeup duckdb-nsql everythinglm firefunction-v2 goliath granite-code granite3-dense granite3-moe
    granite3-guardian hermes3 internlm2 magicoder marco-o1 medllama2 meditron megadolphin mistral-openorca
    mistrallite nexusraven nuextract open-orca-platypus2 openthinker opencoder phind-codellama reader-lm
    reflection smallthinker smollm xwinlm yarn-llama2 yarn-mistral alfred athene-v2 bespoke-minicheck cogito
    deepscaler deepcoder exaone-deep gpt-oss gpt-oss-safeguard qwen3-coder qwen3-vl qwen3-next glm-ocr rnj-1 lfm2
    ministral-3 devstral-small-2
    """
    )
)

# First segment of a routed name -> who serves it. A router's own prefix may stand before another route.
ROUTES = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "chatgpt": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "google_ai_studio": "google",
    "google_genai": "google",
    "palm": "google",
    "mistral": "mistral",
    "codestral": "mistral",
    "text-completion-codestral": "mistral",
    "xai": "xai",
    "deepseek": "deepseek",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "bedrock_mantle": "bedrock",
    "amazon_bedrock": "bedrock",
    "aws_bedrock": "bedrock",
    "amazon-bedrock": "bedrock",
    "azure": "azure",
    "azure_ai": "azure",
    "azure_text": "azure",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "vertex": "vertex",
    "vertex_ai": "vertex",
    "vertex_ai_beta": "vertex",
    "vertexai": "vertex",
    "google_vertexai": "vertex",
    "openrouter": "openrouter",
    "together": "together",
    "together_ai": "together",
    "togetherai": "together",
    "fireworks": "fireworks",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "groq": "groq",
    "deepinfra": "deepinfra",
    "databricks": "databricks",
    "cloudflare": "cloudflare",
    "workers-ai": "cloudflare",
    "@cf": "cloudflare",
    "@hf": "cloudflare",
    "predibase": "predibase",
    "vllm": "vllm",
    "hosted_vllm": "vllm",
    "ollama": "ollama",
    "ollama_chat": "ollama",
    "registry.ollama.ai": "ollama",
    "huggingface": "huggingface",
    "hf": "huggingface",
    "hf.co": "huggingface",
    "huggingface.co": "huggingface",
    "perplexity": "perplexity",
    "cerebras": "cerebras",
    "sambanova": "sambanova",
    "nebius": "nebius",
    "novita": "novita",
    "nvidia_nim": "nvidia_nim",
    "nscale": "nscale",
    "hyperbolic": "hyperbolic",
    "replicate": "replicate",
    "watsonx": "watsonx",
    "watsonx_text": "watsonx",
    "sagemaker": "sagemaker",
    "sagemaker_chat": "sagemaker",
    "snowflake": "snowflake",
    "github": "github",
    "github_copilot": "github_copilot",
    "lm_studio": "lm_studio",
    "llamafile": "llamafile",
    "llamacpp": "llama.cpp",
    "xinference": "xinference",
    "friendliai": "friendliai",
    "lambda_ai": "lambda",
    "featherless_ai": "featherless",
    "voyage": "voyage",
    "jina_ai": "jina",
    "ai21": "ai21",
    "ai21_chat": "ai21",
    "moonshot": "moonshot",
    "dashscope": "dashscope",
    "volcengine": "volcengine",
    "zai": "zai",
    "oci": "oci",
    "baseten": "baseten",
    "anyscale": "anyscale",
    "clarifai": "clarifai",
    "modal": "modal",
    "gradient_ai": "gradient",
    "meta_llama": "meta",
    "sglang": "sglang",
    "tgi": "tgi",
    "text-generation-inference": "tgi",
}

# Proxies that put their own name first.
PROXIES = frozenset({"litellm", "litellm_proxy", "portkey", "helicone", "gateway"})

# Hosts that serve files of weights, not an API of their own.
WEIGHT_HOSTS = frozenset({"huggingface", "ollama", "vllm", "sglang", "tgi", "llama.cpp", "lm_studio", "llamafile"})

# Authors as OpenRouter spells them. Those in capitals on the Hugging Face hub never write so there.
ROUTER_AUTHORS = frozenset(
    words(
        """
    openai anthropic google meta-llama mistralai deepseek x-ai qwen cohere perplexity amazon nvidia microsoft
    moonshotai minimax z-ai thudm baidu tencent bytedance bytedance-seed ai21 liquid nousresearch
    cognitivecomputations thedrummer sao10k inflection inception arcee-ai openrouter switchpoint stepfun
    stepfun-ai tngtech aion-labs neversleep gryphe undi95 eva-unit-01 anthracite-org raifle alpindale mancer
    xiaomi kwaipilot meituan inclusionai ibm-granite allenai writer upstage rekaai morph relace deepcogito
    prime-intellect opengvlab agentica-org arliai shisa-ai featherless scb10x steelskull latitudegames infermatic
    01-ai meta poolside thinkingmachines sakana liquid aetherwiing
    """
    )
)

# Authors of the list above whose repositories on the Hugging Face hub are lower case too.
HUB_LOWER_CASE = {
    "google": ("gemma", "paligemma", "medgemma", "codegemma", "embeddinggemma", "flan-t5", "bert", "siglip", "t5gemma"),
    "ibm-granite": ("granite",),
    "openai": ("gpt-oss", "whisper", "clip"),
    "microsoft": ("phi",),
    "stepfun-ai": ("step",),
    "databricks": ("dolly", "dbrx"),
    "snowflake": ("snowflake-arctic", "arctic"),
}

BEDROCK_VENDORS = frozenset(
    words(
        """
    anthropic amazon meta mistral cohere ai21 stability deepseek qwen openai google nvidia writer moonshot
    moonshotai minimax twelvelabs luma zai
    """
    )
)

BEDROCK_GEOGRAPHIES = frozenset({"us", "eu", "apac", "ap", "jp", "au", "ca", "sa", "us-gov", "global", "regional"})

# Azure deployment scopes, as they stand between the route and the model.
AZURE_SCOPES = frozenset({"us", "eu", "global"})

# Publishers of converted weights, and what they convert to.
FORMAT_OWNERS = {"mlx-community": "mlx"}
