"""The default as it ships: packaged weights, adapters and calibration from the repository."""

import json

import pytest
import torch

from evaluators.calibration.metrics import auroc
from evaluators.groundedness import groundedness, offline
from evaluators.models import CACHE
from evaluators.score import Sample

TOWER = (
    "The Eiffel Tower is a wrought-iron lattice tower in Paris, France. It was built from 1887 to 1889 by the company "
    "of Gustave Eiffel as the centerpiece of the 1889 World's Fair. It is 330 metres tall."
)
GROUNDED = [
    "The Eiffel Tower is in Paris.",
    "The tower was built from 1887 to 1889 for the World's Fair.",
    "It is 330 metres tall.",
    "The company of Gustave Eiffel built the Eiffel Tower in France.",
]
WRONG = [
    "The colossus was demolished by Napoleon's cavalry during a thunderstorm.",
    "Visitors must pay nine dollars to swim in its underground pool with dolphins.",
    "The tower was designed by Leonardo da Vinci in Rome in 1503.",
    "Its restaurant serves the best vegan pizza according to Michelin critics.",
]


@pytest.fixture(scope="module")
def scorer():
    return groundedness(device="cpu")


def sample(answer, context=TOWER, question=""):
    return Sample("s", context, question, answer)


def test_supported_answers_score_above_made_up_ones(scorer):
    scores = scorer([sample(answer) for answer in GROUNDED + WRONG])
    assert auroc([True] * 4 + [False] * 4, [score.value for score in scores]) == 1.0
    assert all(score.label == "hallucinated" for score in scores[4:])


def test_each_sentence_carries_its_verdict_and_its_evidence(scorer):
    answer = f"{GROUNDED[0]} {WRONG[1]}"
    score = scorer([sample(answer)])[0]
    first, second = score.details["sentences"]
    assert answer[first["start"] : first["end"]] == GROUNDED[0]
    assert answer[second["start"] : second["end"]] == WRONG[1]
    assert first["probability"] > second["probability"]
    evidence = [TOWER[item["start"] : item["end"]] for item in first["evidence"]]
    assert any("Paris, France" in text for text in evidence)
    assert WRONG[1][:40] in score.explanation


def test_the_evidence_stands_where_the_offsets_say_in_a_long_context(scorer):
    filler = "Nothing of note happened on that day in the village. " * 300
    context = filler + TOWER
    score = scorer([sample("The Eiffel Tower is 330 metres tall.", context)])[0]
    starts = [item["start"] for item in score.details["sentences"][0]["evidence"]]
    assert max(starts) >= len(filler)


@pytest.mark.parametrize(
    ("context", "answer", "reason"),
    [
        ("", "Paris.", "empty context"),
        (" \n\t", "Paris.", "empty context"),
        (TOWER, "", "empty answer"),
        (TOWER, "...", "empty answer"),
        (TOWER, "埃菲尔铁塔位于法国巴黎，建于十九世纪末。", "wrong language: the answer is mostly not in Latin script"),
        (TOWER, "Der Turm ist nicht in der Stadt und die Besucher werden auf das Dach gebracht.", "looks like German"),
        (
            "Эйфелева башня находится в Париже и построена в 1889 году.",
            "It is in Paris.",
            "wrong language: the context",
        ),
        (TOWER, "x7 " * 200, "over-long input"),
        (TOWER, "word " * 20_000, "over-long answer"),
        ("word " * 250_000, "It is in Paris.", "over-long context"),
    ],
)
def test_what_cannot_be_judged_is_left_unscored_with_the_reason(scorer, context, answer, reason):
    score = scorer([sample(answer, context)])[0]
    assert (score.value, score.label) == (None, "unscored")
    assert reason in score.explanation


def test_unscored_samples_do_not_move_their_neighbours(scorer):
    scores = scorer([sample(GROUNDED[0]), sample(""), sample(WRONG[0]), sample("", "")])
    alone = [scorer([sample(text)])[0] for text in (GROUNDED[0], WRONG[0])]
    assert [score.is_scored for score in scores] == [True, False, True, False]
    assert [scores[0].value, scores[2].value] == pytest.approx([score.value for score in alone], abs=1e-3)


def test_the_same_input_scores_the_same_whatever_the_batch(scorer):
    samples = [sample(text, TOWER * times) for text in GROUNDED + WRONG for times in (1, 2, 5)]
    together = [score.value for score in scorer(samples)]
    narrow = groundedness(device="cpu", batch_tokens=1)
    assert [score.value for score in narrow(samples)] == pytest.approx(together, abs=1e-6)
    assert [score.value for score in scorer(samples[::-1])][::-1] == pytest.approx(together, abs=1e-6)


def test_bfloat16_and_float32_agree_on_the_verdicts(scorer, monkeypatch):
    samples = [sample(text) for text in GROUNDED + WRONG]
    monkeypatch.setattr("evaluators.groundedness.choose_dtype", lambda device: torch.float32)
    exact = [score.value for score in groundedness(device="cpu")(samples)]
    monkeypatch.setattr("evaluators.groundedness.choose_dtype", lambda device: torch.bfloat16)
    fast = [score.value for score in groundedness(device="cpu")(samples)]
    assert fast == pytest.approx(exact, abs=0.03)


def test_the_threshold_moves_the_label_and_the_revision_but_not_the_value(scorer):
    strict = groundedness(device="cpu", threshold=1.0)
    relaxed = groundedness(device="cpu", threshold=0.0)
    assert [made([sample(GROUNDED[0])])[0].label for made in (strict, relaxed)] == ["hallucinated", "grounded"]
    assert len({made.revision for made in (strict, relaxed, scorer)}) == 3
    assert strict([sample(GROUNDED[0])])[0].value == relaxed([sample(GROUNDED[0])])[0].value


def test_a_question_is_not_judged_but_read(scorer):
    context = "Armstrong walked on the Moon in 1969."
    score = scorer([sample("In 1969.", context, "When did Armstrong walk on the Moon?")])[0]
    assert score.is_scored
    assert [item["start"] for item in score.details["sentences"]] == [0]


def test_no_samples_give_no_scores(scorer):
    assert scorer([]) == []


def test_two_scorers_share_one_model():
    CACHE.clear()
    assert groundedness(device="cpu").backend.loaded is groundedness(device="cpu", threshold=0.3).backend.loaded
    assert len(CACHE) == 2, "the verifier, and the plain encoder that `embed` shares"


def test_the_calibration_file_says_what_it_was_measured_on():
    given = json.loads(offline.CALIBRATION.read_text())
    assert 0 < given["threshold"] < 1
    assert given["figures"]["layer fitted on other sources"]["rows"] > 500


def test_the_weights_in_the_repository_stay_small():
    assert offline.ADAPTERS.stat().st_size < 4_000_000
