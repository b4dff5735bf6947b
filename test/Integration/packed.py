"""Runs models of test/zoo on packed tokens and on padded ones: the same bits.

    packed.py [NAME...]    every model of test/zoo that takes packed tokens where no name is given

Each batch has empty sequences and sequences of one token; it runs on 1 and 2
threads on each instruction-set level. The padded run has columns that no
sequence reaches: they must not matter either.
"""

import json
import pathlib
import sys
import tempfile

import numpy as np

import harness
import zoo

BATCHES = ([5, 1, 9, 3], [7, 0, 4, 0], [6])
THREADS = (1, 2)


def packed_case(model, case, lengths, room):
    """Padded inputs (`room` columns too many), packed inputs and the mask of the kept tokens."""
    mask_name = model["mask_input"]
    dims = model["inputs"][mask_name]
    sequence = max(lengths) + room
    keep = np.arange(sequence) < np.array(lengths)[:, None]
    padded, packed = {}, {}
    rng = np.random.default_rng(len(lengths))
    for name, given in case.items():
        shape = model["inputs"][name]
        if name == mask_name:
            padded[name] = keep.astype(given.dtype)
        elif shape[:2] == dims:
            rows = given.reshape(-1, *given.shape[2:])
            values = rows[rng.integers(0, len(rows), keep.shape)]
            values[~keep] = 0
            padded[name], packed[name] = values, values[keep]
        else:
            padded[name] = packed[name] = given
    return padded, packed, keep


def run(prefix, work, inputs, threads, isa, offsets=None):
    np.savez(work / "in.npz", **inputs)
    extra = []
    if offsets is not None:
        np.save(work / "offsets.npy", np.array(offsets, np.int64))
        extra = ["--offsets", work / "offsets.npy"]
    (work / "out.npz").unlink(missing_ok=True)
    code, output = harness.joinery("run", prefix, "--inputs", work / "in.npz", "--outputs", work / "out.npz",
                                   "--threads", threads, *extra, isa=isa)
    if code != harness.DONE:
        return None, output
    with np.load(work / "out.npz") as archive:
        return {name: archive[name] for name in archive.files}, output


def same(model, name, padded, packed, keep):
    """Is a packed output what the padded one has for kept tokens, bit by bit?"""
    dims = model["inputs"][model["mask_input"]]
    if model["outputs"][name][:2] == dims:
        padded = padded[keep]
    return padded.shape == packed.shape and padded.dtype == packed.dtype and padded.tobytes() == packed.tobytes()


def check_model(report, model, work, named):
    folder = harness.ZOO / model["name"]
    code, output = harness.joinery("compile", folder / "model.onnx", "-o", work / "model")
    if not report.check(code == harness.DONE, model["name"], f"compile exits {code}: {output[:200]}"):
        return
    if "run_packed(" not in (work / "model.h").read_text():
        report.check(not named, model["name"], "takes no packed tokens")
        return
    case = zoo.load_cases(folder / "cases.npz")[0][0]
    for lengths in BATCHES:
        offsets = np.cumsum([0, *lengths])
        padded, packed, keep = packed_case(model, case, lengths, room=2)
        for isa in harness.isa_levels():
            want, output = run(work / "model", work, padded, 1, isa)
            if not report.check(want is not None, model["name"], lengths, isa, f"padded: {output[:300]}"):
                continue
            for threads in THREADS:
                where = (model["name"], lengths, isa, f"{threads} threads")
                got, output = run(work / "model", work, packed, threads, isa, offsets)
                if not report.check(got is not None, *where, f"packed: {output[:300]}"):
                    continue
                report.check(set(got) == set(want), *where, f"outputs {sorted(got)}")
                for name in want:
                    report.check(same(model, name, want[name], got[name], keep), *where, name,
                                 f"{got[name].shape} is not the padded run's")


def main():
    models = {m["name"]: m for m in json.loads((harness.ZOO / "index.json").read_text())}
    report = harness.Report("packed")
    for name in sys.argv[1:] or [n for n in models if models[n].get("mask_input")]:
        with tempfile.TemporaryDirectory() as scratch:
            check_model(report, models[name], pathlib.Path(scratch), named=name in sys.argv)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
