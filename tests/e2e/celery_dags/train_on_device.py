"""
Print a loss that the parameters decide, and which device it was computed on, from when to when.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time

x, y = map(float, sys.argv[1:])
began = time.time()
loss = (x - 1) ** 2 + math.log10(y) ** 2
print(json.dumps({"loss": loss + 1, "step": 0}), flush=True)  # noqa: T201 - its purpose
time.sleep(0.8)
used = {"devices": os.environ["CUDA_VISIBLE_DEVICES"], "began": began, "ended": time.time()}
with open(os.path.join(os.environ["HPO_OUTPUT_DIR"], "used.json"), "w") as file:  # noqa: PTH118, PTH123
    json.dump(used, file)
print(json.dumps({"loss": loss, "step": 1}), flush=True)  # noqa: T201 - its purpose
