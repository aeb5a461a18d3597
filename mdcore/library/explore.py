"""What notebooks/explore.ipynb shows: figures with controls. Without a browser they are the figures alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from mdcore.analysis.figures import style
from mdcore.config.cell import data_key, potential_key, potential_label, word
from mdcore.config.labels import data_words, potential_words
from mdcore.library import pictures
from mdcore.library.arrays import load_data
from mdcore.library.fitting import fit
from mdcore.library.runs import LoadedRun, load_run
from mdcore.store.locations import workplace
from mdcore.store.runs import RunError

QUANTITIES = (
    "gap", "angle_max_margin", "margin_ratio", "angle_linear_md", "log_inverse_loss", "norm_balance", "layer_alignment",
)  # fmt: skip
MOST_LINES, MOST_IMAGES = 12, 6
FRAMES = 8  # of a training that is watched
LIVE = {
    "a plane": {"name": "synthetic", "geometry": "gaussian", "dim": 2},
    "20 dimensions": {"name": "synthetic", "geometry": "gaussian", "dim": 20},
}


class View:
    """A figure that `draw(**values)` makes of the values of the controls, and makes anew when one of them changes.

    In a notebook the controls stand above it. The figure is an ordinary output, so that a notebook which papermill or
    nbconvert has executed shows it too. What cannot be drawn is a sentence in its place. `draw` may make several
    figures, one after the other: they are shown so, and the last one stays.
    """

    def __init__(self, draw: Callable[..., Any], **controls: ipywidgets.Widget):
        self.draw, self.controls, self._handle = draw, controls, None
        *_, self.figure = self._drawn()
        for control in controls.values():
            control.observe(self._changed, "value")

    def _drawn(self) -> Iterator[Any]:
        from IPython.display import Markdown

        try:
            made = self.draw(**{name: control.value for name, control in self.controls.items()})
            yield from made if isinstance(made, Iterator) else [made]
        except ValueError as error:
            yield Markdown(str(error))

    def _changed(self, _: Any) -> None:
        for figure in self._drawn():
            self.figure = figure
            if self._handle is not None:
                self._handle.update(self.figure)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(ipywidgets.HBox(list(self.controls.values()), layout={"flex_flow": "row wrap"}))
        self._handle = display(self.figure, display_id=True)


def newest(runs_dir: str = "", tag: str = "") -> tuple[LoadedRun | None, str]:
    """(run, what to say of it): that of the tag, else the newest complete one; None where there is none."""
    place = Path(runs_dir) if runs_dir else workplace() / "runs_out"
    try:
        run = load_run(tag, place)
    except RunError as error:
        return None, str(error)
    return run, f"{run.path.name}: {run.question} {len(run.cells)} cells, {len(run.missing)} missing."


def _cells(run: LoadedRun) -> pd.DataFrame:
    """By cell_id, for each cell with a history: data, potential, depth, seed, what else varies; and its words."""
    ids = [cell_id for cell_id in run.history["cell_id"].unique() if cell_id in run.configs]
    configs = [run.configs[cell_id] for cell_id in ids]
    data, potentials, others = data_words(configs), potential_words(configs), _others(configs)
    rows = [
        {
            "data": data[data_key(config)],
            "potential": potentials[potential_key(config)],
            "label": potential_label(config["potential"]),
            "depth": config["depth"],
            "seed": config["seed"],
            "other": other,
        }
        for config, other in zip(configs, others, strict=True)
    ]
    cells = pd.DataFrame(rows, index=ids)
    cells["words"] = [
        ", ".join(filter(None, [row.potential, f"depth {row.depth}", f"seed {row.seed}", row.other]))
        for row in cells.itertuples()
    ]
    return cells


def _others(configs: list[dict[str, Any]]) -> list[str]:
    """For each cell the other keys in which cells of its depth differ, in words: "step.eta 0.1"."""
    flats = [
        {
            f"{key}.{part}": word(inner)
            for key in ("init", "step", "stop")
            for part, inner in (config[key] or {}).items()
        }
        | {key: word(config[key]) for key in ("width", "loss", "epochs", "log_points", "dtype", "svm_C", "logreg_C")}
        for config in configs
    ]
    seen: dict[tuple[int, str], set[str]] = {}
    for config, flat in zip(configs, flats, strict=True):
        for key, value in flat.items():
            seen.setdefault((config["depth"], key), set()).add(value)
    return [
        ", ".join(f"{key} {value}" for key, value in flat.items() if len(seen[config["depth"], key]) > 1)
        for config, flat in zip(configs, flats, strict=True)
    ]


def _choices(cells: pd.DataFrame) -> dict[str, ipywidgets.Widget]:
    """A control for each column in which cells differ, the data always."""
    controls: dict[str, ipywidgets.Widget] = {
        "data": ipywidgets.Dropdown(options=list(cells["data"].unique()), description="data")
    }
    for column in ("potential", "depth", "seed", "other"):
        values = list(cells[column].unique())
        shown = [(str(value) or "as it is", value) for value in values]
        first = values[:1] if column == "seed" else values
        look = {"rows": min(len(values), 5), "layout": {"width": "180px" if column in ("depth", "seed") else "300px"}}
        controls[column] = ipywidgets.SelectMultiple(options=shown, value=first, description=column, **look)
    return {column: control for column, control in controls.items() if column != "other" or len(control.options) > 1}


def _chosen(cells: pd.DataFrame, data: str, most: int, **wanted: tuple[Any, ...]) -> pd.DataFrame:
    """At most so many cells that have one of the values that are wanted in each column. ValueError: none has."""
    kept = cells[cells["data"].eq(data)]
    for column, values in wanted.items():
        kept = kept[kept[column].isin(values)]
    if kept.empty:
        raise ValueError("No cell is left: choose a value in each of the lists.")
    return kept.iloc[:most]


def _looks(cells: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """{words of a cell: its line}: a colour for each potential and a line style for each depth, as in the report."""
    colours = style.colours(list(cells["label"].unique()))
    return {row.words: {"color": colours[row.label], **style.line_of(row.depth)} for row in cells.itertuples()}


def curves(run: LoadedRun | None) -> View | None:
    """Curves of the cells of one data set, for one quantity at a time."""
    if run is None or run.history.empty:
        return None
    cells, history = _cells(run), run.history
    looks = _looks(cells)

    def draw(data, quantity, **wanted):
        chosen = _chosen(cells, data, MOST_LINES, **wanted)
        lines = {words: history[history["cell_id"].eq(cell_id)] for cell_id, words in chosen["words"].items()}
        if not any(rows[quantity].notna().any() for rows in lines.values()):
            raise ValueError(f"The {pictures.axis_label(quantity)} of {data} is not known: choose another quantity.")
        return pictures.history_curves(lines, quantity, looks)

    known = [q for q in QUANTITIES if q in history and history[q].notna().any()]
    first = history[history["cell_id"].isin(cells.index[cells["data"].eq(cells["data"].iloc[0])])]
    start = next((q for q in known if first[q].notna().any()), known[0])
    options = [(pictures.axis_label(q), q) for q in known]
    quantity = ipywidgets.Dropdown(options=options, value=start, description="quantity", layout={"width": "360px"})
    return View(draw, **_choices(cells), quantity=quantity)


def boundaries(run: LoadedRun | None) -> View | None:
    """Where the predictors of a run cut its data, for data in the plane; None where there are none."""
    plane = [] if run is None else [i for i in _cells(run).index if len(run.predictors.get(i, ())) == 2]
    if run is None or not plane:
        return None
    cells = _cells(run).loc[plane]
    looks = _looks(cells)

    def draw(data, **wanted):
        chosen = _chosen(cells, data, MOST_LINES, **wanted)
        config = run.configs[chosen.index[0]]
        points = load_data(config["dataset"], config["digits"], config["pca"], config["seed"])
        alike = chosen[chosen["seed"].eq(config["seed"])]  # another seed may have other points
        lines = {words: run.predictors[cell_id] for cell_id, words in alike["words"].items()}
        return pictures.boundaries(points.X_train, points.y_train, lines, looks)

    return View(draw, **_choices(cells))


def predictors(run: LoadedRun | None) -> View | None:
    """The predictors of a run along training, as weights on the pixels or the columns of its data."""
    if run is None or not run.predictors:
        return None
    cells = _cells(run)
    epochs = sorted({int(epoch) for epoch in run.history["epoch"]})

    def draw(data, step, **wanted):
        weights, basis = {}, None
        for cell_id, words in _chosen(cells, data, MOST_IMAGES, **wanted)["words"].items():
            kept = run.kept(str(cell_id))
            now = max(int(np.searchsorted(kept.epochs, step, side="right")) - 1, 0)  # it may have ended before
            weights[f"{words}\nstep {kept.epochs[now]:,}"] = kept.on_features(kept.path[now])
            basis = kept.basis
        return pictures.predictors(weights, *((basis.image, basis.names) if basis else ()))

    wide: Any = {"continuous_update": False, "layout": {"width": "420px"}}
    slider = ipywidgets.SelectionSlider(options=epochs, value=epochs[-1], description="step", **wide)
    return View(draw, **_choices(cells), step=slider)


def layers(run: LoadedRun | None) -> View | None:
    """The layers of one deep cell at its end; None where no cell is deep."""
    cells = None if run is None or run.history.empty else _cells(run).query("depth > 1")
    if run is None or cells is None or cells.empty:
        return None

    def draw(cell):
        kept = run.kept(cell)
        if not kept.layers:
            raise ValueError(f"The layers of {cell} are not kept: its stack has too many.")
        return pictures.layers(kept)

    options = [(f"{row.data}: {row.words}", row.Index) for row in cells.itertuples()]
    return View(draw, cell=ipywidgets.Dropdown(options=options, description="cell", layout={"width": "560px"}))


def live() -> View:
    """A cell that is trained whenever a control is changed: direction, margin and certificate move."""

    def draw(data, p, depth, rule, steps):
        points = load_data(LIVE[data])
        keys: Any = {} if rule == "annealed" else {"step": {"rule": rule}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the title says what has become of it
            trained = fit(points.X_train, points.y_train, "lp", depth, p=p, epochs=steps, stop=None, width=10, **keys)
        last = len(trained.history)
        for rows in sorted({round(last ** (frame / FRAMES)) for frame in range(1, FRAMES + 1)}):
            yield pictures.training(trained, rows)

    slider = {"continuous_update": False}
    return View(
        draw,
        data=ipywidgets.Dropdown(options=list(LIVE), description="data"),
        p=ipywidgets.FloatSlider(value=1.5, min=1.1, max=6, step=0.1, description="p", **slider),
        depth=ipywidgets.IntSlider(value=1, min=1, max=4, description="depth", **slider),
        rule=ipywidgets.Dropdown(options=["annealed", "normalized", "adaptive", "constant"], description="step"),
        steps=ipywidgets.SelectionSlider(
            options=[100, 300, 1000, 3000, 10000], value=1000, description="steps", **slider
        ),
    )


def show(view: View | None, otherwise: str) -> View | Any:
    """The view, or a sentence where there is nothing to show."""
    from IPython.display import Markdown

    return Markdown(otherwise) if view is None else view
