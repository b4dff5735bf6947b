"""Rewrites zoo models by random laws and requires the same results.

    metamorphic.py [--seed S] [--seeds N] [--onnxruntime|--normal-form] [NAME...]

--onnxruntime runs the rewritten models there instead: a test of the laws.
--normal-form requires that the layers optimise to the same functions instead.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import zlib

import numpy as np
import onnx

import harness
import rewrites
import zoo

# Flags of processors on which ONNX Runtime's sums of products of bytes are exact.
EXACT_BYTES = {"avx512_vnni", "avx_vnni"}


def run_joinery(path, cases, work):
    """Outputs of each case, or a message."""
    prefix, given, result = work / "model", work / "in.npz", work / "out.npz"
    code, output = harness.joinery("compile", path, "-o", prefix)
    if code != harness.DONE:
        return f"compile exits {code}\n{harness.first_lines(output)}"
    results = []
    for inputs, _ in cases:
        np.savez(given, **inputs)
        code, output = harness.joinery("run", prefix, "--inputs", given, "--outputs", result, "--threads", 1)
        if code != harness.DONE:
            return f"run exits {code}\n{harness.first_lines(output)}"
        with np.load(result) as archive:
            results.append({name: archive[name] for name in archive.files})
    return results


def run_onnxruntime(path, cases, work):
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    # As the expected outputs were made: its fused kernels round levels elsewhere.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return [dict(zip(names, session.run(names, inputs))) for inputs, _ in cases]


def is_reference(model, path, cases):
    """Whether ONNX Runtime can tell if a rewritten model still means the same.

    It has no kernels for bf16 arithmetic. Where its products of bytes saturate, it must
    give the expected outputs for the model as it was exported.
    """
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Unsupported

    try:
        results = run_onnxruntime(path, cases, None)
    except Unsupported:
        return False
    if harness.cpu_flags() & EXACT_BYTES:
        return True
    trial = harness.Report("reference", quiet=True)
    compare(trial, (), model, cases, results, drops=True)
    return not trial.failures


def compare(report, where, model, cases, results, drops):
    """`drops`: the rows that the mask drops are computed, and not compared."""
    for index, ((inputs, want), got) in enumerate(zip(cases, results)):
        mask = model["mask_input"]
        if drops and mask:
            got = {o: drop(model, mask, inputs, o, a) for o, a in got.items()}
        zoo.compare(report, (*where, f"c{index}"), model, inputs, want, got)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--onnxruntime", action="store_true")
    parser.add_argument("--normal-form", action="store_true")
    arguments = parser.parse_args()

    models = {m["name"]: m for m in json.loads((harness.ZOO / "index.json").read_text())}
    report = harness.Report("metamorphic")
    with tempfile.TemporaryDirectory() as scratch:
        work = pathlib.Path(scratch)
        for name in arguments.names or models:
            folder = harness.ZOO / name
            source = onnx.load(folder / "model.onnx")
            cases = zoo.load_cases(folder / "cases.npz")
            if arguments.onnxruntime and not is_reference(models[name], folder / "model.onnx", cases):
                report.note(f"ONNX Runtime is no reference for {name}")
                continue
            for seed in range(arguments.seed, arguments.seed + arguments.seeds):
                if arguments.normal_form:
                    check_normal_form(report, name, seed, source, work / "model.onnx")
                    continue
                model, applied = rewrites.rewrite(source, np.random.default_rng([seed, zlib.crc32(name.encode())]))
                where = (name, f"seed {seed}", "+".join(applied))
                path = work / "model.onnx"
                onnx.save(model, path)
                try:
                    results = (run_onnxruntime if arguments.onnxruntime else run_joinery)(path, cases, work)
                except Exception as problem:
                    results = str(problem)
                if not report.check(isinstance(results, list), *where, results if isinstance(results, str) else ""):
                    continue
                compare(report, where, models[name], cases, results, drops=arguments.onnxruntime)
    return report.finish()


def check_normal_form(report, name, seed, source, path):
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    model, applied = rewrites.rewrite(source, rng, laws=rewrites.NORMAL)
    onnx.save(model, path)
    wanted = harness.layers(harness.ZOO / name / "model.onnx", "parts")
    found = harness.layers(path, "parts")
    where = (name, f"seed {seed}", "+".join(applied), "normal form")
    if report.check(isinstance(wanted, set) and isinstance(found, set), *where, wanted, found):
        report.check(wanted == found, *where, f"{len(wanted - found)} of {len(wanted)} functions differ")


def drop(model, mask, inputs, output, array):
    """Zeroes the rows that the mask drops, which ONNX Runtime computes."""
    axes = harness.axes_named(model["inputs"][mask], model["outputs"][output])
    if axes:
        array = array.copy()
        harness.rows(array, axes)[inputs[mask] == 0] = 0
    return array


if __name__ == "__main__":
    sys.exit(main())
