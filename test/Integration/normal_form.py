"""Requires that the layers of models optimise to the same functions.

    normal_form.py [--parts] NAME...

The functions of the first model's layers are those of all others. With --parts,
each part of a layer of the first model is one of each other model, which may
have more.
"""

import argparse
import difflib
import sys

import harness


def difference(wanted, found):
    """The first lines in which a missing function differs from the most similar."""
    match = difflib.get_close_matches(wanted, found, 1, 0) or [""]
    lines = difflib.unified_diff(wanted.splitlines(), match[0].splitlines(), lineterm="", n=0)
    return "\n".join(line[:200] for line in list(lines)[2:12])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("names", nargs="+")
    arguments = parser.parse_args()
    form = "parts" if arguments.parts else "functions"
    report = harness.Report("normal form")
    wanted = None
    for name in arguments.names:
        found = harness.layers(harness.ZOO / name / "model.onnx", form)
        if not report.check(isinstance(found, set), name, found if isinstance(found, str) else ""):
            continue
        if wanted is None:
            wanted = found
            report.check(len(wanted) > 0, name, "no layer became a function")
        missing = sorted(wanted - found)
        same = not missing if arguments.parts else wanted == found
        report.check(same, name, difference(missing[0], found) if missing else "there are more functions")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
