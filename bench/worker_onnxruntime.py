"""ONNX Runtime as a peer; see worker.py."""

import onnxruntime

import worker


def load(model, inputs, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda: dict(zip(names, session.run(names, inputs))), onnxruntime.__version__


worker.serve(load)
