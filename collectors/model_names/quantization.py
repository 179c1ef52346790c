"""How the weights are stored: recipe or method, bits a weight, and the container where the method implies one."""

import re
from dataclasses import dataclass

_QUANTIZATION = re.compile(
    r"""(?<![a-z0-9])(?:
    (?P<recipe>(?:ud[-_])?(?:
        iq\d(?:[-_](?:xxs|xs|nl|kss|ks|kt|kl|k|s|m|l))?
        |tq\d[-_]0
        |mxfp4[-_]moe
        |q\df(?:16|32)_\d
        |q\d(?:[-_]?k(?:[-_](?:xxl|xl|xs|s|m|l|p))?|[-_][01](?:[-_]\d[-_]\d)?)
    ))
    |(?P<exl>exl[23](?:[-_](?:\d[._]\d{1,2}|\d)(?:[-_]?(?:bpw|bits?))?)?)
    |(?P<bits>\d{1,3}(?:\.\d{1,4})?[-_]?bits?|\d{1,3}(?:[._]\d{1,4})?[-_]?bpw)
    |(?P<weights>w\d{1,2}a(?:\d{1,2}|fp8))
    |(?P<bare>q[2-8])
    |(?P<word>awq|gptq(?:model)?|aqlm|hqq|eetq|quip|quipsharp|bnb|bitsandbytes|nvfp4|mxfp[468]|[bn]?f(?:p)?(?:4|6|8|16|32)
        |u?int[2348]|dwq|auto[-_]?round|torchao|marlin|squeezellm|smoothquant|spqr|vptq|e4m3|e5m2)
    )(?![a-z0-9]|\.\d)""",
    re.VERBOSE,
)
_METHODS = {
    "awq": "AWQ",
    "gptq": "GPTQ",
    "gptqmodel": "GPTQ",
    "aqlm": "AQLM",
    "hqq": "HQQ",
    "eetq": "EETQ",
    "quip": "QUIP",
    "quipsharp": "QUIP",
    "bnb": "BNB",
    "bitsandbytes": "BNB",
    "autoround": "AUTOROUND",
    "torchao": "TORCHAO",
    "marlin": "MARLIN",
    "squeezellm": "SQUEEZELLM",
    "smoothquant": "SMOOTHQUANT",
    "spqr": "SPQR",
    "vptq": "VPTQ",
}
# Methods that exist at one width only.
_METHOD_BITS = {"AWQ": 4.0, "SMOOTHQUANT": 8.0}
_PRECISIONS = {
    "nvfp4": ("NVFP4", 4),
    "mxfp4": ("MXFP4", 4),
    "mxfp6": ("MXFP6", 6),
    "mxfp8": ("MXFP8", 8),
    "fp4": ("FP4", 4),
    "nf4": ("NF4", 4),
    "fp6": ("FP6", 6),
    "fp8": ("FP8", 8),
    "f8": ("FP8", 8),
    "e4m3": ("FP8", 8),
    "e5m2": ("FP8", 8),
    "int2": ("INT2", 2),
    "int3": ("INT3", 3),
    "int4": ("INT4", 4),
    "uint4": ("INT4", 4),
    "int8": ("INT8", 8),
    "uint8": ("INT8", 8),
    "bf16": ("BF16", 16),
    "fp16": ("FP16", 16),
    "f16": ("FP16", 16),
    "fp32": ("FP32", 32),
    "f32": ("FP32", 32),
}
# Containers in which a bare "q4" is a recipe and not a quarter of a year, and "4bit" names their own method.
_RECIPE_HINTS = ("gguf", "ggml", "mlx", "onnx", "mlc")


@dataclass(slots=True)
class Quantization:
    """`recipe` wins over `method`, `method` over `precision`; `bits` is what the name writes out."""

    recipe: str | None = None
    method: str | None = None
    precision: str | None = None
    weights: str | None = None
    exl: str | None = None
    bits: float | None = None
    precision_bits: float | None = None
    is_dwq: bool = False

    def named(self, container: str | None) -> tuple[str | None, float | None]:
        """(quantization, bits) in `container`."""
        if self.recipe is not None or self.exl is not None:
            return self.recipe or self.exl, self.bits
        if self.method is not None:
            return self.method, self.bits or self.precision_bits or _METHOD_BITS.get(self.method)
        if container == "mlx" and self.bits is not None and self.precision is None:
            return ("MLX-DWQ" if self.is_dwq else "MLX"), self.bits
        if self.weights is not None and (self.precision is None or self.precision.startswith("INT")):
            return self.weights, self.bits
        if self.precision is not None:
            # GGUF files write F16 where others write FP16
            is_short = container in {"gguf", "ggml"} and self.precision in {"FP16", "FP32"}
            return (self.precision.replace("P", "") if is_short else self.precision), self.precision_bits
        return ("DWQ" if self.is_dwq else None), self.bits


def read_quantization(core: str, *, hint: str) -> tuple[Quantization, str]:
    """The quantisation words of `core`, and `core` in lower case with them blanked (positions kept).

    `hint` is the whole name: its container decides whether a bare "q4" counts.
    """
    found = Quantization()
    rest = core.lower()
    for match in _QUANTIZATION.finditer(rest):
        kind, text = match.lastgroup, match[0]
        if kind == "bare" and (found.precision is not None or not any(word in hint for word in _RECIPE_HINTS)):
            continue
        _note(found, kind, text)
        rest = rest[: match.start()] + " " * len(text) + rest[match.end() :]
    return found, rest


def _note(found: Quantization, kind: str | None, text: str) -> None:
    if kind in {"recipe", "bare"}:
        recipe = text.upper().replace("-", "_")
        found.recipe = "UD-" + recipe[3:] if recipe.startswith("UD_") else recipe
        found.bits = float(next(char for char in text if char.isdigit()))
    elif kind == "exl":
        found.exl = text[:4].upper()
        if (width := re.search(r"(\d)(?:[._](\d{1,2}))?", text[4:])) is not None:
            found.bits = float(f"{width[1]}.{width[2] or 0}")
    elif kind == "bits":
        found.bits = float(re.sub(r"[-_]?(?:bits?|bpw)$", "", text).replace("_", "."))
        if text.endswith("bpw") and found.exl is None:
            found.exl = "EXL2"
    elif kind == "weights":
        weight, _, activation = text[1:].partition("a")
        found.weights = f"INT{weight}-W{weight}A{activation}" if activation.isdigit() else text.upper()
        found.bits = float(weight)
    elif text == "dwq":
        found.is_dwq = True
    elif (method := _METHODS.get(text.replace("-", "").replace("_", ""))) is not None:
        found.method = found.method or method
    elif text in _PRECISIONS and found.precision is None:
        found.precision, found.precision_bits = _PRECISIONS[text]
