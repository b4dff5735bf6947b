"""Runs a model 100 times on 1 to 4 threads: every output has the same bits."""

import pathlib
import sys
import tempfile

import numpy as np

import harness

RUNS = 100


def main():
    report = harness.Report("determinism")
    model = pathlib.Path(sys.argv[1])
    rng = np.random.default_rng(1)
    lengths = np.array([29, 3, 17, 0, 8])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    inputs = {"input_ids": rng.integers(1, 99, mask.shape), "attention_mask": mask,
              "token_type_ids": np.zeros_like(mask)}
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        np.savez(work / "in.npz", **inputs)
        code, output = harness.joinery("compile", model, "-o", work / "m")
        if not report.check(code == harness.DONE, f"compile exits {code}: {output[:200]}"):
            return report.finish()
        for isa in harness.isa_levels():
            first = None
            for run in range(RUNS):
                code, output = harness.joinery("run", work / "m", "--inputs", work / "in.npz", "--outputs",
                                               work / "out.npz", "--threads", 1 + run % 4, isa=isa)
                if not report.check(code == harness.DONE, f"{isa} run {run} exits {code}: {output[:200]}"):
                    return report.finish()
                with np.load(work / "out.npz") as result:
                    bits = {name: result[name].tobytes() for name in result.files}
                first = first or bits
                report.check(bits == first, f"{isa} run {run} on {1 + run % 4} threads: other bits")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
