"""Writes one model for each operator that contracts: contractions.py DIR."""

import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save(folder, name, node, shape, weights):
    graph = helper.make_graph(
        [node], name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / f"{name}.onnx")


folder = pathlib.Path(sys.argv[1])
make = helper.make_node
save(folder, "matmul", make("MatMul", ["x", "w"], ["y"]), ["b", "s", 8], {"w": (8, 4)})
save(folder, "gemm", make("Gemm", ["x", "w", "c"], ["y"], transB=1), ["b", 8], {"w": (4, 8), "c": (4,)})
save(folder, "einsum", make("Einsum", ["x", "w"], ["y"], equation="bsh,hnd->bnsd"), ["b", "s", 8], {"w": (8, 2, 4)})
save(folder, "conv", make("Conv", ["x", "w"], ["y"], strides=[4, 4]), ["b", 3, 8, 8], {"w": (6, 3, 4, 4)})
