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
from torch import Tensor, nn

from evaluators.batching import padded
from evaluators.groundedness.adapted import AdaptedVerifier, add_adapters, load_encoder, save_adapters
from evaluators.groundedness.minilm import MAX_TOKENS, collate, packaged_folder, tokenize
from evaluators.training.data import Example, is_held_out, natural_examples, read_rows, training_round


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


def train(recipe: Recipe, data: Path, dev: Path | None, output: Path) -> list[float]:
    """Train and write `output`; the loss of each step."""
    rng = random.Random(recipe.seed)  # noqa: S311 - a reproducible order of examples, not a secret
    torch.manual_seed(recipe.seed)
    rows = [row for row in read_rows(data) if row.source not in recipe.without_sources]
    if dev is not None:
        documents = {row.context[:300] for row in read_rows(dev) if is_held_out(row, recipe.held_out_documents)}
        rows = [row for row in rows if row.context[:300] not in documents]
    natural = natural_examples(rows)
    model = AdaptedVerifier(load_encoder(packaged_folder(), torch.bfloat16))  # frozen; what is trained is fp32
    add_adapters(model, recipe.rank)
    model.eval()  # no dropout: the runs are short, and it costs a third of the time
    heads = [*model.pooler.parameters(), *model.pair_head.parameters(), *model.token_head.parameters()]
    known = {id(parameter) for parameter in heads}
    adapters = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    rates = [recipe.adapter_rate, recipe.head_rate]
    optimizer = torch.optim.AdamW(
        [{"params": adapters, "lr": rates[0]}, {"params": heads, "lr": rates[1]}], weight_decay=0.01, fused=True
    )
    step, done = 0, 0.0
    losses: list[float] = []
    cpu_started, started = time.process_time(), time.monotonic()
    while done < 1:
        for batch in batches(training_round(rows, natural, recipe.corruptions, rng), recipe.batch, rng):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, done / recipe.warmup + 0.02, (1 - done) / (1 - recipe.warmup))
            loss = loss_of(model, batch, recipe)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(adapters + heads, 1.0)
            optimizer.step()
            step += 1
            done = progress(recipe, step, time.monotonic() - started)
            losses.append(loss.item())
            if step % 50 == 0:
                rate = step * recipe.batch / (time.process_time() - cpu_started)
                recent = sum(losses[-50:]) / 50
                sys.stderr.write(f"step {step} ({done:.0%}) loss {recent:.4f} {rate:.0f} pairs/CPU-s\n")
            if step % 200 == 0 or done >= 1:
                header = {"recipe": json.dumps(asdict(recipe)), "step": str(step)}
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
    parser.add_argument("--rank", type=int, default=standard.rank)
    parser.add_argument("--seed", type=int, default=standard.seed)
    parser.add_argument("--without", nargs="*", default=[], metavar="SOURCE", help="sources to leave out of training")
    given = parser.parse_args()
    recipe = Recipe(
        steps=given.steps, minutes=given.minutes, rank=given.rank, seed=given.seed, without_sources=tuple(given.without)
    )
    train(recipe, given.data, given.dev, given.output)


if __name__ == "__main__":
    main()
