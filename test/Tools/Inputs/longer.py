"""Checks that each contraction and attention of one plan is predicted to take less
than that of another.

    longer.py SHORTER LONGER
"""

import re
import sys


def predictions(path):
    pattern = re.compile(r"#(\d+) (?:contraction|attention) @.*  predicted ([\d.]+) us")
    with open(path, encoding="utf-8") as file:
        return {found[1]: float(found[2]) for line in file if (found := pattern.search(line))}


shorter, longer = (predictions(path) for path in sys.argv[1:])
assert shorter and shorter.keys() == longer.keys(), "the plans differ"
for step, microseconds in shorter.items():
    assert microseconds < longer[step], f"step {step}: {microseconds} us and {longer[step]} us"
