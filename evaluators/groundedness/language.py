"""Is a text in English: by script and by its function words, cheaply, and in doubt yes."""

from __future__ import annotations

import unicodedata
from collections import Counter

from evaluators.text import words

_FUNCTION_WORDS = {
    "English": "the of and to in is that it for was with as on are be this by not have from you they or",
    "German": "der die das und ist nicht ein eine zu den mit von für auf dem sich des auch es wird im",
    "French": "le la les et est une un des du que dans pour qui pas sur au avec ce il sont par en",
    "Spanish": "el la los las y es una un que en de por con para no se del su al como más",
    "Italian": "il lo la gli e è una un che di per con non si del della sono nel alla come da",
    "Portuguese": "o os as e é uma um que em de por com para não se do da no na ao mais",
    "Dutch": "de het een en is van dat niet op te zijn voor met die in er aan ook als bij",
    "Polish": "i w nie się na z do jest to że o jak po co za ale od przez są",
    "Swedish": "och att det är en som på av för med inte den till har ett om var de jag",
    "Turkish": "ve bir bu da de için ile çok ne daha gibi en olarak kadar sonra ama olan",
}
_WORDS = {language: frozenset(listed.split()) for language, listed in _FUNCTION_WORDS.items()}
# Shorter texts hold too few function words to tell; names and figures are the same in every language.
MIN_WORDS = 8
# Enough to tell, and a bound on the work for a long context.
_LOOKED_AT = 4_000


def foreign(text: str) -> str | None:
    """What speaks against English: "mostly not in Latin script" or "looks like German"; None where nothing does."""
    letters = [char for char in text[:_LOOKED_AT] if char.isalpha()]
    if letters and sum("LATIN" in unicodedata.name(char, "") for char in letters) < 0.6 * len(letters):
        return "mostly not in Latin script"
    tokens = Counter(words(text[:_LOOKED_AT]))
    total = tokens.total()
    if total < MIN_WORDS:
        return None
    counts = {language: sum(tokens[word] for word in listed) for language, listed in _WORDS.items()}
    best = max(counts, key=lambda language: counts[language])
    if counts[best] > 1.5 * counts["English"] and counts[best] >= max(2, 0.1 * total):
        return f"looks like {best}"
    return None
