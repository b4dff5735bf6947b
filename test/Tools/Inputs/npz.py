"""Writes arrays of one value: npz.py OUT.npz NAME=DTYPE:EXTENTxEXTENT...:VALUE ..."""

import sys

import numpy as np

arrays = {}
for item in sys.argv[2:]:
    name, description = item.split("=", 1)
    dtype, extents, value = description.split(":")
    arrays[name] = np.full([int(e) for e in extents.split("x") if e], float(value)).astype(dtype)
np.savez(sys.argv[1], **arrays)
