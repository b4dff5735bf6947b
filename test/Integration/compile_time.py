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
    shallow, deep, folder, factor = sys.argv[1:]
    ratios = []
    while len(ratios) < PAIRS or (statistics.median(ratios) > float(factor) and len(ratios) < MOST_PAIRS):
        few = seconds(shallow, f"{folder}/shallow")
        ratios.append(seconds(deep, f"{folder}/deep") / few)
    ratio = statistics.median(ratios)
    report = harness.Report("compile time")
    report.check(ratio <= float(factor), f"{ratio:.2f} times as long, the median of {len(ratios)} pairs")
    report.note(f"{ratio:.2f} times as long")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
