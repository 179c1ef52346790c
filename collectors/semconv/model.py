"""A model's name as columns."""

from functools import lru_cache
from typing import Any

from collectors.model_names import parse


# A busy deployment answers with tens of names, adapters included thousands; an entry is about 1 kB.
@lru_cache(maxsize=8_192)
def model_columns(name: str) -> dict[str, Any]:
    """Columns of a model's name, shared between calls: not to be changed. Several variants are joined by a comma."""
    said = parse(name)
    return {
        "model_family": said.family or "",
        "model_variant": ",".join(said.variant),
        "model_params_b": said.params_total,
        "model_active_params_b": said.params_active,
        "model_quantization": said.quantization or "",
        "model_bits": said.bits,
        "model_format": said.format or "",
        "adapter": said.adapter or "",
    }
