"""What notebooks/explore.ipynb shows: figures with controls. Without a browser they are the figures alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np

from mdcore.library import pictures
from mdcore.library.arrays import load_data
from mdcore.library.fitting import fit
from mdcore.library.runs import LoadedRun, load_run
from mdcore.store.locations import workplace
from mdcore.store.runs import RunError

QUANTITIES = (
    "gap", "angle_max_margin", "margin_ratio", "angle_linear_md", "log_inverse_loss", "norm_balance", "layer_alignment",
)  # fmt: skip
MOST_LINES = 12
LIVE = {
    "a plane": {"name": "synthetic", "geometry": "planted", "dim": 2},
    "20 dimensions": {"name": "synthetic", "geometry": "gaussian", "dim": 20},
}


class View:
    """A figure that `draw(**values)` makes of the values of the controls, and makes anew when one of them changes.

    In a notebook the controls stand above it. The figure is an ordinary output, so that a notebook which papermill or
    nbconvert has executed shows it too. What cannot be drawn is a sentence in its place.
    """

    def __init__(self, draw: Callable[..., Any], **controls: ipywidgets.Widget):
        self.draw, self.controls, self._handle = draw, controls, None
        self.figure = self._drawn()
        for control in controls.values():
            control.observe(self._changed, "value")

    def _drawn(self) -> Any:
        from IPython.display import Markdown

        try:
            return self.draw(**{name: control.value for name, control in self.controls.items()})
        except ValueError as error:
            return Markdown(str(error))

    def _changed(self, _: Any) -> None:
        self.figure = self._drawn()
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


def _choice(history: Any, column: str, name: str) -> ipywidgets.SelectMultiple:
    values = list(history[column].dropna().unique()) if column in history else []
    options = [(f"{each:g}" if isinstance(each, int | float | np.number) else str(each), each) for each in values]
    return ipywidgets.SelectMultiple(options=options, value=values, rows=4, description=name)


def curves(run: LoadedRun | None) -> View | None:
    """Curves of the cells of one data set, filtered by potential and depth, for one quantity at a time."""
    if run is None or run.history.empty:
        return None
    history = run.history

    def draw(data, potential, depth, quantity):
        kept = history[
            history["data"].eq(data) & history["potential_label"].isin(potential) & history["depth"].isin(depth)
        ]
        cells = list(kept.groupby("cell_id", sort=False))
        if not cells:
            raise ValueError("No cell is left: choose a potential and a depth.")
        lines = {_words(rows.iloc[0]): rows for _, rows in cells[:MOST_LINES]}
        return pictures.history_curves(lines, quantity)

    known = [(pictures.axis_label(q), q) for q in QUANTITIES if q in history and history[q].notna().any()]
    return View(
        draw,
        data=ipywidgets.Dropdown(options=list(history["data"].unique()), description="data"),
        potential=_choice(history, "potential_label", "potential"),
        depth=_choice(history, "depth", "depth"),
        quantity=ipywidgets.Dropdown(options=known, description="quantity"),
    )


def _words(row: Any) -> str:
    return f"{row['potential_label']}, depth {row['depth']}, seed {row['seed']}"


def boundaries(run: LoadedRun | None) -> View | None:
    """Where the predictors of a run cut its data, for data in the plane; None where there are none."""
    plane = {} if run is None else {i: c for i, c in run.configs.items() if len(run.predictors.get(i, ())) == 2}
    if run is None or not plane:
        return None
    described = run.history.drop_duplicates("cell_id").set_index("cell_id")
    shown = described.loc[[cell_id for cell_id in plane if cell_id in described.index]]

    def draw(potential, depth, seed):
        kept = shown[shown["potential_label"].isin(potential) & shown["depth"].isin(depth) & shown["seed"].eq(seed)]
        if kept.empty:
            raise ValueError("No cell is left: choose a potential and a depth.")
        data = load_data(plane[kept.index[0]]["dataset"], seed=seed)
        alike = kept[kept["data"].eq(kept["data"].iloc[0])]
        lines = {_words(row): run.predictors[cell_id] for cell_id, row in alike.iterrows()}
        return pictures.boundaries(data.X_train, data.y_train, dict(list(lines.items())[:MOST_LINES]))

    return View(
        draw,
        potential=_choice(shown, "potential_label", "potential"),
        depth=_choice(shown, "depth", "depth"),
        seed=ipywidgets.Dropdown(options=sorted(shown["seed"].unique()), description="seed"),
    )


def live() -> View:
    """A cell that is trained whenever a control is changed: direction, margin and certificate move."""

    def draw(data, p, depth, rule, steps):
        points = load_data(LIVE[data])
        keys: Any = {} if rule == "annealed" else {"step": {"rule": rule}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the title says what has become of it
            trained = fit(points.X_train, points.y_train, "lp", depth, p=p, epochs=steps, stop=None, width=10, **keys)
        return pictures.training(trained)

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
