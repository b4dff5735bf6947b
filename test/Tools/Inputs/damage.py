"""Damages a file: damage.py cut FROM TO LENGTH | flip FROM TO OFFSET"""

import pathlib
import sys

how, source, target, where = sys.argv[1:]
content = bytearray(pathlib.Path(source).read_bytes())
if how == "cut":
    content = content[: int(where)]
else:
    content[int(where)] ^= 0xFF
pathlib.Path(target).write_bytes(content)
