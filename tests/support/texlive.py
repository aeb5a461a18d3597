"""What of LaTeX is on this machine: a small installation lacks the packages that tables and paper need."""

import shutil
import subprocess


def has(*programs: str) -> bool:
    """Whether the programs are there, and siunitx, which comes last of the packages (Debian: texlive-science)."""
    if not all(map(shutil.which, ("kpsewhich", *programs))):
        return False
    return bool(subprocess.run(["kpsewhich", "siunitx.sty"], capture_output=True).stdout)
