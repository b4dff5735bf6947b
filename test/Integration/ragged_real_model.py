"""The demo's model against ONNX Runtime on random ragged batches.

    ragged_real_model.py [--batches N] [--seed S] [--work DIR]

Outputs that only echo an input must be equal to it; the others agree within the
bar on rows that the mask keeps.
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np
import onnxruntime

import harness

BAR = 1e-4
ECHOES = {"output": "input_ids", "463": "attention_mask"}
TOKENS, EMBEDDING = "onnx::Shape_422", "461"
VOCABULARY, LONGEST = 30522, 128


def ragged_batch(rng):
    """Token ids and mask of 1 to 8 sentences, padded on the right, on the left or anywhere."""
    lengths = rng.integers(1, int(rng.integers(2, LONGEST + 1)), size=int(rng.integers(1, 9)))
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    padding = rng.choice(["right", "left", "anywhere"], p=[0.6, 0.2, 0.2])
    if padding == "left":
        mask = mask[:, ::-1]
    elif padding == "anywhere":
        mask = rng.permuted(mask, axis=1)
    ids = rng.integers(999, VOCABULARY, size=mask.shape) * mask
    ids[np.arange(len(ids)), mask.argmax(1)] = 101
    return {"input_ids": ids.astype(np.int64), "attention_mask": mask}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=pathlib.Path)
    arguments = parser.parse_args()
    model = harness.real_model()
    if model is None:
        parser.error("the model is not installed; run scripts/setup.sh")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    report = harness.Report("ragged-real-model")
    rng = np.random.default_rng(arguments.seed)
    levels, worst = harness.isa_levels(), 0.0
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or pathlib.Path(scratch)
        prefix, given, result = work / "minilm", work / "in.npz", work / "out.npz"
        code, output = harness.joinery("compile", model, "-o", prefix)
        if not report.check(code == harness.DONE, f"compile exits {code}"):
            print(harness.first_lines(output))
            return report.finish()
        for index in range(arguments.batches):
            inputs = ragged_batch(rng)
            isa, threads = levels[index % len(levels)], 1 + index // len(levels) % 2
            where = (f"batch {index}", list(inputs["input_ids"].shape), isa, f"{threads} threads")
            np.savez(given, **inputs)
            code, output = harness.joinery(
                "run", prefix, "--inputs", given, "--outputs", result, "--threads", threads, isa=isa
            )
            if not report.check(code == harness.DONE, *where, f"run exits {code}"):
                print(harness.first_lines(output))
                continue
            names = [EMBEDDING, TOKENS]
            want = dict(zip(names, session.run(names, inputs)))
            with np.load(result) as got:
                for name, source in ECHOES.items():
                    report.check(np.array_equal(got[name], inputs[source]), *where, name, "is not", source)
                keep = inputs["attention_mask"] != 0
                errors = {
                    EMBEDDING: harness.relative_error(got[EMBEDDING], want[EMBEDDING]),
                    TOKENS: harness.relative_error(got[TOKENS][keep], want[TOKENS][keep]),
                }
            for name, error in errors.items():
                report.check(error <= BAR, *where, name, f"error {error:.2e} of the range, bar {BAR:.0e}")
                worst = max(worst, error)
    report.note(f"{arguments.batches} batches, worst error {worst:.1e} of the range")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
