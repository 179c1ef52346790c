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

from evaluators.groundedness import offline
from evaluators.groundedness.scorer import GroundednessScorer

__all__ = ["RECOMMENDED_CPU", "RECOMMENDED_GPU", "groundedness"]

# Best measured by their authors among models under a licence that permits any use (MIT).
RECOMMENDED_GPU = "KRLabsOrg/lettucedect-large-modernbert-en-v1"
RECOMMENDED_CPU = "KRLabsOrg/tinylettuce-ettin-68m-en"


def groundedness(
    model: str | None = None,
    *,
    device: str | None = None,
    batch_tokens: int | None = None,
    threshold: float | None = None,
) -> GroundednessScorer:
    """A scorer whose value is the probability that the answer is grounded, label `grounded` or `hallucinated`.

    `device` is a torch name (cpu, cuda, cuda:1, mps) or None for the best there is; `batch_tokens` bounds padded
    tokens in a batch; `threshold` replaces the one chosen on development data. Raises DeviceError.
    """
    backend = offline.load(device, batch_tokens)
    arguments = {"model": model, "device": device, "batch_tokens": batch_tokens, "threshold": threshold}
    return GroundednessScorer(backend, backend.threshold if threshold is None else threshold, arguments)
