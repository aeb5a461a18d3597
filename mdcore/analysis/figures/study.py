"""What the figures of a run are drawn from: its results and tables, and what the style file chooses of them.

A style file, any <grid>.style.yaml, says how figures look and what is in them; every key may be left out:

    style: {columns: 1, font_size: 8, width_in: 3.25}   # columns of a paper: 1 or 2; a width of one's own
    figures: [final_angles, angles_vs_epochs]            # which, in this order; also my_file:my_figure
    panels: {angles_vs_epochs: [angle_linear_md]}        # the columns that a figure shows, in this order
    potentials: [lp1.5, quadratic]                       # by potential_label of master.csv, in this order
    depths: [1, 2]
    data: ["MNIST 0 vs 1, PCA 50"]                       # by the titles of panels, in this order
    labels: {lp1.5: "p = 1.5"}                           # other names for potentials and data
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mdcore.analysis.data.conditions import Condition
from mdcore.analysis.data.facets import Facet
from mdcore.analysis.data.pairs import pairings
from mdcore.analysis.data.results import Results
from mdcore.analysis.figures import style
from mdcore.config.errors import Problems, got, nearest
from mdcore.config.labels import unique_names
from mdcore.config.yaml_lines import GridError, read_document

KEPT = "style.yaml"  # its copy with the results


class Look(BaseModel):
    """`style:` of a style file. columns and width_in: None, as each figure is made for."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    columns: Literal[1, 2] | None = None
    font_size: float = Field(style.SIZE, ge=style.SMALLEST, le=12)
    width_in: float | None = Field(None, ge=2.5, le=12)


class Options(BaseModel):
    """A style file. None: everything, in the order of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    style: Look = Look()
    figures: list[str] | None = Field(None, min_length=1)
    panels: dict[str, list[str]] = {}
    potentials: list[str] | None = Field(None, min_length=1)
    depths: list[int] | None = Field(None, min_length=1)
    data: list[str] | None = Field(None, min_length=1)
    labels: dict[str, str] = {}
    directory: str = Field("", exclude=True)


def read_options(path: str | Path | None) -> Options:
    """The options of a style file, or the defaults without one. Raises GridError with all that is wrong in it."""
    if not path:
        return Options()
    problems = Problems()

    def tell(place: str, key: str, message: str) -> None:
        message = message.replace("question, fixed, vary", "style, figures, …")
        problems.add(place, key, message.replace("grid file", "style file"))

    document = read_document(path, tell)
    problems.raise_if_any()
    try:
        content = document.data if document.data is not None else {}
        return Options.model_validate(content).model_copy(update={"directory": str(Path(path).resolve().parent)})
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            *owner, name = detail["loc"] or ("",)
            message = f"got {got(detail['input'])}; " + detail["msg"].replace("Input should be", "expected")
            if detail["type"] == "extra_forbidden":
                keys = list(Look.model_fields if owner else Options.model_fields)
                keys = [k for k in keys if k != "directory"]
                message = f"unknown key; expected one of {', '.join(keys)}{nearest(str(name), keys)}"
            problems.add(document.place(detail["loc"]), ".".join(map(str, detail["loc"])), message)
    problems.raise_if_any()
    raise AssertionError("unreachable")


def keep_style(path: str | Path, output_dir: Path) -> None:
    """Leave a copy of a style file, and of the files of its own figures, with the results: they can be made again."""
    options = read_options(path)
    modules = {reference.split(":")[0] for reference in options.figures or () if ":" in reference}
    for name in modules:
        shutil.copyfile(Path(options.directory, f"{name}.py"), output_dir / f"{name}.py")
    shutil.copyfile(path, output_dir / KEPT)


def _chosen(what: str, wanted: list | None, there: list) -> list:
    """`wanted`, or all that is there. Raises GridError for what is not there."""
    if wanted is None:
        return there
    lacking = [w for w in wanted if w not in there]
    if lacking:
        near = nearest(str(lacking[0]), map(str, there))
        raise GridError(f"{what}: given {lacking[0]!r}; expected some of {', '.join(map(str, there))}{near}")
    return list(dict.fromkeys(wanted))


@dataclass
class Study:
    """A run and its tables, with the conditions to draw. Colours and marks are those of the whole run.

    facets: those chosen, with the conditions chosen, in order. names: words of each potential key.
    """

    results: Results
    master: pd.DataFrame
    summary: pd.DataFrame
    options: Options = field(default_factory=Options)
    facets: list[Facet] = field(init=False)
    names: dict[str, str] = field(init=False)
    colours: dict[str, str] = field(init=False)
    markers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        everything, options = self.results.conditions, self.options
        labels = {c.potential_key: c.label for c in everything}
        colours, markers = (f(list(labels.values())) for f in (style.colours, style.markers))
        self.colours = {key: colours[label] for key, label in labels.items()}
        self.markers = {key: markers[label] for key, label in labels.items()}
        unique_words = unique_names({c.potential_key: [_short(c.words), c.words] for c in everything})
        self.names = {key: options.labels.get(labels[key]) or style.words(unique_words[key]) for key in labels}
        titles = [f.title for f in self.results.facets]
        _chosen("labels", list(options.labels) or None, [*labels.values(), *titles])
        potentials = _chosen("potentials", options.potentials, list(dict.fromkeys(labels.values())))
        depths = _chosen("depths", options.depths, sorted({c.depth for c in everything}))
        by_title = {f.title: f for f in self.results.facets}
        self.facets = []
        for title in _chosen("data", options.data, titles):
            kept = [c for c in by_title[title].conditions if c.label in potentials and c.depth in depths]
            if options.potentials or options.depths:
                kept.sort(key=lambda c: (potentials.index(c.label), depths.index(c.depth)))
            if kept:
                title_ = options.labels.get(title, title)
                self.facets.append(replace(by_title[title], title=title_, conditions=kept))

    @cached_property
    def linear(self) -> dict[str, str]:
        """{cell of a deep run: cell of the linear run with the same data, potential and seed} where the grid has it."""
        pairs = [(c, other) for kind, c, other in pairings(self.results) if kind == "depth"]
        return {cell: other.cells[s] for c, other in pairs for s, cell in c.cells.items() if s in other.cells}

    @property
    def conditions(self) -> list[Condition]:
        return list({c.id: c for f in self.facets for c in f.conditions}.values())

    def width(self, columns: int = 1) -> float:
        """Inches of a figure made for so many columns, unless the style file says otherwise."""
        look = self.options.style
        return look.width_in or (style.COLUMN if (look.columns or columns) == 1 else style.FULL)

    def panels(self, figure: str, columns: tuple[str, ...]) -> list[str]:
        """The columns that a figure shows, in order."""
        return _chosen(f"panels.{figure}", self.options.panels.get(figure), list(columns))


def _short(words: str, most: int = 24) -> str:
    """A name with its middle left out where it is long."""
    return words if len(words) <= most else f"{words[: most // 2]}…{words[-(most // 2 - 1) :]}"
