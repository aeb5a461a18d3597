"""The kinds of figures that there are: each is one function, registered where it is written.

    @figure("final_angles", section="Where the runs end")
    def final_angles(study: Study) -> Iterator[Drawn | Absent]: ...

A file in drawings/ is found by being there. A figure of the user's own is a function `my_file:my_figure` of a Study,
named under `figures` in the style file; it returns a matplotlib figure, whose caption is the function's docstring, or
yields Drawn and Absent as those here do.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from mdcore.analysis.figures.study import Study
from mdcore.config.errors import nearest
from mdcore.config.plugins.loading import load_figure
from mdcore.config.yaml_lines import GridError

SECTIONS = (
    "Where the runs end",
    "Angles to the references",
    "Margins and certified gap",
    "Decision boundaries",
    "Layers and hidden neurons",
    "Metrics of one's own",
    "Figures of one's own",
)


@dataclass
class Drawn:
    """One figure: file stem, the figure, what it shows, words for who cannot see it.

    `notes`: sentences on how to read it; the report prints each once for all figures. `album`: "" for a figure of the
    report, else the stem of the PDF of many pages it goes into.
    """

    name: str
    figure: Figure
    caption: str
    alt: str = ""
    notes: list[str] = field(default_factory=list)
    album: str = ""


@dataclass
class Absent:
    """A figure that was not drawn, and why. `failed`: drawing it ended in an error."""

    name: str
    reason: str
    failed: bool = False

    @classmethod
    def because(cls, name: str, error: Exception) -> Absent:
        """The figure, or what is left of its kind, that could not be drawn."""
        return cls(name, f"it could not be drawn ({type(error).__name__}: {' '.join(str(error).split())[:200]})", True)


@dataclass(frozen=True)
class Kind:
    """A kind of figure: its name, the section of the report, what draws it, and whether it is drawn unasked."""

    name: str
    section: str
    draw: Callable[[Study], Iterator[Drawn | Absent]]
    default: bool = True


KINDS: dict[str, Kind] = {}


def figure(name: str, section: str, default: bool = True) -> Callable[[Callable], Callable]:
    """Register a function of a Study that yields Drawn and Absent."""

    def register(draw: Callable) -> Callable:
        KINDS[name] = Kind(name, section, draw, default)
        return draw

    return register


def kinds(study: Study) -> list[Kind]:
    """The kinds of figures to draw, in the order of the report, or as the style file lists them.

    Raises GridError for a name that is no figure.
    """
    from mdcore.analysis.figures import drawings

    for module in pkgutil.iter_modules(drawings.__path__):
        importlib.import_module(f"{drawings.__name__}.{module.name}")
    for name in study.options.panels:
        _known("panels", name)
    if study.options.figures is None:
        return sorted((k for k in KINDS.values() if k.default), key=lambda k: SECTIONS.index(k.section))
    return [
        _user_figure(name, study) if ":" in name else _known("figures", name)
        for name in dict.fromkeys(study.options.figures)
    ]


def _known(what: str, name: str) -> Kind:
    if name not in KINDS:
        raise GridError(
            f"{what}: given {name!r}, which is no figure{nearest(name, KINDS)}; expected some of {', '.join(KINDS)}"
        )
    return KINDS[name]


def _user_figure(reference: str, study: Study) -> Kind:
    function = load_figure(reference, study.options.directory)
    name = reference.split(":")[1]

    def draw(study: Study) -> Iterator[Drawn | Absent]:
        made = function(study)
        if isinstance(made, Figure):
            text = inspect.getdoc(function) or name.replace("_", " ")
            made = [Drawn(name, made, text, text)]
        yield from made

    return Kind(name, "Figures of one's own", draw)
