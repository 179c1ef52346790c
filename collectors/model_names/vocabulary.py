"""Words of model names that are not families: sizes in words, training roles, noise.

Tables map a lower-case word of a name to the word the product shows; a word in no table is left alone.
"""


def words(text: str) -> dict[str, str]:
    """``"a b=c"`` -> ``{"a": "a", "b": "c"}``."""
    pairs = (word.partition("=") for word in text.split())
    return {word: value or word for word, _, value in pairs}


# Size in words. "flash" + "lite" is "flash-lite".
TIERS = words(
    """
    nano micro mini small medium large xl xxl pro flash lite haiku sonnet opus fable mythos turbo air airx flashx
    plus max ultra premier super fast instant versatile scout maverick behemoth tiny heavy edge express sonic nemo
    saba light highspeed basic prime sol terra luna astra cyber rosalind argon tall venti glimmer spark lightning
    """
)

# A second size word is part of the first with these.
TIER_PAIRS = frozenset(
    {("flash", "lite"), ("nano", "pro"), ("mini", "fast"), ("mini", "flash"), ("omni", "flash")}
    | {(name, "pro") for name in ("sol", "terra", "luna", "astra")}
)

VARIANTS = words(
    """
    base pretrain=base pretrained=base foundation=base instruct it=instruct inst=instruct instruction=instruct
    instruct2=instruct chat thinking think=thinking thinker=thinking reasoning reasoner=reasoning distill
    distilled=distill coder code=coder coding=coder vl vision visual=vision vlm=vl multimodal omni embedding
    embeddings=embedding embed=embedding emb=embedding embedder=embedding reranker rerank=reranker
    reranking=reranker math maths=math guard guardian=guard safeguard=guard shield=guard moderation=guard
    safety=guard ocr moe preview exp experimental=exp latest nightly next lora qlora=lora loras=lora adapter=lora
    adapters=lora peft=lora dora=lora dpo sft orpo kto grpo ppo rlhf simpo rl finetune finetuned=finetune
    ft=finetune finetuning=finetune tuned=finetune merged=merge merge abliterated uncensored heretic=abliterated
    qat realtime audio transcribe tts asr speech live image search codex agent agentic reward prm
    function prover draft speculator eagle eagle3=eagle medusa mtp beta alpha speciale terminus zero long open
    """
)

VARIANT_PHRASES = {
    ("non", "reasoning"): "non-reasoning",
    ("non", "thinking"): "non-thinking",
    ("deep", "research"): "deep-research",
    ("tool", "use"): "tool-use",
    ("function", "calling"): "function",
    ("computer", "use"): "computer-use",
    ("multi", "agent"): "multi-agent",
    ("fine", "tuned"): "finetune",
    ("fine", "tune"): "finetune",
    ("pre", "trained"): "base",
}

# A letter that is a word of its own.
LETTER_VARIANTS = {("minicpm", "v"): "vision", ("minicpm", "o"): "omni", ("cogvlm", "v"): "vision"}

# Words in a name that say nothing about which model it is.
NOISE = frozenset(
    words(
        """
    hf meta nvidia google microsoft alibaba ibm amazon the model models ai llm lm v fp kv cache dynamic block
    quantized quant quants static imatrix imat i1 unsloth gguf ggml safetensors mlx exl2 exl3 onnx awq gptq text
    en english multilingual maas tpu cpu gpu cuda int hd context ctx online bnb nf4 final release
    """
    )
)
