"""Runs ONNX's own operator tests whose operators Joinery's registry lists.

    onnx_backend.py [--shard I/N] [--verbose] [NAME...]

A test passes when its outputs agree, or when its exact sub-case is refused by
name: exit code 1 and a message that names an operator of the test. A crash, any
other exit code, or a wrong number fails.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

import harness

DATA = pathlib.Path("/usr/share/libonnx-testdata/data")
BAR = {np.dtype(np.float16): 2e-3}


def registry():
    """{(domain, operator): [(since, until)]} as the compiler itself prints it."""
    done = subprocess.run(
        [harness.tool("joinery-compiler"), "support", "--json"], stdout=subprocess.PIPE, check=True
    )
    table = collections.defaultdict(list)
    for entry in json.loads(done.stdout):
        domain = {"ai.onnx": ""}.get(entry["domain"], entry["domain"])
        table[domain, entry["op"]].append((entry.get("since", 1), entry.get("until")))
    return table


def operators(graph):
    for node in graph.node:
        yield {"ai.onnx": ""}.get(node.domain, node.domain), node.op_type
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from operators(attribute.g)


def listed(table, model):
    opsets = {{"ai.onnx": ""}.get(o.domain, o.domain): o.version for o in model.opset_import}
    return all(
        any(since <= opsets.get(op[0], 1) and (until is None or opsets.get(op[0], 1) <= until)
            for since, until in table.get(op, ()))
        for op in operators(model.graph)
    )


def load_data(folder, kind, values):
    """The arrays of one data set by name; None where one is no tensor of the
    declared type, or of a type that NumPy's files can't hold."""
    arrays = {}
    for index, value in enumerate(values):
        path = folder / f"{kind}_{index}.pb"
        if not path.exists():
            continue
        if not value.type.HasField("tensor_type"):
            return None
        tensor = onnx.TensorProto()
        tensor.ParseFromString(path.read_bytes())
        if tensor.data_type != value.type.tensor_type.elem_type:
            return None
        arrays[value.name] = numpy_helper.to_array(tensor)
        if not arrays[value.name].dtype.isbuiltin:
            return None
    return arrays


def excerpt(array):
    return "[" + " ".join(f"{value:.6g}" for value in array.ravel()[:4]) + (" ...]" if array.size > 4 else "]")


def run_test(report, counts, name, model, path, work):
    graph = model.graph
    names = sorted({op for _, op in operators(graph)} | {v.name for v in (*graph.input, *graph.output)})
    prefix = work / "model"
    code, output = harness.joinery("compile", path, "-o", prefix)
    if code == harness.UNSERVABLE:
        counts["refused"] += 1
        named = any(word in output for word in names)
        report.check(named, name, f"is refused without naming any of {names}\n{harness.first_lines(output)}")
        if report.verbose:
            print(f"refused {name}: {harness.first_lines(output, 1).strip()}")
        return
    if not report.check(code == harness.DONE, name, f"compile exits {code}"):
        print(harness.first_lines(output))
        return
    initial = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in initial]
    agreed = True
    for folder in sorted(path.parent.glob("test_data_set_*")):
        inputs = load_data(folder, "input", values)
        want = load_data(folder, "output", model.graph.output)
        given, result = work / "in.npz", work / "out.npz"
        np.savez(given, **inputs)
        code, output = harness.joinery("run", prefix, "--inputs", given, "--outputs", result, "--threads", 1)
        if not report.check(code == harness.DONE, name, f"run exits {code}"):
            print(harness.first_lines(output))
            agreed = False
            continue
        with np.load(result) as archive:
            for key, expected in want.items():
                actual = archive[key]
                same = actual.shape == expected.shape and actual.dtype == expected.dtype
                error = harness.relative_error(actual, expected) if same else float("inf")
                detail = f"error {error:.1e}: {excerpt(actual)}, want {excerpt(expected)}" if same else (
                    f"is {actual.dtype}{list(actual.shape)}, want {expected.dtype}{list(expected.shape)}")
                agreed &= report.check(error <= BAR.get(expected.dtype, 1e-4), name, key, detail)
    counts["agreed"] += agreed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--shard", default="0/1", help="the I-th of N parts of the tests")
    parser.add_argument("--verbose", action="store_true", help="print why each refused test is refused")
    arguments = parser.parse_args()
    shard, shards = map(int, arguments.shard.split("/"))

    table = registry()
    report = harness.Report(f"onnx-backend {arguments.shard}")
    report.verbose = arguments.verbose
    counts = collections.Counter(agreed=0, refused=0, unlisted=0, untyped=0)
    paths = sorted(DATA.glob("*/*/model.onnx"))
    if not paths:
        parser.error(f"{DATA} holds no tests; install the Debian package libonnx-testdata")
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths[shard::shards]:
            name = path.parent.name
            if arguments.names and name not in arguments.names:
                continue
            model = onnx.load(path)
            if not listed(table, model):
                counts["unlisted"] += 1
                continue
            folders = sorted(path.parent.glob("test_data_set_*"))
            initial = {tensor.name for tensor in model.graph.initializer}
            values = [value for value in model.graph.input if value.name not in initial]
            if not folders or any(
                load_data(f, "input", values) is None or load_data(f, "output", model.graph.output) is None
                for f in folders
            ):
                counts["untyped"] += 1
                continue
            try:
                run_test(report, counts, name, model, path, pathlib.Path(scratch))
            except subprocess.TimeoutExpired:
                report.fail(name, "takes longer than its time limit")
    report.note(", ".join(f"{value} {key}" for key, value in counts.items()))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
