"""What is wrong with an evaluator's arguments, said where they are given and not only by the worker that uses them."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from evaluators.registry import EVALUATORS, create
from evaluators.signatures import argument_faults

# The evaluator that asks a language model; which one is no argument.
JUDGE = "llm_judge"
# These name what an evaluator loads: from any folder of the worker's machine, or from anybody's page on a hub.
LOADED = ("model", "presidio")
_LOAD_NOTHING = {("presidio", "patterns")}


def faults(evaluator: str, arguments: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the arguments of an evaluator, each with its path; empty where nothing is.

    A judge's scorer is not made here: its model is not among its arguments. Raises UnknownEvaluatorError.
    """
    if found := argument_faults(evaluator, arguments):
        return found
    if found := unlisted_models(arguments):
        return found
    if EVALUATORS[evaluator].is_light and evaluator != JUDGE:
        # What only its own function knows, such as a pattern that does not compile.
        try:
            create(evaluator, **arguments)
        except (ValueError, TypeError) as error:
            return [str(error)]
    return []


def unlisted_models(arguments: Mapping[str, Any]) -> list[str]:
    """Return which arguments name a model that the operator has not listed for projects to choose."""
    listed = settings.EVALUATOR_MODELS
    offered = ", ".join(listed) or "none"
    return [
        f"{name}: {value!r} is no model that projects may choose here: {offered} (HELIOGRAPH_EVALUATOR_MODELS)."
        for name in LOADED
        if (value := arguments.get(name)) not in (None, *listed) and (name, value) not in _LOAD_NOTHING
    ]
