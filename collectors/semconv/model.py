"""A model's name as columns."""

from functools import lru_cache
from typing import Any

from collectors.model_names import parse


def add_model_columns(row: dict[str, Any]) -> None:
    """Put into a row what its model's name says.

    The adapter is what the sender names, else what the answer's model does, else the model that was asked for: SGLang
    is asked for `base:adapter` and answers with its base.
    """
    stated, asked = row["adapter"], row["model_requested"]
    row.update(model_columns(row["model"]))
    if stated:
        row["adapter"] = stated
    elif not row["adapter"] and asked and asked != row["model"]:
        row["adapter"] = model_columns(asked)["adapter"]


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
