"""run_grid as a process of its own, with the notebook given first: for tests that kill it."""

import sys
from pathlib import Path

if __name__ == "__main__":
    from mdcore import run_grid
    from mdcore.grid import attempt

    attempt.TRAIN_NOTEBOOK = Path(sys.argv[1])
    sys.exit(run_grid.main(sys.argv[2:]))
