"""Presidio's analyzer, set up so that it downloads nothing."""

from functools import cache
from importlib import import_module
from typing import Any


@cache
def presidio_analyzer(pipeline: str | None) -> Any:
    """Presidio's AnalyzerEngine for English: its pattern recognisers and, with the name of an installed spaCy pipeline,
    what that finds of names and places.

    Raises ImportError, with what to install, where Presidio or the pipeline is absent.
    """
    try:
        spacy: Any = import_module("spacy")
        analyzer: Any = import_module("presidio_analyzer")
        nlp_engine: Any = import_module("presidio_analyzer.nlp_engine")
    except ImportError as error:
        raise ImportError("Presidio is not installed: pip install 'heliograph[presidio]'.") from error

    # It would download the list of public suffixes, once a process; it ships with one.
    tldextract: Any = import_module("tldextract.tldextract")
    tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())
    engine = nlp_engine.SpacyNlpEngine(models=[])
    try:
        # Without a trained pipeline, tokens and nothing else; spacy.load never downloads.
        engine.nlp = {"en": spacy.load(pipeline) if pipeline else spacy.blank("en")}
    except OSError as error:
        raise ImportError(f"spaCy has no pipeline {pipeline!r} installed.") from error
    registry = analyzer.RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=engine)
    if pipeline is None:
        registry.remove_recognizer("SpacyRecognizer")
    return analyzer.AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])
