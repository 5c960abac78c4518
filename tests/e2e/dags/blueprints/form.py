"""
Stands for a training: prints what it was given, as a measurement, after a moment.
"""

import json
import sys
import time

x, kind = float(sys.argv[1]), sys.argv[2]
for epoch in (1, 2, 3):
    line = json.dumps({"epoch": epoch, "y": x * epoch / 3, "kind": kind})
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    time.sleep(0.2)
