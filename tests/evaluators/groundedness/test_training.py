import json
import random

import pytest
import torch
from safetensors import safe_open

from evaluators.groundedness.adapted import AdaptedVerifier, add_adapters, load_adapted, load_encoder, save_adapters
from evaluators.groundedness.minilm import collate, packaged_folder, tokenize
from evaluators.text import Span
from evaluators.training import data
from evaluators.training.__main__ import Recipe, progress, token_targets, train
from evaluators.training.corruption import antonym, corrupt, entity, negation, number, role
from evaluators.training.data import Example, Row, changed, corrupted_sentences, natural_examples

SOURCE = "Alice Smith moved from Berlin to Paris in 1990. Bob Jones paid 300 euros to Carol White."


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (number, "Bob paid 300 euros."),
        (entity, "The winner was Alice Smith."),
        (role, "Alice Smith met Bob Jones."),
        (antonym, "Profits increased."),
        (negation, "Rome is a city."),
    ],
)
def test_a_corruption_says_which_characters_it_changed(kind, text):
    made = kind(text, SOURCE, random.Random(1))
    assert made.text != text
    tail = len(made.text) - made.end
    assert made.text[: made.start] == text[: made.start]
    assert made.text[made.end :] == text[len(text) - tail :]


def test_a_text_with_nothing_to_change_is_left_alone():
    assert corrupt("Oh!", "Oh!", random.Random(1)) is None


def test_what_differs_between_two_texts_is_found_by_words():
    wrong = "The cat sat on the red mat."
    assert [span.of(wrong) for span in changed(wrong, "The cat sat on the blue mat.")] == ["red"]


def row(answer, label, context="The cat sat on the blue mat. It slept there all day long.", source="made"):
    return Row(source, context, "", answer, label, ())


def test_a_sentence_shared_with_a_supported_answer_is_supported():
    rows = [
        row("The cat sat on the blue mat. It slept all day.", 0),
        row("The cat sat on the red mat. It slept all day.", 1),
    ]
    found = {example.text: example for example in natural_examples(rows)["made"]}
    assert found["It slept all day."].supported
    wrong = found["The cat sat on the red mat."]
    assert not wrong.supported
    assert [span.of(wrong.text) for span in wrong.unsupported] == ["red"]


def test_a_change_in_the_document_is_as_frequent_as_one_in_the_claim():
    context = " ".join(f"In {1900 + i} the mayor of Town{i} was elected by {i + 10} people." for i in range(40))
    found = list(corrupted_sentences([row("x", 0, context)], 400, random.Random(5)))
    assert 0.4 < sum(example.supported for example in found) / len(found) < 0.6
    assert all(example.supported == (not example.unsupported) for example in found)
    copied = [example for example in found if example.text in example.premise]
    assert all(example.supported for example in copied)


def test_held_out_documents_are_kept_out_whole():
    rows = [row("a", 0, f"Document {i}." * 9) for i in range(500)]
    held = [item for item in rows if data.is_held_out(item, 0.4)]
    assert 140 < len(held) < 260
    assert held == [item for item in rows if data.is_held_out(item, 0.4)]


def test_only_known_tokens_of_the_claim_have_targets():
    example = Example("Rome is old.", "When? Rome is new.", 6, False, (Span(14, 17),))
    unknown = Example("Rome is old.", "Rome is new.", 0, False, None)
    inputs, offsets = collate(tokenize([(item.premise, item.text) for item in (example, unknown)], 64), 32)
    target, known = token_targets([example, unknown], offsets, inputs["token_type_ids"])
    assert (target[0].sum(), known[0].sum(), known[1].sum()) == (1, 4, 0)


def test_the_clock_ends_a_run_that_the_steps_do_not():
    recipe = Recipe(steps=100, minutes=10)
    assert [progress(recipe, 50, 0), progress(recipe, 0, 450), progress(recipe, 200, 0)] == [0.5, 0.75, 1.0]


def test_untrained_adapters_change_nothing_and_trained_ones_come_back_as_saved(tmp_path):
    torch.manual_seed(3)
    model = AdaptedVerifier(load_encoder(packaged_folder(), torch.float32, "sdpa")).eval()
    inputs, _ = collate(tokenize([("Rome is old.", "Rome is new.")], 64), 32)
    plain = model(**inputs)[0]
    add_adapters(model, 4)
    assert torch.equal(model(**inputs)[0], plain)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".b"):
                parameter.add_(0.05)
    save_adapters(model, tmp_path / "a.safetensors", {"recipe": "{}"})
    loaded = load_adapted(packaged_folder(), tmp_path / "a.safetensors", torch.float32)
    assert loaded(**inputs)[0].item() == pytest.approx(model(**inputs)[0].item(), abs=0.02)
    assert model(**inputs)[0].item() != pytest.approx(plain.item(), abs=0.001)


def test_adapters_of_another_architecture_are_refused(tmp_path):
    model = AdaptedVerifier(load_encoder(packaged_folder(), torch.float32, "sdpa"))
    add_adapters(model, 2)
    model.register_parameter("stray", torch.nn.Parameter(torch.zeros(2)))
    save_adapters(model, tmp_path / "a.safetensors", {})
    with pytest.raises(ValueError, match="stray"):
        load_adapted(packaged_folder(), tmp_path / "a.safetensors", torch.float32)


def test_a_short_run_learns_and_writes_its_recipe(tmp_path):
    lines = [
        {
            "source": "made",
            "context": f"The {a} is {b}. It stands in town {i}.",
            "question": "",
            "label": label,
            "answer": f"The {a} is {b if not label else 'gone'}.",
        }
        for i, (a, b) in enumerate([("house", "red"), ("tower", "tall"), ("bridge", "long")] * 8)
        for label in (0, 1)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    output = tmp_path / "adapters.safetensors"
    recipe = Recipe(steps=24, batch=16, rank=4, corruptions=0)
    losses = train(recipe, tmp_path / "rows.jsonl", None, output)
    assert len(losses) == 24
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])
    with safe_open(output, "pt") as file:
        assert json.loads(file.metadata()["recipe"])["steps"] == 24
    load_adapted(packaged_folder(), output, torch.float32)
