"""The command line: list, score, drift, regress. Results are JSON, complaints go to standard error.

Exit codes: `score` 0, or 1 when a line was skipped; `drift` 0; `regress` 0 pass, 1 fail, 2 not enough data;
3 for arguments or files that cannot be used.
"""

from __future__ import annotations

import argparse
import pkgutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from evaluators import registry
from evaluators.errors import UsageError

UNUSABLE = 3
# Resolved when asked for: torch and scipy take seconds to import, which `list` and `--help` need not wait for.
COMMANDS = {
    "list": "evaluators.cli:list_names",
    "score": "evaluators.score_file:command",
    "drift": "evaluators.drift.command:command",
    "regress": "evaluators.regression.command:command",
}


class Parser(argparse.ArgumentParser):
    """argparse ends with 2 on bad arguments, which here means "not enough data"."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(UNUSABLE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = pkgutil.resolve_name(COMMANDS[options.command])
    try:
        return command(options)
    except (UsageError, OSError) as error:
        sys.stderr.write(f"evaluators {options.command}: {error}\n")
        return UNUSABLE


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m evaluators", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    commands.add_parser("list", help="the evaluators by name")

    score = commands.add_parser("score", help="score JSON lines {id, context, question, answer, ...}")
    score.add_argument("name")
    score.add_argument("--input", type=Path, required=True)
    score.add_argument("--output", type=Path, required=True)
    score.add_argument("--model", help="Hugging Face id or folder of the model")
    score.add_argument("--device", help="cpu, cuda, cuda:1, mps; several with commas between run one process each")
    score.add_argument("--batch-tokens", type=int, help="tokens a batch may hold")
    score.add_argument(
        "--compile",
        action="store_true",
        default=None,
        dest="compile_model",
        help="have torch compile the model: slow to start, faster afterwards",
    )
    score.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting of the evaluator, as JSON"
    )

    drift = commands.add_parser("drift", help="test two .npy windows for drift")
    drift.add_argument("--reference", type=Path, required=True)
    drift.add_argument("--current", type=Path, required=True)
    drift.add_argument(
        "--test",
        help="mmd, energy, classifier, knn (rows); ks, wasserstein, psi (numbers); "
        "chi_squared, jensen_shannon (strings); the first of its kind by default; texts (strings that are measured: "
        "length, language, refusals, repetition)",
    )
    drift.add_argument("--alpha", type=float, default=0.05)
    drift.add_argument("--min-effect", type=float, default=0.0)
    drift.add_argument("--permutations", type=int)
    drift.add_argument("--seed", type=int, default=0)
    drift.add_argument("--device")
    drift.add_argument(
        "--explain", action="store_true", help="add the clusters of rows that moved; of texts, their topics"
    )

    regress = commands.add_parser("regress", help="compare two runs {id, METRIC: number, cluster?}")
    regress.add_argument("--baseline", type=Path, required=True)
    regress.add_argument("--candidate", type=Path, required=True)
    regress.add_argument("--metric", required=True)
    regress.add_argument("--margin", type=float, help="largest drop that is acceptable, absolute; 0.02 by default")
    regress.add_argument("--alpha", type=float, default=0.05)
    regress.add_argument("--kind", choices=["binary", "continuous", "ratio"])
    regress.add_argument("--lower-is-better", action="store_true")
    regress.add_argument("--seed", type=int, default=0)
    return parser


def list_names(options: argparse.Namespace) -> int:
    """Print every evaluator with what it judges."""
    del options
    width = max(map(len, registry.names()))
    for name in registry.names():
        sys.stdout.write(f"{name:<{width}}  {registry.EVALUATORS[name].summary}\n")
    return 0
