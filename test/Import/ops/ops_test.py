"""Single operators against ONNX Runtime, through import and interpretation.

    ops_test.py [--filter TEXT] [--list]

Every case runs with static shapes and, where it names symbols, with symbolic
ones. A case that expects a refusal gives a word of the reason.
"""

import argparse
import concurrent.futures
import dataclasses
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from evaluate import Broken, Refused, difference, evaluate

MS = "com.microsoft"
random = np.random.default_rng(7)


def f(*shape, scale=1.0):
    return (random.standard_normal(shape) * scale).astype(np.float32)


def i(*values, dtype=np.int64):
    return np.array(values, dtype)


@dataclasses.dataclass
class Case:
    op: str
    inputs: list
    attrs: dict = dataclasses.field(default_factory=dict)
    domain: str = ""
    opset: int = 17
    outputs: int = 1
    wanted: tuple = ()  # positions of outputs that are compared; all if empty
    constants: tuple = ()  # positions of inputs that are stored in the model
    symbols: dict = dataclasses.field(default_factory=dict)  # extent -> name
    refused: str = ""
    reference: object = None  # the outputs, where ONNX Runtime has no kernel
    tolerance: float = 1e-4

    @property
    def name(self):
        shapes = ",".join("-" if x is None else str(list(x.shape)) for x in self.inputs)
        return f"{self.domain + '.' if self.domain else ''}{self.op}/{self.opset} {shapes} {self.attrs}"

    def model(self, symbolic):
        names = [f"x{k}" if x is not None else "" for k, x in enumerate(self.inputs)]
        results = [
            f"y{k}" if not self.wanted or k in self.wanted else "" for k in range(self.outputs)
        ]
        node = helper.make_node(self.op, names, results, name="node", domain=self.domain, **self.attrs)
        values, stored = [], []
        for k, (name, x) in enumerate(zip(names, self.inputs)):
            if x is None:
                continue
            if k in self.constants:
                stored.append(numpy_helper.from_array(x, name))
                continue
            shape = [self.symbols.get(n, n) if symbolic else n for n in x.shape]
            values.append(
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), shape)
            )
        outputs = [helper.make_empty_tensor_value_info(name) for name in results if name]
        graph = helper.make_graph([node], "graph", values, outputs, stored)
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid(MS, 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=10)

    def feed(self):
        return {
            f"x{k}": x
            for k, x in enumerate(self.inputs)
            if x is not None and k not in self.constants
        }

    def expected(self):
        if self.reference is not None:
            return [np.asarray(y) for y in self.reference]
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            self.model(False).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return session.run(None, self.feed())


def check(case):
    """None, or what is wrong."""
    try:
        expected = None if case.refused else case.expected()
    except Exception as error:  # the case itself is wrong
        return f"the reference fails: {str(error)[:300]}"
    for symbolic in (False, True) if case.symbols else (False,):
        try:
            actual = evaluate(case.model(symbolic), case.feed())
        except Refused as error:
            if case.refused and case.refused in str(error):
                continue
            return f"refused{' (symbolic)' * symbolic}: {str(error)[:300]}"
        except Broken as error:
            return f"broken{' (symbolic)' * symbolic}: {str(error)[:1500]}"
        if case.refused:
            return "is not refused"
        for k, (a, e) in enumerate(zip(actual, expected)):
            why = difference(a, e, case.tolerance)
            if why:
                return f"output {k}{' (symbolic)' * symbolic}: {why}"
    return None


def main():
    from ops_cases import cases

    parser = argparse.ArgumentParser()
    parser.add_argument("--filter", default="")
    parser.add_argument("--list", action="store_true", help="print every case")
    options = parser.parse_args()
    chosen = [case for case in cases() if options.filter in case.name]
    wrong = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for case, why in zip(chosen, pool.map(check, chosen)):
            wrong += why is not None
            if why or options.list:
                print(f"{'wrong' if why else 'right'}: {case.name}: {why or ''}")
    print(f"{len(chosen) - wrong} right, {wrong} wrong")
    sys.exit(bool(wrong) or not chosen)


if __name__ == "__main__":
    main()
