"""Presidio's pattern recognisers behind a rule, where the extra is installed; a clear word where it is not."""

import subprocess
import sys
from typing import Any

import pytest

from heliograph.rules import finders
from personal_data import presidio

TEXT = "Write to jane.doe@example.org, card 4111 1111 1111 1111, wallet 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa."
installed = pytest.mark.skipif(not finders.has_presidio(), reason="needs the extra: pip install 'heliograph[presidio]'")


@installed
def test_its_finds_have_its_names_as_labels() -> None:
    found = [(TEXT[find.start : find.end], find.label) for find in finders.presidio("").find(TEXT)]
    assert found == [
        ("jane.doe@example.org", "email_address"),
        ("4111 1111 1111 1111", "credit_card"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "crypto"),
    ]


@installed
def test_only_the_wanted_entities_are_found_and_others_that_it_does_not_know_are_refused() -> None:
    found = finders.presidio("CRYPTO, CREDIT_CARD").find(TEXT)
    assert [find.label for find in found] == ["credit_card", "crypto"]
    with pytest.raises(finders.UnusableRuleError, match="do not know PERSON"):
        finders.presidio("PERSON")


def test_without_the_package_the_rule_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    presidio.presidio_analyzer.cache_clear()
    monkeypatch.setattr(presidio, "import_module", absent)
    with pytest.raises(finders.UnusableRuleError, match=r"pip install 'heliograph\[presidio\]'"):
        finders.presidio("")


def test_nothing_of_it_is_imported_before_a_rule_asks() -> None:
    script = "import sys, heliograph.rules.finders; print(sorted({'presidio_analyzer', 'spacy'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"
