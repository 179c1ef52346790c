"""Train the offline verifier's adapters: `python -m evaluators.training --data PATH --output FILE`.

PATH holds JSON lines {context, question, answer, label, source, spans?}, label 1 for an unsupported answer. Written:
FILE (safetensors, bfloat16) at each checkpoint, with the recipe and the steps taken in its header. One core with
AMX is enough. The learning rate falls to zero over the steps, or over the minutes where those end first.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from evaluators.batching import padded
from evaluators.devices import choose_dtype
from evaluators.groundedness.adapted import AdaptedVerifier, add_adapters, load_encoder, save_adapters
from evaluators.groundedness.minilm import MAX_TOKENS, collate, packaged_folder, tokenize
from evaluators.training.data import Example, Row, is_held_out, natural_examples, read_rows, training_round


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the outcome of a run, stored in the file's header."""

    seed: int = 17
    rank: int = 32
    steps: int = 2600
    minutes: float | None = None
    batch: int = 48
    adapter_rate: float = 1e-3
    head_rate: float = 3e-4
    warmup: float = 0.06
    positive_weight: float = 1.2
    token_loss: float = 0.3
    held_out_documents: float = 0.4
    corruptions: int = 11_000  # made in each round
    without_sources: tuple[str, ...] = ()
    earlier_steps: int = 0  # of the run that this one goes on from


def batches(examples: Sequence[Example], size: int, rng: random.Random) -> Iterator[list[Example]]:
    """Batches of examples of about the same length, in random order."""
    pool = size * 40
    for start in range(0, len(examples) - size + 1, pool):
        near = sorted(examples[start : start + pool], key=lambda item: len(item.premise) + len(item.text))
        cut = [near[i : i + size] for i in range(0, len(near) - size + 1, size)]
        rng.shuffle(cut)
        yield from cut


def token_targets(batch: Sequence[Example], offsets: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
    """`(n, length)` targets (1 = unsupported) for the tokens of each claim, and the mask of those that are known."""
    target, known = torch.zeros(offsets.shape[:2]), torch.zeros(offsets.shape[:2])
    start, end = offsets[..., 0], offsets[..., 1]
    for index, item in enumerate(batch):
        if item.unsupported is None or (not item.supported and not item.unsupported):
            continue
        known[index] = (
            (segments[index] == 1) & (end[index] > start[index]) & (start[index] >= item.claim_start)
        ).float()
        for span in item.unsupported:
            target[index][(start[index] < span.end) & (end[index] > span.start)] = 1.0
    return target * known, known


def loss_of(model: AdaptedVerifier, batch: Sequence[Example], recipe: Recipe) -> Tensor:
    tokens = tokenize([(item.premise, item.text) for item in batch], MAX_TOKENS)
    encoded, offsets = collate(tokens, padded(max(len(item.ids) for item in tokens)))
    pair, token = model(**encoded)
    supported = torch.tensor([float(item.supported) for item in batch])
    weight = torch.tensor(recipe.positive_weight)
    loss = nn.functional.binary_cross_entropy_with_logits(pair, supported, pos_weight=weight)
    target, known = token_targets(batch, offsets, encoded["token_type_ids"])
    each = nn.functional.binary_cross_entropy_with_logits(token, target, reduction="none", pos_weight=torch.tensor(2.0))
    return loss + recipe.token_loss * (each * known).sum() / known.sum().clamp(min=1)


def progress(recipe: Recipe, step: int, elapsed_s: float) -> float:
    """How much of the run is done, 0 to 1, by steps or by the clock, whichever is further."""
    by_clock = elapsed_s / 60 / recipe.minutes if recipe.minutes else 0.0
    return min(1.0, max(step / recipe.steps, by_clock))


def prepare(recipe: Recipe, resume: Path | None) -> tuple[AdaptedVerifier, torch.optim.AdamW]:
    """The model with its adapters, and an optimizer over (adapters, heads)."""
    torch.manual_seed(recipe.seed)
    # The frozen weights and activations are bfloat16 where the CPU multiplies it, what is trained is fp32.
    model = AdaptedVerifier(load_encoder(packaged_folder(), choose_dtype(torch.device("cpu")), "eager"))
    add_adapters(model, recipe.rank)
    if resume is not None:
        model.load_state_dict({name: item.float() for name, item in load_file(resume).items()}, strict=False)
    model.eval()  # no dropout: the runs are short, and it costs a third of the time
    heads = [*model.pooler.parameters(), *model.pair_head.parameters(), *model.token_head.parameters()]
    known = {id(parameter) for parameter in heads}
    adapters = [item for item in model.parameters() if item.requires_grad and id(item) not in known]
    return model, torch.optim.AdamW([{"params": adapters}, {"params": heads}], weight_decay=0.01, fused=True)


def training_rows(recipe: Recipe, data: Path, dev: Path | None) -> list[Row]:
    """The rows to train on: without the sources and the documents that are kept for validation."""
    rows = [row for row in read_rows(data) if row.source not in recipe.without_sources]
    if dev is None:
        return rows
    kept = {row.context[:300] for row in read_rows(dev) if is_held_out(row, recipe.held_out_documents)}
    return [row for row in rows if row.context[:300] not in kept]


def stream(recipe: Recipe, rows: list[Row]) -> Iterator[list[Example]]:
    """Batches without end, round after round."""
    rng = random.Random(recipe.seed)  # noqa: S311  # a reproducible order of examples, not a secret
    natural = natural_examples(rows)
    while True:
        yield from batches(training_round(rows, natural, recipe.corruptions, rng), recipe.batch, rng)


def train(recipe: Recipe, data: Path, dev: Path | None, output: Path, resume: Path | None = None) -> list[float]:
    """Train, from the adapters in `resume` if given, and write `output`; the loss of each step."""
    rows = training_rows(recipe, data, dev)
    model, optimizer = prepare(recipe, resume)
    losses: list[float] = []
    done, cpu_started, started = 0.0, time.process_time(), time.monotonic()
    for step, batch in enumerate(stream(recipe, rows), start=1):
        for group, rate in zip(optimizer.param_groups, (recipe.adapter_rate, recipe.head_rate), strict=True):
            group["lr"] = rate * min(1.0, done / recipe.warmup + 0.02, (1 - done) / (1 - recipe.warmup))
        loss = loss_of(model, batch, recipe)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([item for group in optimizer.param_groups for item in group["params"]], 1.0)
        optimizer.step()
        losses.append(loss.item())
        done = progress(recipe, step, time.monotonic() - started)
        if step % 50 == 0:
            speed = step * recipe.batch / (time.process_time() - cpu_started)
            sys.stderr.write(f"step {step} ({done:.0%}) loss {sum(losses[-50:]) / 50:.4f} {speed:.0f} pairs/CPU-s\n")
        if step % 100 == 0 or done >= 1:
            header = {"recipe": json.dumps(asdict(recipe)), "step": str(recipe.earlier_steps + step)}
            save_adapters(model, output, header)
        if done >= 1:
            break
    return losses


def main() -> None:
    standard = Recipe()
    parser = argparse.ArgumentParser(prog="python -m evaluators.training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="training rows, .jsonl or .jsonl.gz")
    parser.add_argument("--dev", type=Path, help="validation rows; a share of their documents is kept out of training")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--steps", type=int, default=standard.steps)
    parser.add_argument("--minutes", type=float, help="end by this wall time even if not all steps were taken")
    parser.add_argument("--resume", type=Path, help="adapters of an earlier run to go on from")
    parser.add_argument("--rate", type=float, default=standard.adapter_rate, help="highest learning rate")
    parser.add_argument("--rank", type=int, default=standard.rank)
    parser.add_argument("--seed", type=int, default=standard.seed)
    parser.add_argument("--without", nargs="*", default=[], metavar="SOURCE", help="sources to leave out of training")
    given = parser.parse_args()
    earlier = 0
    if given.resume is not None:
        with safe_open(given.resume, "pt") as file:
            earlier = int(file.metadata()["step"])
    recipe = Recipe(
        seed=given.seed,
        rank=given.rank,
        steps=given.steps,
        minutes=given.minutes,
        adapter_rate=given.rate,
        head_rate=given.rate * standard.head_rate / standard.adapter_rate,
        without_sources=tuple(given.without),
        earlier_steps=earlier,
    )
    train(recipe, given.data, given.dev, given.output, given.resume)


if __name__ == "__main__":
    main()
