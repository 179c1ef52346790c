"""Model families and what their names alone say. A new family is a new word here."""

from collectors.model_names.vocabulary import words

# Families that are one word of the name, with or without their version attached ("qwen", "qwen2.5").
FAMILIES = words(
    # general models
    """
    claude gpt chatgpt=gpt gemini gemma palm bard lamda grok llama mistral mixtral ministral codestral devstral
    magistral pixtral voxtral mathstral leanstral qwen qwq qvq deepseek command north yi phi falcon granite olmo
    olmoe molmo tulu exaone solar glm chatglm codegeex cogvlm cogagent kimi moonlight moonshot minimax abab
    hunyuan hy=hunyuan ernie doubao seed mimo step internlm internvl baichuan aquila skywork orion xverse bluelm
    longcat ling ring bailing pangu telechat spark sensenova jamba jurassic nova titan palmyra reka inflection
    dbrx mpt bloom bloomz bloomchat opt pythia dolly cerebras redpajama stablelm stablecode starcoder santacoder
    starchat incoder codegen replit smollm smolvlm smolvla zephyr vicuna alpaca koala guanaco wizardlm wizardcoder
    wizardmath orca openchat openorca openhermes hermes deephermes=hermes capybara dolphin airoboros mythomax
    mythalion goliath magnum rocinante cydonia euryale lunaris stheno noromaid lumimaid fimbulvetr toppy
    unslopnemo skyfall anubis valkyrie weaver wayfarer celeste starcannon inferor rogue remm platypus nexusraven
    xwin tinyllama mobilellama openllama codellama codegemma recurrentgemma shieldgemma paligemma medgemma txgemma
    functiongemma embeddinggemma t5gemma vaultgemma codeqwen minicpm fuyu persimmon rwkv mamba zamba lfm hyena
    stripedhyena bitnet bonsai nemotron minitron megatron arctic snowflake=arctic cogito intellect aya apertus
    salamandra eurollm teuken sealion=sea-lion seallm sailor typhoon openthai swallow elyza rinna plamo
    calm shisa karakuri sarvam airavata openhathi krutrim viking poro saba nous virtuoso trinity maestro
    caller spotlight morph relace mercury laguna inkling muse sonar aion cobuddy kat fugu namazu tora mammoth
    metamath xgen galactica flan t5 ul2 bart bert roberta deberta distilbert modernbert electra deepcoder
    deepscaler openhands openthinker skyt1=sky-t1 marco huatuo biomistral meditron openbiollm med42 llemma
    prover goedel kimina acereason opencodereasoning opencoder crystal amber
     mai rnj nex composer learnlm lucie croissantllm cerbero occiglot leo kafkalm lokiai teapot bielik qra
    trurl polka pllum
    """
    # image and text, audio, images, video
    """
    llava bakllava moondream florence idefics kosmos blip instructblip cogview ovis uitars=ui-tars showui
    clip siglip internimage dinov2=dino dino sam whisper parakeet canary wav2vec2=wav2vec moonshine kokoro orpheus
    xtts bark csm sesame higgs tts sora imagen veo lyria flux sdxl kandinsky playground
    ideogram aura wan ltx mochi hunyuanvideo cogvideox got nougat trocr surya marker docling
    chandra dots olmocr reflection monkeyocr nanonets rolmocr paddleocr colpali colqwen colbert jev clef
    schematron
    """
    # embeddings and rerankers
    """
    bge gte e5 minilm mpnet nomic jina mxbai voyage
     embed rerank stella instructor uae sfr gist
    ember kalm bce text2vec m3e linq bilingual paraphrase
    textembedding=text-embedding
    """
    # older OpenAI completions
    """
    davinci curie babbage ada codex
    """
)

# Families whose name is also a common word, or a word of other names: they need a version, a size or a host beside.
WEAK_FAMILIES = frozenset(
    words(
        """
    command north spark step seed ring ling nova rogue weaver marker got clip sonar maestro caller spotlight
    trinity muse laguna amber crystal leo sam wan flux light aura playground surya dots ada embed tts ember gist
    arctic intellect kat relace morph nous cerebras mpt opt bark csm higgs orion electra flan bard hyena palm calm
    instructor sesame saba jev clef bert codex skyfall bloom marco prover linq bilingual paraphrase perceptron
    sailor swallow teapot chandra veo
    """
    )
)

# Families that are two or three words; the longest match wins.
FAMILY_PHRASES = {
    ("command", "r"): "command-r",
    ("command", "a"): "command-a",
    ("gpt", "oss"): "gpt-oss",
    ("gpt", "neox"): "gpt-neox",
    ("gpt", "neo"): "gpt-neo",
    ("gpt", "j"): "gpt-j",
    ("gpt", "image"): "gpt-image",
    ("gpt", "sw3"): "gpt-sw3",
    ("text", "embedding"): "text-embedding",
    ("text", "multilingual", "embedding"): "text-embedding",
    ("multimodal", "embedding"): "multimodal-embedding",
    ("text", "moderation"): "text-moderation",
    ("omni", "moderation"): "omni-moderation",
    ("text", "bison"): "text-bison",
    ("chat", "bison"): "chat-bison",
    ("code", "bison"): "code-bison",
    ("text", "davinci"): "davinci",
    ("code", "davinci"): "code-davinci",
    ("text", "ada"): "ada",
    ("text", "curie"): "curie",
    ("text", "babbage"): "babbage",
    ("dall", "e"): "dall-e",
    ("open", "mistral"): "mistral",
    ("open", "mixtral"): "mixtral",
    ("open", "codestral"): "codestral",
    ("open", "orca"): "openorca",
    ("open", "llama"): "openllama",
    ("tiny", "llama"): "tinyllama",
    ("code", "llama"): "codellama",
    ("vl", "llama"): "llama",
    ("nous", "hermes"): "hermes",
    ("nous", "capybara"): "capybara",
    ("deep", "hermes"): "hermes",
    ("stable", "diffusion"): "stable-diffusion",
    ("stable", "code"): "stable-code",
    ("stable", "lm"): "stablelm",
    ("ui", "tars"): "ui-tars",
    ("sky", "t1"): "sky-t1",
    ("sea", "lion"): "sea-lion",
    ("seed", "oss"): "seed-oss",
    ("seed", "coder"): "seed-coder",
    ("k2", "think"): "k2-think",
    ("nomic", "embed"): "nomic-embed",
    ("jina", "embeddings"): "jina-embeddings",
    ("jina", "reranker"): "jina-reranker",
    ("jina", "clip"): "jina-clip",
    ("arctic", "embed"): "arctic-embed",
    ("snowflake", "arctic", "embed"): "arctic-embed",
    ("snowflake", "arctic"): "arctic",
    ("snowflake", "arctic", "embed2"): "arctic-embed",
    ("titan", "embed"): "titan-embed",
    ("titan", "text"): "titan-text",
    ("titan", "image"): "titan-image",
    ("all", "minilm"): "minilm",
    ("all", "mpnet"): "mpnet",
    ("multilingual", "e5"): "e5",
    ("falcon", "mamba"): "falcon-mamba",
    ("mamba", "codestral"): "codestral-mamba",
    ("cerebras", "gpt"): "cerebras-gpt",
    ("codestral", "mamba"): "codestral-mamba",
    ("t5", "gemma"): "t5gemma",
    ("vault", "gemma"): "vaultgemma",
    ("shield", "gemma"): "shieldgemma",
    ("pali", "gemma"): "paligemma",
    ("recurrent", "gemma"): "recurrentgemma",
    ("ernie", "bot"): "ernie",
    ("lfm", "vl"): "lfm",
    ("dots", "ocr"): "dots.ocr",
    ("got", "ocr"): "got-ocr",
    ("nano", "banana"): "nano-banana",
    ("pplx", "embed"): "pplx-embed",
    ("pplx", "decider"): "pplx-decider",
    ("muse", "spark"): "muse-spark",
    ("muse", "glimmer"): "muse-glimmer",
    ("muse", "wonder"): "muse-wonder",
    ("flan", "t5"): "flan-t5",
    ("flan", "ul2"): "flan-ul2",
    ("sentence", "t5"): "sentence-t5",
    ("stella", "en"): "stella",
    ("step", "audio"): "step-audio",
    ("mistral", "ocr"): "mistral-ocr",
    ("mistral", "embed"): "mistral-embed",
    ("codestral", "embed"): "codestral-embed",
    ("computer", "use"): "computer-use",
}

# Letters that belong to the version, not to the family: deepseek-r1, kimi-k2, glm-z1, minimax-m2.
VERSION_LETTERS = {
    "deepseek": "r",
    "kimi": "k",
    "minimax": "m",
    "glm": "z",
    "palmyra": "x",
    "solar": "",
    "skywork": "r",
    "hunyuan": "t",
    "jamba": "",
    "baichuan": "m",
    "ernie": "x",
    "laguna": "",
    "nex": "n",
    "reka": "",
    "falcon": "h",
}

# What a family is for, when its name says so without the word.
FAMILY_VARIANTS = {
    "text-embedding": "embedding",
    "nomic-embed": "embedding",
    "jina-embeddings": "embedding",
    "arctic-embed": "embedding",
    "titan-embed": "embedding",
    "mistral-embed": "embedding",
    "codestral-embed": "embedding",
    "multimodal-embedding": "embedding",
    "granite-embedding": "embedding",
    "embeddinggemma": "embedding",
    "pplx-embed": "embedding",
    "embed": "embedding",
    "bge": "embedding",
    "gte": "embedding",
    "e5": "embedding",
    "minilm": "embedding",
    "mpnet": "embedding",
    "mxbai": "embedding",
    "voyage": "embedding",
    "rerank": "reranker",
    "jina-reranker": "reranker",
    "shieldgemma": "guard",
    "omni-moderation": "guard",
    "text-moderation": "guard",
    "mistral-ocr": "ocr",
    "dots.ocr": "ocr",
    "got-ocr": "ocr",
    "monkeyocr": "ocr",
    "olmocr": "ocr",
    "paddleocr": "ocr",
    "rolmocr": "ocr",
}

# Families whose "base" is a size beside small and large.
SIZED_BASE = frozenset({name for name, use in FAMILY_VARIANTS.items() if use in {"embedding", "reranker"}}) | {
    "bert",
    "roberta",
    "deberta",
    "modernbert",
    "t5",
    "flan-t5",
    "bart",
    "whisper",
    "florence",
    "siglip",
    "clip",
}

# Families that others are distilled into or fine-tuned from.
BASE_FAMILIES = frozenset(
    {"llama", "qwen", "mistral", "mixtral", "gemma", "phi", "yi", "falcon", "solar", "deepseek", "granite", "pythia"}
    | {"codellama", "tinyllama", "starcoder", "internlm", "glm", "mpt", "olmo", "smollm", "vicuna", "qwq"}
)
