import pkgutil

import pytest

from evaluators import registry
from evaluators.score import Sample, Score, Scorer


def test_an_unscored_score_has_a_reason_and_no_value():
    score = Score.unscored("empty context")
    assert (score.value, score.label, score.explanation, score.is_scored) == (None, "unscored", "empty context", False)


@pytest.mark.parametrize(("value", "label"), [(None, "grounded"), (0.0, "unscored"), (float("nan"), "grounded")])
def test_a_score_cannot_pretend_to_be_what_it_is_not(value, label):
    with pytest.raises(ValueError, match="score"):
        Score(value=value, label=label, explanation="")


def test_samples_do_not_share_what_they_carry_besides():
    assert Sample("a", "", "", "").extra == {}
    with pytest.raises(TypeError):
        Sample("a", "", "", "").extra["key"] = 1


def test_an_unknown_evaluator_is_named_with_those_that_exist():
    with pytest.raises(registry.UnknownEvaluatorError, match=r"grondedness.*groundedness"):
        registry.create("grondedness")


def test_a_scorer_from_the_registry_keeps_the_contract():
    scorer = registry.create("groundedness", device="cpu")
    assert isinstance(scorer, Scorer)
    assert scorer.name == "groundedness"
    assert scorer.arguments["device"] == "cpu"
    assert scorer.revision


def test_every_entry_of_the_registry_leads_to_a_function():
    assert registry.names() == sorted(registry.EVALUATORS)
    for entry in registry.EVALUATORS.values():
        assert callable(pkgutil.resolve_name(entry.factory))
        assert entry.summary
