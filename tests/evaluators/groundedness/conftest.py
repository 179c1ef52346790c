"""Tiny models of every family, built here and saved as a hub would hold them."""

import json

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    ModernBertConfig,
    ModernBertForTokenClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
    T5ForTokenClassification,
)

TEXT = """paris lies on the seine in france rome italy berlin is a city of light and was founded by romans cats sleep
all day 0 1 predict premise hypothesis determine if true given : ? . , choose your answer yes no - i think"""
SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>"}


def tokenizer(folder, *, pairs: bool, max_length: int, ends: bool = False) -> int:
    """A word-level tokenizer; its vocabulary's size."""
    vocabulary = {
        word: index for index, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *dict.fromkeys(TEXT.split())])
    }
    built = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    built.normalizer = normalizers.Lowercase()
    built.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    if pairs:
        built.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    elif ends:
        built.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    PreTrainedTokenizerFast(tokenizer_object=built, model_max_length=max_length, **SPECIAL).save_pretrained(folder)
    return len(vocabulary)


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
T5_SMALL = {"d_model": 16, "d_ff": 24, "d_kv": 8, "num_heads": 2, "num_layers": 2, "feed_forward_proj": "gated-gelu"}


def saved(model, folder):
    """Weights scaled up, so that outputs of different inputs differ enough to compare."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8 if parameter.dim() > 1 else 1)
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    torch.manual_seed(7)


@pytest.fixture
def nli(tmp_path):
    size = tokenizer(tmp_path, pairs=True, max_length=128)
    names = {0: "contradiction", 1: "entailment", 2: "neutral"}
    config = BertConfig(vocab_size=size, max_position_embeddings=128, id2label=names, **SMALL)
    return saved(BertForSequenceClassification(config), tmp_path)


@pytest.fixture
def minicheck_roberta(tmp_path):
    folder = tmp_path / "MiniCheck-RoBERTa-tiny"
    size = tokenizer(folder, pairs=True, max_length=512)
    config = RobertaConfig(vocab_size=size, max_position_embeddings=130, pad_token_id=0, num_labels=2, **SMALL)
    return saved(RobertaForSequenceClassification(config), folder)


@pytest.fixture
def minicheck_t5(tmp_path):
    size = tokenizer(tmp_path, pairs=False, max_length=2048, ends=True)
    config = T5Config(vocab_size=size, decoder_start_token_id=0, **T5_SMALL)
    return saved(T5ForConditionalGeneration(config), tmp_path)


@pytest.fixture
def factcg(tmp_path):
    folder = tmp_path / "FactCG-tiny"
    size = tokenizer(folder, pairs=True, max_length=2048)
    config = BertConfig(vocab_size=size, max_position_embeddings=2048, num_labels=2, **SMALL)
    return saved(BertForSequenceClassification(config), folder)


@pytest.fixture
def hhem(tmp_path):
    """Laid out as the real one: weights under `t5.`, a configuration that asks for the repository's own code."""
    size = tokenizer(tmp_path, pairs=False, max_length=512, ends=True)
    model = T5ForTokenClassification(T5Config(vocab_size=size, num_labels=2, **T5_SMALL)).eval()
    state = {f"t5.{name}": tensor.clone() for name, tensor in model.state_dict().items() if "embed_tokens" not in name}
    save_file(state, tmp_path / "model.safetensors")
    config = {
        "model_type": "HHEMv2Config",
        "architectures": ["HHEMv2ForSequenceClassification"],
        "auto_map": {"AutoConfig": "configuration_hhem_v2.HHEMv2Config"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return str(tmp_path)


@pytest.fixture
def lettucedect(tmp_path):
    size = tokenizer(tmp_path, pairs=True, max_length=256)
    config = BertConfig(vocab_size=size, max_position_embeddings=256, num_labels=2, **SMALL)
    return saved(BertForTokenClassification(config), tmp_path)


@pytest.fixture
def lettucedect_modernbert(tmp_path):
    size = tokenizer(tmp_path, pairs=True, max_length=256)
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    config = ModernBertConfig(vocab_size=size, max_position_embeddings=256, num_labels=2, **special, **SMALL)
    return saved(ModernBertForTokenClassification(config), tmp_path)
