"""Identity of a model from its name: `parse(name)`.

A name passes three rooms: `routes` takes off who serves it, `quantization` how its weights are stored, `words` reads
the rest against the tables (`families`, `vocabulary`, `hosts`); `parser` resolves what they found.
"""

from collectors.model_names.fields import ModelName
from collectors.model_names.parser import parse

__all__ = ["ModelName", "parse"]
