"""Requires that a further layer adds little to the time of a compilation.

    compile_time.py SHALLOW.onnx DEEP.onnx FOLDER FACTOR

Processor time of pairs, one right after the other, and the median of their
ratios: a machine changes its speed for seconds at a time. A busy one gets more
pairs before the answer is no.
"""

import resource
import statistics
import sys

import harness

PAIRS, MOST_PAIRS = 5, 20


def seconds(model, prefix):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    code, output = harness.joinery("compile", model, "-o", prefix, "--emit=obj")
    if code != harness.DONE:
        sys.exit(output)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main():
    shallow, deep, folder = sys.argv[1:4]
    bound = float(sys.argv[4])
    ratios = []
    for pair in range(1, MOST_PAIRS + 1):
        few, many = seconds(shallow, f"{folder}/shallow"), seconds(deep, f"{folder}/deep")
        ratios.append(many / few)
        ratio = statistics.median(ratios)
        if pair >= PAIRS and ratio <= bound:
            break
    report = harness.Report("compile time")
    result = f"{ratio:.2f} times as long, the median of {pair} pairs; the last: {few:.2f} s and {many:.2f} s"
    report.check(ratio <= bound, result)
    report.note(result)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
