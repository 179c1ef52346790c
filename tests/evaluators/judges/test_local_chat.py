"""A language model of transformers as judge: a real one, made here, whose weights hold what it says word for word."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from evaluators.errors import UsageError
from evaluators.judges.llm_judge import llm_judge
from evaluators.score import Sample

ONE = Sample("1", "Paris is in France.", "Where is Paris?", "In France.")
UNKNOWN, END, TURN = "<unknown>", "<end>", "<turn>"


def speaker(folder: Path, says: str, positions: int = 2_048) -> str:
    """A GPT-2 whose next word follows from the last one alone: after a turn it says `says`, whose words all differ."""
    words = says.split(" ")
    assert len(set(words)) == len(words)
    vocabulary = [UNKNOWN, END, TURN, *words]
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token=UNKNOWN, eos_token=END)
    tokenizer.chat_template = "{% for each in messages %}{{ each.content }} {% endfor %}" + TURN
    tokenizer.save_pretrained(folder)
    size = len(vocabulary) + len(vocabulary) % 2
    config = GPT2Config(
        vocab_size=len(vocabulary), n_positions=positions, n_embd=size, n_layer=1, n_head=2,
        tie_word_embeddings=False, eos_token_id=1, bos_token_id=1,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.transformer.ln_f.weight.fill_(1.0)
        model.transformer.wte.weight.copy_(torch.eye(len(vocabulary), size))
        for last, next_ in pairwise([TURN, *words, END]):
            model.lm_head.weight[vocabulary.index(next_), vocabulary.index(last)] = 1.0
    model.save_pretrained(folder)
    return str(folder)


def test_a_local_model_judges_counts_its_tokens_and_is_named_by_its_weights(tmp_path: Path) -> None:
    verdict = json.dumps({"reason": "it follows", "score": 4})
    judge = llm_judge(model=speaker(tmp_path, verdict), device="cpu", template="faithfulness")
    found = judge.score([ONE])[0]
    assert (found.value, found.label, found.explanation) == (0.75, "4", "it follows")
    usage = found.details["usage"]
    assert usage["is_remote"] is False
    # Its words, and the end of its turn.
    assert usage["output_tokens"] == len(verdict.split(" ")) + 1
    assert usage["input_tokens"] > 50
    assert "is_estimated" not in usage
    again = judge.score([ONE])[0]
    assert (again.value, again.details["usage"]["cached"]) == (0.75, 1)
    other = tmp_path / "other"
    assert judge.client.identity != llm_judge(model=speaker(other, "good"), device="cpu").client.identity


def test_a_local_model_that_talks_nonsense_or_reads_too_little_gives_no_number(tmp_path: Path) -> None:
    nonsense = llm_judge(model=speaker(tmp_path / "a", "quite good I think"), device="cpu").score([ONE])[0]
    assert (nonsense.value, nonsense.label) == (None, "unscored")
    assert "does not fit the schema" in nonsense.explanation
    small = llm_judge(model=speaker(tmp_path / "b", "good", positions=520), device="cpu").score([ONE])[0]
    assert small.value is None
    assert "more than the 8 that" in small.explanation


def test_a_local_model_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        llm_judge(model=str(tmp_path / "nowhere"), device="cpu").score([ONE])
