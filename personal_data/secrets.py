"""Secrets in a text, by the shapes that their makers give them: a known prefix, a known length.

A password without a shape is not found; name the keys that hold one instead.
"""

import re

from personal_data.pii import Found

# One alternation, so that a text without any prefix is read once. Lengths are the makers' own, with room to grow.
_SHAPES = (
    r"sk-(?:ant-|proj-|or-v1-|svcacct-|admin-|lf-)?[A-Za-z0-9_-]{20,200}",  # OpenAI, Anthropic, OpenRouter, Langfuse
    r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}",  # AWS access key ids
    r"AIza[A-Za-z0-9_-]{35}",  # Google API keys
    r"ya29\.[A-Za-z0-9_-]{20,400}",  # Google OAuth tokens
    r"gh[pousr]_[A-Za-z0-9]{36,255}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{22,255}",
    r"glpat-[A-Za-z0-9_-]{20,100}",  # GitLab
    r"xox[abeoprs]-[A-Za-z0-9-]{10,250}",  # Slack
    r"hf_[A-Za-z0-9]{30,100}",  # Hugging Face
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{50,300}",
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,250}",  # Stripe
    r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64}",  # SendGrid
    r"gsk_[A-Za-z0-9]{40,100}",  # Groq
    r"hg_[A-Za-z0-9_-]{43}",  # Heliograph's own
    r"eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{8,2000}",  # JSON Web Tokens
    r"(?<=Bearer )[A-Za-z0-9._~+/-]{20,4000}=*",
    # A key that was cut has no end. A dash in the body is never followed by another, so that a search stays linear.
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY-----(?:[A-Za-z0-9+/=\s:,.]|-(?!-)){20,16000}"
    r"(?:-----END [A-Z0-9 ]{1,60}-----)?",
    # The password of a URL.
    r"(?<=://)[^\s/:@]{1,100}:[^\s/:@]{1,200}(?=@)",
)
# What every shape holds; a text without any of it is not searched.
SIGNS = (
    r"sk-|A[KSRI][IO][AD]|AIza|ya29\.|gh[pousr]_|github_pat_|glpat-|xox|hf_|npm_|pypi-|[rs]k_|SG\.|hg_|eyJ|"
    r"Bearer |-----BEGIN|://[^\s/:@]+:"
)
_SIGNS = re.compile(SIGNS)
_SECRET = re.compile(r"(?<![A-Za-z0-9_-])(?:" + "|".join(f"(?:{shape})" for shape in _SHAPES) + ")")


def find_secrets(text: str) -> list[Found]:
    """Finds in order of place, none overlapping another."""
    if not _SIGNS.search(text):
        return []
    return [Found(*match.span(), "SECRET") for match in _SECRET.finditer(text)]
