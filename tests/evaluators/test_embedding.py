"""Sentence vectors: alike texts are near, and neither the batch nor its order matters."""

import numpy as np
import pytest

from evaluators.embedding import embed

TEXTS = ["The bike arrives in two days.", "Delivery of the bicycle takes two days.", "Quantum fields have spin.", ""]


def test_vectors_have_length_one_and_a_row_for_every_text() -> None:
    vectors = embed(TEXTS, device="cpu")
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_texts_that_say_the_same_are_nearer_than_others() -> None:
    same, other = (float(embed(TEXTS, device="cpu")[0] @ embed(TEXTS, device="cpu")[index]) for index in (1, 2))
    assert same > 0.6
    assert other < 0.3


def test_a_vector_does_not_depend_on_its_neighbours() -> None:
    together = embed([*TEXTS, "word " * 300], device="cpu")
    alone = np.concatenate([embed([text], device="cpu") for text in TEXTS])
    np.testing.assert_allclose(together[:4], alone, atol=2e-2)


def test_no_texts_give_no_rows() -> None:
    assert embed([], device="cpu").shape == (0, 384)


def test_a_model_that_is_nowhere_is_named() -> None:
    with pytest.raises(Exception, match="no-such-folder"):
        embed(["text"], model="/no-such-folder", device="cpu")
