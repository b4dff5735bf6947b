"""Runs a command and requires an exit code: exits.py CODE COMMAND...

Prints what the command printed on both streams; a command that a signal ended
never passes.
"""

import subprocess
import sys

done = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
text = done.stdout.decode(errors="replace")
print(text, end="")
if done.returncode != int(sys.argv[1]):
    sys.exit(f"exits.py: exit code {done.returncode}, want {sys.argv[1]}: {' '.join(sys.argv[2:])}\n{text}")
