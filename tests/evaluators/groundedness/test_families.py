"""Every family against the plain use of its model, and all of them against one contract."""

import pytest
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from evaluators.groundedness import family_of, groundedness, lettucedect, nli
from evaluators.models import CACHE, ModelError, ModelNotFoundError, ModelRefusedError
from evaluators.score import Sample
from evaluators.text import IndexedContext, Span

CONTEXT = "Paris lies on the Seine in France. Rome is a city in Italy."
ALICE = Sample("alice", CONTEXT, "", "Paris lies in France.")
BOB = Sample("bob", CONTEXT, "", "Rome was founded by cats. Paris lies on the Seine.")
FAMILIES = ["nli", "minicheck_roberta", "minicheck_t5", "factcg", "hhem", "lettucedect", "lettucedect_modernbert"]


@pytest.fixture(autouse=True)
def _in_float32_from_an_empty_cache(monkeypatch):
    monkeypatch.setattr("evaluators.groundedness.choose_dtype", lambda device: torch.float32)
    CACHE.clear()


def scorer(path, **settings):
    return groundedness(path, device="cpu", **settings)


@torch.inference_mode()
def test_an_nli_model_says_what_its_entailment_class_says(nli):
    inputs = AutoTokenizer.from_pretrained(nli)(CONTEXT, ALICE.answer, return_tensors="pt")
    logits = AutoModelForSequenceClassification.from_pretrained(nli)(**inputs).logits
    assert scorer(nli)([ALICE])[0].value == pytest.approx(logits.softmax(-1)[0, 1].item(), abs=1e-5)


@torch.inference_mode()
def test_minicheck_t5_says_the_softmax_between_its_tokens_0_and_1(minicheck_t5):
    tokenizer = AutoTokenizer.from_pretrained(minicheck_t5)
    inputs = tokenizer(f"predict: {CONTEXT}</s>{ALICE.answer}", return_tensors="pt")
    model = AutoModelForSeq2SeqLM.from_pretrained(minicheck_t5)
    logits = model(**inputs, decoder_input_ids=torch.zeros(1, 1, dtype=torch.long)).logits[0, 0]
    zero, one = (tokenizer.convert_tokens_to_ids(digit) for digit in "01")
    assert scorer(minicheck_t5)([ALICE])[0].value == pytest.approx(logits[[zero, one]].softmax(-1)[1].item(), abs=1e-5)


@torch.inference_mode()
def test_minicheck_roberta_reads_document_and_claim_as_one_text(minicheck_roberta):
    inputs = AutoTokenizer.from_pretrained(minicheck_roberta)(f"{CONTEXT}</s>{ALICE.answer}", return_tensors="pt")
    logits = AutoModelForSequenceClassification.from_pretrained(minicheck_roberta)(**inputs).logits
    assert scorer(minicheck_roberta)([ALICE])[0].value == pytest.approx(logits.softmax(-1)[0, 1].item(), abs=1e-5)


@torch.inference_mode()
def test_factcg_reads_its_instruction(factcg):
    text = (
        f"{CONTEXT}\n\nChoose your answer: based on the paragraph above can we conclude that "
        f'"{ALICE.answer}"?\n\nOPTIONS:\n- Yes\n- No\nI think the answer is '
    )
    inputs = AutoTokenizer.from_pretrained(factcg)(text, return_tensors="pt")
    logits = AutoModelForSequenceClassification.from_pretrained(factcg)(**inputs).logits
    assert scorer(factcg)([ALICE])[0].value == pytest.approx(logits.softmax(-1)[0, 1].item(), abs=1e-5)


@torch.inference_mode()
def test_hhem_is_read_from_its_weights_without_its_code(hhem):
    assert scorer(hhem).backend.family == "hhem"
    loaded = scorer(hhem).backend.loaded
    asked = "Determine if the hypothesis is true given the premise?"
    text = f"<pad> {asked}\n\nPremise: {CONTEXT}\n\nHypothesis: {ALICE.answer}"
    logits = loaded.model(**loaded.tokenizer(text, return_tensors="pt")).logits
    assert scorer(hhem)([ALICE])[0].value == pytest.approx(logits[0, 0].softmax(-1)[1].item(), abs=1e-5)


def test_the_shape_of_an_hhem_is_told_by_its_tensors(hhem):
    config = scorer(hhem).backend.loaded.model.config
    assert (config.d_model, config.d_ff, config.d_kv, config.num_heads, config.num_layers) == (16, 24, 8, 2, 2)
    assert config.is_gated_act


@torch.inference_mode()
def test_lettucedect_is_as_sure_of_an_answer_as_of_its_worst_token(lettucedect):
    prompt = f"Summarize the following text:\n{CONTEXT}\noutput:"
    encoded = AutoTokenizer.from_pretrained(lettucedect)(prompt, BOB.answer, return_tensors="pt")
    answer = torch.tensor([text == 1 for text in encoded.sequence_ids(0)])
    answer[-1] = False
    logits = AutoModelForTokenClassification.from_pretrained(lettucedect)(**encoded).logits[0]
    expected = 1 - logits.softmax(-1)[answer, 1].max().item()
    score = scorer(lettucedect)([BOB])[0]
    assert score.value == pytest.approx(expected, abs=1e-5)
    assert min(item["probability"] for item in score.details["sentences"]) == pytest.approx(expected, abs=1e-5)


def test_neighbouring_unsupported_tokens_become_one_span():
    answer = "Rome was founded by cats."
    tokens = [Span(0, 4), Span(4, 8), Span(8, 16), Span(16, 19), Span(19, 24), Span(24, 25)]
    found = lettucedect.spans_of(answer, tokens, [0.9, 0.1, 0.8, 0.1, 0.7, 0.9], 0.5)
    assert [span.of(answer) for span in found] == ["Rome", "founded", "cats."]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_keeps_the_contract(family, request):
    path = request.getfixturevalue(family)
    samples = [ALICE, Sample("empty", "", "", "Paris."), BOB, Sample("silent", CONTEXT, "", " \n")]
    made = scorer(path)
    scores = made(samples)
    assert [score.is_scored for score in scores] == [True, False, True, False]
    assert scores == made.score(samples)
    for sample, score in ((ALICE, scores[0]), (BOB, scores[2])):
        assert 0 <= score.value <= 1
        assert score.label == ("grounded" if score.value >= score.details["threshold"] else "hallucinated")
        for item in score.details["sentences"]:
            assert sample.answer[item["start"] : item["end"]].endswith(".")
            assert item["evidence"]
            assert all(CONTEXT[e["start"] : e["end"]].endswith(".") for e in item["evidence"])
    assert len(scores[2].details["sentences"]) == 2
    assert scores[0].details["revision"] == made.revision


@pytest.mark.parametrize("family", FAMILIES)
def test_a_score_does_not_depend_on_its_neighbours_in_the_batch(family, request):
    path = request.getfixturevalue(family)
    samples = [ALICE, BOB, Sample("c", CONTEXT * 3, "", "Cats sleep all day in Rome and Paris.")]
    together = scorer(path)(samples)
    alone = [scorer(path, batch_tokens=1)([sample])[0] for sample in samples]
    assert [score.value for score in together] == pytest.approx([score.value for score in alone], abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_many_samples_are_prepared_ahead_in_parts_and_score_the_same(family, request, monkeypatch):
    made = scorer(request.getfixturevalue(family))
    samples = [
        Sample("empty", "", "", "Paris."),
        *[ALICE, BOB] * 3,
        Sample("c", CONTEXT * 2, "", "Cats sleep all day."),
    ]
    at_once = made.score(samples)
    monkeypatch.setattr("evaluators.groundedness.scorer.AT_ONCE", 3)
    in_parts = made.score(samples)
    assert [score.label for score in in_parts] == [score.label for score in at_once]
    assert in_parts[0].value is None
    values = [[score.value for score in scores[1:]] for scores in (at_once, in_parts)]
    assert values[1] == pytest.approx(values[0], abs=1e-5)


FILLER = " ".join(["All cats sleep all day in the city of light."] * 400)
LONG = Sample("long", f"{FILLER} Paris lies on the Seine.", "", "Paris lies on the Seine.")


@pytest.mark.parametrize("family", ["nli", "minicheck_roberta", "minicheck_t5", "factcg", "hhem"])
def test_a_long_context_is_cut_into_windows_and_the_best_sentences_get_one_of_their_own(family, request):
    backend = scorer(request.getfixturevalue(family)).backend
    context = IndexedContext.of(LONG.context)
    passages = backend.passages(context)
    assert {index for passage in passages for index in passage.sentences} == set(range(401))
    picked = backend.chosen(context, passages, LONG.answer)[-1]
    assert picked.text.endswith("Paris lies on the Seine.")
    counted = backend.loaded.tokenizer([passage.text for passage in passages])["input_ids"]
    assert max(len(ids) for ids in counted) <= backend.max_tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_a_long_context_is_judged_within_bounds(family, request):
    made = scorer(request.getfixturevalue(family))
    assert made([LONG])[0].is_scored
    assert 1 < made.stats.pairs <= 34


def test_a_token_is_supported_if_any_window_supports_it(lettucedect, monkeypatch):
    backend = scorer(lettucedect).backend
    monkeypatch.setattr(
        type(backend),
        "_compute",
        lambda self, batch, length: [[0.9 if index else 0.1 for _ in item.places] for index, item in enumerate(batch)],
    )
    assert backend.judge(backend.prepare([LONG]))[0].probability == pytest.approx(0.9)


@pytest.mark.parametrize("family", ["nli", "minicheck_roberta", "lettucedect"])
def test_an_answer_that_would_have_to_be_cut_is_not_judged(family, request):
    answer = "paris " * 100 + "lies " * 200
    score = scorer(request.getfixturevalue(family))([Sample("x", CONTEXT, "", answer)])[0]
    assert (score.value, score.label) == (None, "unscored")
    assert "over-long" in score.explanation


def test_pickled_weights_are_refused(nli, tmp_path):
    weights = tmp_path / "model.safetensors"
    torch.save({}, tmp_path / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ModelRefusedError, match="safetensors"):
        scorer(nli)


def test_a_repository_that_needs_its_own_code_is_refused(hhem):
    with pytest.raises(ModelRefusedError, match="code from the repository"):
        scorer(hhem, family="nli")


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        scorer(str(tmp_path / "nowhere"))


def test_settings_that_make_no_sense_are_refused(nli):
    with pytest.raises(ValueError, match="threshold"):
        scorer(nli, threshold=3.0)
    with pytest.raises(ValueError, match="family"):
        scorer(nli, family="oracle")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({0: "contradiction", 1: "neutral", 2: "ENTAILMENT"}, 2),
        ({0: "entailment", 1: "not_entailment"}, 0),
        ({0: "hallucinated", 1: "consistent"}, 1),
        ({0: "LABEL_0"}, 0),
    ],
)
def test_the_class_that_means_support_is_found_by_its_name(labels, expected):
    assert nli.entailment_index(labels, "m") == expected


def test_a_model_whose_classes_have_no_meaning_is_refused():
    with pytest.raises(ModelError, match="LABEL_0"):
        nli.entailment_index({0: "LABEL_0", 1: "LABEL_1"}, "m")


@pytest.mark.parametrize(
    ("fixture", "family"),
    [(name, name.partition("_")[0]) for name in FAMILIES],
)
def test_the_family_is_told_from_the_model(fixture, family, request):
    assert family_of(request.getfixturevalue(fixture)) == family


def test_models_are_loaded_once(nli):
    assert scorer(nli).backend.loaded is scorer(nli).backend.loaded
