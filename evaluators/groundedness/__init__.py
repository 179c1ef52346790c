"""Groundedness: is an answer supported by the context it was given from?

`groundedness()` without a model is the offline default; with one it takes the family that fits the model:

| family      | models it is for                                    | reads                                     |
| ----------- | --------------------------------------------------- | ----------------------------------------- |
| offline     | packaged MiniLM with this repository's adapters     | answer and sentences beside best evidence |
| nli         | any sequence classifier with an entailment class    | sentence beside windows of the context    |
| minicheck   | MiniCheck Flan-T5, RoBERTa and DeBERTa              | sentence beside windows of the context    |
| factcg      | FactCG-DeBERTa-v3-Large                             | sentence beside windows, as an instruction |
| hhem        | HHEM-2.1-Open, without its remote code              | sentence beside windows, in its prompt    |
| lettucedect | LettuceDetect and TinyLettuce token classifiers     | the whole answer, token by token          |
"""

from __future__ import annotations

from typing import Protocol

import torch

from evaluators.batching import default_budget
from evaluators.devices import choose_device, choose_dtype
from evaluators.groundedness import factcg, hhem, lettucedect, minicheck, nli, offline
from evaluators.groundedness.scorer import GroundednessScorer
from evaluators.groundedness.verdict import Backend
from evaluators.models import architecture

__all__ = ["FAMILIES", "RECOMMENDED_CPU", "RECOMMENDED_GPU", "family_of", "groundedness"]

# Best measured by their authors among models under a licence that permits any use (MIT).
RECOMMENDED_GPU = "KRLabsOrg/lettucedect-large-modernbert-en-v1"
RECOMMENDED_CPU = "KRLabsOrg/tinylettuce-ettin-68m-en"


class Load(Protocol):
    def __call__(self, model: str, device: torch.device, dtype: torch.dtype, batch_tokens: int) -> Backend: ...


FAMILIES: dict[str, Load] = {
    "factcg": factcg.load,
    "hhem": hhem.load,
    "lettucedect": lettucedect.load,
    "minicheck": minicheck.load,
    "nli": nli.load,
}
# Models that read several languages say so in their names; the default and the rest were trained on English.
_MULTILINGUAL = ("multilingual", "mdeberta", "mmbert", "xlm", "mminilm")


def family_of(model: str) -> str:
    """The family of a model by its name, else by its architecture. Raises ModelError and its kinds."""
    name = model.lower().replace("-", "").replace("_", "")
    for family in ("factcg", "minicheck"):
        if family in name:
            return family
    kind = architecture(model)
    if "hhem" in kind or "hallucinationevaluationmodel" in name:
        return "hhem"
    if "tokenclassification" in kind:
        return "lettucedect"
    return "minicheck" if "conditionalgeneration" in kind else "nli"


def groundedness(
    model: str | None = None,
    *,
    family: str | None = None,
    device: str | None = None,
    batch_tokens: int | None = None,
    threshold: float | None = None,
    compile_model: bool = False,
) -> GroundednessScorer:
    """A scorer whose value is the probability that the answer is grounded, label `grounded` or `hallucinated`.

    `model` is a folder or a Hugging Face id, None for the offline default; `family` one of FAMILIES where it cannot be
    told from the model; `device` a torch name (cpu, cuda, cuda:1, mps), None for the best there is; `batch_tokens`
    bounds the padded tokens of a batch; `threshold` replaces the backend's own; `compile_model` has torch compile it at
    its first use, which takes a minute, and goes on without where no compiler is there. Raises DeviceError, ModelError
    and its kinds, ValueError for an unknown family or a threshold outside 0 to 1.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold is a probability, 0 to 1, not {threshold}")
    if family is not None and family not in FAMILIES:
        raise ValueError(f"no family is called {family!r}; there are {', '.join(FAMILIES)}")
    where = choose_device(device)
    budget = batch_tokens or default_budget(where)
    backend: Backend
    if model is None:
        backend = offline.load(where, choose_dtype(where), budget)
    else:
        backend = FAMILIES[family or family_of(model)](model, where, choose_dtype(where), budget)
    if compile_model:
        backend.compile()
    english_only = not any(word in (model or "").lower() for word in _MULTILINGUAL)
    arguments = {
        "model": model,
        "family": family,
        "device": device,
        "batch_tokens": batch_tokens,
        "threshold": threshold,
        "compile_model": compile_model,
    }
    return GroundednessScorer(
        backend, backend.threshold if threshold is None else threshold, arguments, english_only=english_only
    )
