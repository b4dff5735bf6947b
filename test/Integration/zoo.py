"""Compiles models of test/zoo and compares every case with its expected outputs.

    zoo.py [--work DIR] [--precision bf16|tiles] [NAME...]    all models where no name is given

Each case runs at 1 and 2 threads on each instruction-set level of this machine.
Required: the error on rows that the mask keeps is within the bar, both thread
counts give the same bits, and rows that the mask drops are zero. In bf16 the bar
is the least cosine of a token with the expected one, and a wider error; `tiles` is
bf16 on tile registers, emulated where the machine has none. Models in f16 or bf16
are compared with the f32 model that they were made from.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np

import harness

BAR = 1e-4
# Random weights: trained embeddings do better (see bf16_real_model.py). Rows of
# two or three logits turn further, since they are differences of larger sums.
COSINE_BF16, BAR_BF16 = 0.998, 3e-2
COSINE_LOGITS, BAR_LOGITS, FEW_LOGITS = 0.99, 6e-2, 3
# What weights that are rounded to 16 bits change; twice the largest error seen.
BAR_HALF = 3e-3
THREADS = (1, 2)


def load_cases(path):
    """[(inputs, outputs)] of a cases.npz, each a dict of arrays by name."""
    cases = {}
    with np.load(path) as archive:
        for key in archive.files:
            case, side, name = key.split(".", 2)
            if side in ("in", "out"):
                cases.setdefault(int(case[1:]), {"in": {}, "out": {}})[side][name] = archive[key]
    return [(cases[i]["in"], cases[i]["out"]) for i in sorted(cases)]


def compare(report, where, model, inputs, want, got, precision="f32"):
    """Checks one run's outputs against the expected ones."""
    half = model.get("half", False)
    mask_name = model["mask_input"]
    for name, expected in want.items():
        if not report.check(name in got, *where, name, "is missing from the outputs"):
            continue
        actual = got[name]
        if not report.check(
            actual.shape == expected.shape and (half or actual.dtype == expected.dtype),
            *where, name, f"is {actual.dtype}{list(actual.shape)}, want {expected.dtype}{list(expected.shape)}",
        ):
            continue
        few = expected.ndim > 0 and expected.shape[-1] <= FEW_LOGITS
        bar = (BAR_LOGITS if few else BAR_BF16) if precision == "bf16" else BAR_HALF if half else BAR
        axes = mask_name and harness.axes_named(model["inputs"][mask_name], model["outputs"][name])
        if axes:
            keep = inputs[mask_name] != 0
            dropped = harness.rows(actual, axes)[~keep]
            report.check(model.get("keeps_padding") or not dropped.any(), *where, name,
                         "has rows that the mask drops and that are not zero")
            actual, expected = harness.rows(actual, axes)[keep], harness.rows(expected, axes)[keep]
        error = harness.relative_error(actual, expected)
        report.check(error <= bar, *where, name, f"error {error:.2e} of the range, bar {bar:.0e}")
        if precision == "bf16" and np.issubdtype(expected.dtype, np.floating):
            cosine = harness.least_cosine(actual, expected)
            least = COSINE_LOGITS if few else COSINE_BF16
            report.check(cosine >= least, *where, name, f"least cosine {cosine:.6f}, bar {least}")


def run_model(report, model, folder, work, precision):
    prefix = work / model["name"] / "model"
    prefix.parent.mkdir(parents=True, exist_ok=True)
    tiles = precision == "tiles"
    if tiles:
        precision = "bf16"
        code, output = harness.run(harness.test_tool("joinery-tile-compile"), folder / "model.onnx", prefix, "bf16")
    else:
        code, output = harness.joinery("compile", folder / "model.onnx", "-o", prefix, "--precision", precision)
    if not report.check(code == harness.DONE, model["name"], f"compile exits {code}"):
        print(harness.first_lines(output))
        return
    for index, (inputs, want) in enumerate(load_cases(folder / "cases.npz")):
        given = prefix.parent / f"in{index}.npz"
        np.savez(given, **inputs)
        for isa in ["avx2"] if tiles else harness.isa_levels(precision):
            bits = None
            for threads in THREADS:
                where = (model["name"], f"c{index}", isa, f"{threads} threads")
                result = prefix.parent / "out.npz"
                result.unlink(missing_ok=True)
                code, output = harness.joinery(
                    "run", prefix, "--inputs", given, "--outputs", result, "--threads", threads, isa=isa,
                    preload=harness.test_tool("joinery-tile-emulator.so") if tiles else None,
                )
                if tiles:
                    report.check("tiles: native" in output or ("tiles: emul" in output and ", 0 inst" not in output), *where, "there were no tiles")
                if not report.check(code == harness.DONE, *where, f"run exits {code}"):
                    print(harness.first_lines(output))
                    continue
                with np.load(result) as archive:
                    got = {name: archive[name] for name in archive.files}
                now = {name: array.tobytes() for name, array in got.items()}
                if bits is None:
                    bits = now
                    compare(report, where, model, inputs, want, got, precision)
                else:
                    report.check(bits == now, *where, "bits differ from those at 1 thread")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--zoo", type=pathlib.Path, default=harness.ZOO)
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--precision", choices=["f32", "bf16", "tiles"], default="f32")
    arguments = parser.parse_args()

    models = {m["name"]: m for m in json.loads((arguments.zoo / "index.json").read_text())}
    unknown = [name for name in arguments.names if name not in models]
    if unknown:
        parser.error(f"not in the zoo: {' '.join(unknown)}")
    report = harness.Report("zoo")
    for level in harness.LEVELS:
        if level not in harness.isa_levels("bf16"):
            report.note(f"{level} skipped: this CPU lacks it")
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or pathlib.Path(scratch)
        for name in arguments.names or models:
            run_model(report, models[name], arguments.zoo / name, work, arguments.precision)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
