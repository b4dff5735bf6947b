"""Evaluates imported models by the algebra's definition; compares with the
recorded outputs.

    agree.py TOOL ZOO NAME...
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

TOLERANCE = 1e-4  # of the output's range, on the rows that the mask keeps


def write(stem, array):
    with open(stem + ".shape", "w") as file:
        file.writelines(f"{extent}\n" for extent in array.shape)
    kind = np.float64 if array.dtype.kind == "f" else np.int64
    array.astype(kind).tofile(stem + ".bin")


def read(stem):
    with open(stem + ".shape") as file:
        shape = [int(line) for line in file]
    return np.fromfile(stem + ".bin").reshape(shape)


def error(actual, expected, mask):
    if actual.shape != expected.shape:
        return float("inf")
    if mask is not None and actual.shape[:2] == mask.shape:
        actual, expected = actual[mask != 0], expected[mask != 0]
    span = max(expected.max() - expected.min(), abs(expected).max())
    return abs(actual - expected).max() / span


def check(tool, zoo, model, plan=None):
    """The greatest error of a model, or of a plan that was made of it."""
    path = os.path.join(zoo, model["name"])
    cases = np.load(os.path.join(path, "cases.npz"))
    worst = 0
    for case in range(model["cases"]):
        with tempfile.TemporaryDirectory() as folder:
            for i, name in enumerate(model["inputs"]):
                write(f"{folder}/in.{i}", cases[f"c{case}.in.{name}"])
            command = [tool, plan or os.path.join(path, "model.onnx"), f"--run={folder}"]
            subprocess.run(command, check=True)
            mask = model.get("mask_input")
            kept = cases[f"c{case}.in.{mask}"] if mask else None
            for i, name in enumerate(model["outputs"]):
                expected = cases[f"c{case}.out.{name}"].astype(float)
                actual = read(f"{folder}/out.{i}")
                worst = max(worst, error(actual, expected, kept))
    return worst


def main():
    tool, zoo, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(os.path.join(zoo, "index.json")) as file:
        models = {model["name"]: model for model in json.load(file)}
    failed = False
    for name in names or models:
        worst = check(tool, zoo, models[name])
        failed |= not worst <= TOLERANCE
        print(f"{name}: {worst:.1e}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
