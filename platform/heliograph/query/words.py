"""Search for words in the texts of spans, by the store's word index."""

import re

from heliograph.query.clauses import Clause, all_of, put

MAX_SEARCH_WORDS = 16
# Between words: neither a letter, nor a digit, nor beyond ASCII.
_GAP = r"[^0-9a-z\x{80}-\x{10ffff}]"


def split(text: str) -> list[str]:
    """Split as the store's word index does: at every ASCII character that is no letter and no digit."""
    return re.findall(r"[0-9A-Za-z\u0080-\U0010ffff]+", text)


_TEXTS = ("input", "output")
# Texts are stored as JSON, where a line break before a word reads `\nword`: the index then holds the word "nword".
_ESCAPES = ("n", "t", "r")


def containing(text: str, prefix: str = "word") -> list[Clause]:
    """Every word stands, as a word, in the input or every one in the output: conditions that are alternatives.

    Of each side there are two: all words stand in the column itself, or some stand in the long texts that it refers to.
    `prefix` begins the names of the parameters.
    """
    words = split(text)
    found: list[Clause] = []
    for side in _TEXTS if words else ():
        found.append(
            all_of(*(_word(f"lower({side})", f"{prefix}_{number}", word) for number, word in enumerate(words)))
        )
        found.append(_partly_apart(side, words, prefix))
    return found


def _partly_apart(side: str, words: list[str], prefix: str) -> Clause:
    """Some words stand in long texts of their own: the index of references is asked for all of those texts at once."""
    texts = [_word("lower(text)", f"{prefix}_{number}", word) for number, word in enumerate(words)]
    hashes = [put(_HASHES, side=side[0], where=sql, most=str(MAX_TEXTS_OF_A_WORD)) for sql, _ in texts]
    each = [
        all_of((f"hasAny(contents, {found}) OR {_pattern(f'lower({side})', f'{prefix}_{number}')}", parameters))
        for number, (found, (_, parameters)) in enumerate(zip(hashes, texts, strict=True))
    ]
    any_of_them = f"hasAny(contents, arrayConcat({', '.join(hashes)}))" if len(hashes) > 1 else None
    return all_of((any_of_them, {}) if any_of_them else (f"hasAny(contents, {hashes[0]})", {}), *each)


# A word that stands in more texts than this says little about any of them; the references of a span to the others are
# not found, only those words that stand in the span itself.
MAX_TEXTS_OF_A_WORD = 20_000
_HASHES = """(
    SELECT groupArray(concat('{side}', hash)) FROM (
        SELECT hash FROM contents WHERE project_id = %(project_id)s AND {where} LIMIT {most}
    )
)"""


def _word(text: str, name: str, word: str) -> Clause:
    # lower() in the store folds A-Z only, and so must the word.
    folded = "".join(letter.lower() if letter.isascii() else letter for letter in word)
    tokens = {name: folded} | {f"{name}_{escape}": escape + folded for escape in _ESCAPES}
    has = " OR ".join(f"hasToken({text}, %({token})s)" for token in tokens)
    # The hint is for the index alone and costs no reading; it would also let "node" through where "ode" is sought.
    sql = f"indexHint({has}) AND {_pattern(text, name)}"
    return sql, {**tokens, f"{name}_pattern": rf"(?:^|{_GAP}|\\[ntr]){folded}(?:$|{_GAP})"}


def _pattern(text: str, name: str) -> str:
    return f"match({text}, %({name}_pattern)s)"
