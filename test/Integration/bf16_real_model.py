"""The demo's model in bf16 against itself in f32 on random ragged batches.

    bf16_real_model.py [--batches N] [--seed S]

On every level, and on emulated tiles: the least cosine of a token kept by the mask and of an embedding
is within the bar, and both thread counts give the same bits. The store is half
the size.
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np

import harness
from ragged_real_model import EMBEDDING, TOKENS, ragged_batch

BAR = 0.9997
STORE_BAR = 0.51


def run(prefix, given, result, isa, threads, preload=None):
    code, output = harness.joinery(
        "run", prefix, "--inputs", given, "--outputs", result, "--threads", threads, isa=isa, preload=preload
    )
    if code != harness.DONE:
        return None, output
    with np.load(result) as archive:
        return {name: archive[name] for name in (EMBEDDING, TOKENS)}, output


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--seed", type=int, default=2)
    arguments = parser.parse_args()
    model = harness.real_model()
    if model is None:
        parser.error("the model is not installed; run scripts/setup.sh")
    report = harness.Report("bf16-real-model")
    rng = np.random.default_rng(arguments.seed)
    least = {"bf16": 1.0, "tiles": 1.0}
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        given, result = work / "in.npz", work / "out.npz"
        for precision in ("f32", "bf16"):
            code, output = harness.joinery("compile", model, "-o", work / precision, "--precision", precision)
            if not report.check(code == harness.DONE, f"compile --precision={precision} exits {code}"):
                print(harness.first_lines(output))
                return report.finish()
        code, output = harness.run(harness.test_tool("joinery-tile-compile"), model, work / "tiles", "bf16")
        report.check(code == harness.DONE, f"compile for tiles exits {code}")
        sizes = [(work / f"{precision}.store").stat().st_size for precision in ("bf16", "f32")]
        report.check(sizes[0] <= STORE_BAR * sizes[1], f"the store has {sizes[0]} bytes, in f32 {sizes[1]}")
        best = harness.isa_levels()[0]
        for index in range(arguments.batches):
            inputs = ragged_batch(rng)
            np.savez(given, **inputs)
            want, output = run(work / "f32", given, result, best, 1)
            if not report.check(want is not None, f"batch {index} in f32 does not run"):
                print(harness.first_lines(output))
                continue
            keep = inputs["attention_mask"] != 0
            emulated = ("tiles", "avx2", harness.test_tool("joinery-tile-emulator.so"))
            for prefix, isa, preload in [*(("bf16", isa, None) for isa in harness.isa_levels("bf16")), emulated]:
                where = (f"batch {index}", list(keep.shape), prefix, isa)
                got, output = run(work / prefix, given, result, isa, 1, preload)
                again, _ = run(work / prefix, given, result, isa, 2, preload)
                if not report.check(got is not None and again is not None, *where, "does not run"):
                    print(harness.first_lines(output))
                    continue
                for name in got:
                    report.check(got[name].tobytes() == again[name].tobytes(), *where, name, "bits depend on threads")
                for name, rows in ((EMBEDDING, ...), (TOKENS, keep)):
                    cosine = harness.least_cosine(got[name][rows], want[name][rows])
                    report.check(cosine >= BAR, *where, name, f"least cosine {cosine:.6f}, bar {BAR}")
                    least[prefix] = min(least[prefix], cosine)
    report.note(f"{arguments.batches} batches, least cosine {least['bf16']:.6f}, on tiles {least['tiles']:.6f}")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
