"""
Print a loss that the parameters decide: a first value, then the true one, then wait to be killed.
"""

from __future__ import annotations

import json
import math
import sys
import time

x, y = map(float, sys.argv[1:])
loss = (x - 1) ** 2 + math.log10(y) ** 2
for step, value in enumerate((loss + 1, loss)):
    time.sleep(0.4)
    print(json.dumps({"loss": value, "step": step}), flush=True)  # noqa: T201 - its purpose
time.sleep(0.8)
