"""Requires that a further layer adds little to the time of a compilation.

    compile_time.py SHALLOW.onnx DEEP.onnx FOLDER FACTOR

Processor time, the best of several runs: other programs on the machine hardly
change that.
"""

import resource
import sys

import harness

RUNS = 5


def seconds(model, prefix):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    code, output = harness.joinery("compile", model, "-o", prefix, "--emit=obj")
    if code != harness.DONE:
        sys.exit(output)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main():
    shallow, deep, folder, factor = sys.argv[1:]
    times = [(seconds(shallow, f"{folder}/shallow"), seconds(deep, f"{folder}/deep")) for _ in range(RUNS)]
    few, many = (min(column) for column in zip(*times))
    report = harness.Report("compile time")
    report.check(many <= float(factor) * few, f"{many:.2f} s after {few:.2f} s")
    report.note(f"{few:.2f} s and {many:.2f} s")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
