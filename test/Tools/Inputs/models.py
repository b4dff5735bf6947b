"""Writes small ONNX models for the tests of messages: models.py KIND OUT.onnx"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

KIND, OUT = sys.argv[1:]
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
wide = helper.make_tensor_value_info("wide", TensorProto.FLOAT, [2**40, 2**40])
long = helper.make_tensor_value_info("long", TensorProto.FLOAT, [2**20, 2**30])
ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)

NODES = {
    # Three problems: all of them have to be named.
    "unsupported": [
        helper.make_node("NonMaxSuppression", ["x", "x"], ["a"], name="first_bad"),
        helper.make_node("Frobnicate", ["x"], ["b"], name="second_bad", domain="com.example"),
        helper.make_node("Relu", ["x"], ["c"], name="good"),
        helper.make_node("Det", ["c"], ["y"], name="third_bad"),
    ],
    "relu": [helper.make_node("Relu", ["x"], ["y"], name="relu")],
    # Tables of one row: a weight, and a dimension that is repeated.
    "one_row": [
        helper.make_node("Gather", ["row", "ids"], ["y"], name="of_weight"),
        helper.make_node("Expand", ["row", "shape"], ["rows"], name="repeats"),
        helper.make_node("Gather", ["rows", "ids"], ["z"], name="of_copies"),
    ],
    # More elements than 64 bits count: of an input, of a result, on the way.
    "huge_input": [helper.make_node("Relu", ["wide"], ["y"], name="relu")],
    "huge_output": [
        helper.make_node("ConstantOfShape", ["sides"], ["c"], name="fills"),
        helper.make_node("Add", ["x", "c"], ["y"], name="adds"),
    ],
    "huge_join": [
        helper.make_node("Transpose", ["long"], ["t"], name="turns"),
        helper.make_node("MatMul", ["long", "t"], ["y"], name="multiplies"),
    ],
    "dangling": [helper.make_node("Add", ["x", "nowhere"], ["y"], name="adds")],
    "cycle": [helper.make_node("Add", ["x", "y"], ["a"], name="ring1"),
              helper.make_node("Relu", ["a"], ["y"], name="ring2")],
}
# All that no node reads is an output: nodes that nothing needs may be ignored.
weights = [
    numpy_helper.from_array(np.arange(4, dtype=np.float32)[None], "row"),
    numpy_helper.from_array(np.array([3, 4]), "shape"),
    numpy_helper.from_array(np.array([2**40, 2**40]), "sides"),
]
read = {name for node in NODES[KIND] for name in node.input}
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for node in NODES[KIND] for name in node.output if name not in read]
graph = helper.make_graph(
    NODES[KIND], "test", [value for value in (x, wide, long, ids) if value.name in read], ends or [y],
    [weight for weight in weights if weight.name in read])
opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), OUT)
