"""run_grid as a process of its own, with the notebook given first: for tests that kill it.

STATE_EVERY_S in the environment: seconds between saved training states, instead of the runner's own.
"""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    from mdcore import run_grid
    from mdcore.runner import execution

    execution.TRAIN_NOTEBOOK = Path(sys.argv[1])
    if execution.TRAIN_NOTEBOOK.parent.name != "notebooks":  # the fake one
        from fake_training import LIGHT_KERNELS

        from mdcore.runner.kernels.servers import Kernels

        Kernels.__init__.__defaults__ = (LIGHT_KERNELS,)
    execution.STATE_EVERY_S = float(os.environ.get("STATE_EVERY_S", execution.STATE_EVERY_S))
    sys.exit(run_grid.main(sys.argv[2:]))
