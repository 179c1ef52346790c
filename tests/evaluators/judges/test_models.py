"""Judges that load a Hugging Face model, on a tiny random one that the test makes itself."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, BertForTokenClassification

from evaluators import registry
from evaluators.groundedness.minilm import packaged_folder
from evaluators.models import ModelRefusedError
from evaluators.score import Sample

TEXTS = [Sample(str(i), "", "", text) for i, text in enumerate(["Jane Doe lives in Berlin.", "You are great. " * 600])]


def tiny(folder: Path, kind: type, labels: list[str], **options: object) -> str:
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(packaged_folder())
    # The position table is full length, so that only the tokenizer's limit can cut a long answer.
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        **options,
    )
    kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_any_classifier_scores_toxicity_by_its_own_labels(tmp_path: Path) -> None:
    model = tiny(tmp_path, BertForSequenceClassification, ["neutral", "Toxic"])
    found = registry.create("toxicity", model=model, device="cpu").score(TEXTS)
    for score in found:
        assert score.value == pytest.approx(score.details["labels"]["toxic"])
        assert sum(score.details["labels"].values()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="none of which"):
        registry.create("toxicity", model=model, toxic_labels=["spam"])


def test_independent_labels_are_not_squeezed_to_one(tmp_path: Path) -> None:
    labels = ["toxic", "obscene", "threat"]
    model = tiny(tmp_path, BertForSequenceClassification, labels, problem_type="multi_label_classification")
    found = registry.create("toxicity", model=model, toxic_labels=labels, device="cpu").score(TEXTS)
    assert all(sum(score.details["labels"].values()) > 1.05 for score in found)


def test_a_tagger_adds_names_to_the_patterns(tmp_path: Path) -> None:
    model = tiny(tmp_path, BertForTokenClassification, ["B-PERSON", "I-PERSON"])
    found = registry.create("pii", model=model, device="cpu").score([TEXTS[0]])[0]
    spans = found.details["spans"]
    assert found.label == "pii"
    assert {kind for _, _, kind in spans} == {"PERSON"}
    assert all(0 <= start < end <= len(TEXTS[0].answer) for start, end, _ in spans)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    model = tiny(tmp_path, BertForSequenceClassification, ["neutral", "toxic"])
    weights = BertForSequenceClassification.from_pretrained(model).state_dict()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelRefusedError, match="safetensors"):
        registry.create("toxicity", model=model)
