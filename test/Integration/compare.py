"""`joinery compare` finds an injected bug, and nothing where there is none.

    compare.py NAME...        models of the zoo

The reference has every tensor of the graph, from ONNX Runtime. In a second one a
single weight is changed: the first tensor that diverges must be the result of
the node that reads this weight.
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

import harness
import zoo


def all_tensors(model, inputs):
    """Every tensor that a node computes, by name."""
    outputs = {output.name for output in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name]
    for name in names:
        if name not in outputs:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, inputs)))


def change_a_weight(model):
    """Changes one element of the middle one of the matrices that products read; returns the readers' results."""
    matrices = {t.name: t for t in model.graph.initializer if len(t.dims) == 2 and t.data_type == onnx.TensorProto.FLOAT}
    readers = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm") and node.input[1] in matrices]
    name = readers[len(readers) // 2].input[1]
    values = numpy_helper.to_array(matrices[name]).copy()
    values.flat[7] += 5
    matrices[name].CopyFrom(numpy_helper.from_array(values, name))
    return [node.output[0] for node in readers if node.input[1] == name]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    arguments = parser.parse_args()
    report = harness.Report("compare")
    with tempfile.TemporaryDirectory() as scratch:
        given, reference = pathlib.Path(scratch) / "in.npz", pathlib.Path(scratch) / "out.npz"
        for name in arguments.names:
            path = harness.ZOO / name / "model.onnx"
            inputs, _ = zoo.load_cases(harness.ZOO / name / "cases.npz")[0]
            np.savez(given, **inputs)
            np.savez(reference, **all_tensors(onnx.load(path), inputs))
            code, output = harness.joinery("compare", path, "--inputs", given, "--reference", reference)
            if not report.check(code == harness.DONE, name, f"compare exits {code} without a bug"):
                print(output)
            broken = onnx.load(path)
            results = change_a_weight(broken)
            np.savez(reference, **all_tensors(broken, inputs))
            code, output = harness.joinery("compare", path, "--inputs", given, "--reference", reference)
            report.check(code == harness.UNSERVABLE, name, f"compare exits {code} with a bug")
            first = output.strip().splitlines()[-1]
            report.check(
                any(f"the first that diverges is '{result}', computed by node" in first for result in results),
                name, f"a bug in {results} is reported as: {first}",
            )
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
