"""What is measured: a model, a batch of some lengths, and a number of threads."""

import argparse
import dataclasses
import re

import models


@dataclasses.dataclass(frozen=True)
class Case:
    model: str
    batch: int
    length: int
    ragged: bool
    threads: int

    def __str__(self):
        return f"{self.model}:{self.batch}x{self.length}{'r' if self.ragged else ''}:{self.threads}"

    @staticmethod
    def parse(text):
        found = re.fullmatch(r"([\w-]+):(\d+)x(\d+)(r?)(?::(\d+))?", text)
        if not found or found[1] not in models.MODELS:
            raise argparse.ArgumentTypeError(
                f"'{text}' is no MODEL:BATCHxLENGTH[r][:THREADS] with MODEL one of {', '.join(models.MODELS)}")
        case = Case(found[1], int(found[2]), int(found[3]), bool(found[4]), int(found[5] or 1))
        if min(case.batch, case.length, case.threads) < 1:
            raise argparse.ArgumentTypeError(f"'{text}': batch, length and threads are at least 1")
        if case.length > models.MODELS[case.model].positions:
            raise argparse.ArgumentTypeError(f"'{text}': {case.model} has {models.MODELS[case.model].positions} positions")
        return case


SHAPES = ("1x16", "1x128", "8x128", "8x128r", "1x512", "32x128", "32x128r")
NETSDB = ("netsdb:1x10:1", "netsdb:1x10:2")
SETS = {
    "quick": ("tiny:2x16r:1",),
    "default": (
        "bert-base:1x128:1", "bert-base:1x128:2", "bert-base:8x128r:2", "minilm-l6:1x128:1", "minilm-l6:1x16:1",
        "minilm-l6:32x128r:2", f"{models.REAL}:8x128r:2", "netsdb:1x10:1"),
    "decisive": (
        "bert-base:1x128:1", "bert-base:1x128:2", "bert-base:8x128r:2", "bert-base:1x512:2", "bert-base:1x16:1",
        "minilm-l6:1x128:1", "minilm-l6:32x128r:2", "minilm-l6:1x16:1", "netsdb:1x10:1"),
    "full": tuple(
        f"{model}:{shape}:{threads}" for model in ("bert-base", "minilm-l6", models.REAL)
        for shape in SHAPES for threads in (1, 2)) + NETSDB,
}


def of_set(name):
    """The cases of a set, less those of a model that is not installed."""
    return [case for case in map(Case.parse, SETS[name]) if case.model in models.names()]
