"""Few and many rows on 1 to 16 threads: the same bits, and those of ONNX Runtime but for rounding.

Of few rows workers share panels, and a whole row's epilogue waits for all of
them; of more than 1024 rows they share rows. The model has several panels and a
feed-forward that is cut along k.

    shares.py MODEL
"""

import pathlib
import sys
import tempfile

import numpy as np
import onnxruntime

import harness

# Batch and length: 1 to 9 rows, a block and a row more, both sides of 1024 rows.
SHAPES = [(1, 1), (1, 2), (1, 9), (2, 36), (1, 64), (2, 37), (5, 27), (16, 64), (25, 41), (40, 64)]
THREADS = [2, 3, 4, 7, 16]


def main():
    report = harness.Report("shares")
    model = sys.argv[1]
    rng = np.random.default_rng(3)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        for precision, tolerance in (("f32", 1e-4), ("bf16", 0.05)):
            code, output = harness.joinery("compile", model, "-o", work / "m", f"--precision={precision}")
            if not report.check(code == harness.DONE, f"compile exits {code}: {output[:200]}"):
                return report.finish()
            for batch, length in SHAPES:
                ids = rng.integers(1, 99, (batch, length))
                inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": ids % 2}
                np.savez(work / "in.npz", **inputs)
                want = session.run(None, inputs)[0]
                for isa in harness.isa_levels(precision):
                    one = None
                    for threads in [1] + THREADS:
                        what = f"{precision} {isa} {batch}x{length} on {threads} threads"
                        code, output = harness.joinery("run", work / "m", "--inputs", work / "in.npz", "--outputs",
                                                       work / "out.npz", "--threads", threads, isa=isa)
                        if not report.check(code == harness.DONE, f"{what} exits {code}: {output[:200]}"):
                            continue
                        got = np.load(work / "out.npz")["last_hidden_state"]
                        if one is None:
                            one = got
                            error = np.abs(got - want).max() / np.ptp(want)
                            report.check(error < tolerance, f"{what}: off by {error:.2g} of the range")
                        report.check(got.tobytes() == one.tobytes(), f"{what}: other bits than on 1 thread")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
