"""What the figures show, read back from their axes and held against the raw parquet files.

What a title, a legend or a tick label stands for is written down here: the product's own tables of columns, titles,
colours and scales are not asked.
"""

import fake_run as fake
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from mdcore.analysis.data import aggregate
from mdcore.analysis.data.results import load
from mdcore.analysis.figures import collection, style
from mdcore.analysis.figures.drawings.boundaries import draw as draw_boundaries
from mdcore.analysis.figures.exact_picture import Picture
from mdcore.analysis.figures.panels import Absent

COLUMN = {  # what a reader takes a panel for: its title, or the axis label where a page has one metric
    "vs linear MD": "angle_linear_md",
    r"vs $\ell_p$ max-margin": "angle_max_margin",
    "vs SVM": "angle_svm",
    "vs logistic regression": "angle_logreg",
    "vs logistic regr.": "angle_logreg",
    "margin / exact margin": "margin_ratio",
    "certified gap": "gap",
    r"$\ell_2$ margin": "margin_l2",
    r"$\ell_p$ margin": "margin_lp",
    "layer alignment": "layer_alignment",
    "stable rank": "stable_rank",
    "participating neurons": "participation",
    "drift of invariant": "balance_drift",
    "norm balance (max/min over layers)": "norm_balance",
}
AXIS = {"epochs (full batch)": "epoch", "log(1/R) (nats)": "log_inverse_loss"}
POTENTIAL = {"quadratic": ("quadratic", None), r"$\ell_p$, p = 1.5": ("lp", 1.5), r"$\ell_p$, p = 3": ("lp", 3.0)}
DASH = {1: "-", 2: "--"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(figures by name, raw history, raw final) of a run of three potentials, two depths and three seeds."""
    style.use()
    place = fake.write_run(tmp_path_factory.mktemp("drawn") / "20250319_x", fake.grid_cells())
    rng = np.random.default_rng(0)
    for folder in (place / "stacks").iterdir():  # numbers of the layers that differ from cell to cell
        history, final = (pd.read_parquet(folder / f"{name}.parquet") for name in ("history", "final"))
        with np.load(folder / "predictors.npz") as raw:
            w = raw["w"]
        for column in ("norm_balance", "layer_alignment", "stable_rank", "participation", "balance_drift"):
            by = dict(zip(final["cell_id"], rng.uniform(0.9, 1.0, len(final)), strict=True))
            for table in (history, final):
                factor = table["cell_id"].map(by)
                moved = factor * table[column] if column == "layer_alignment" else 1 + (table[column] - 1) * factor
                table[column] = np.where(table["cell_id"].str.contains("_L2_"), moved, table[column])
        number = int(folder.name.split("-")[1])
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        fake.write_stack(folder, history, final, w, number)
    results = load(place)
    master = aggregate.master_table(results)
    drawn = collection.figures(results, master, aggregate.summary_table(results, master))
    figures = {item.name: item for item in drawn if not isinstance(item, Absent)}
    raw = [pd.concat([pd.read_parquet(p) for p in place.glob(f"stacks/*/{n}.parquet")]) for n in ("history", "final")]
    yield figures, *raw
    plt.close("all")


def of(table, potential, depth):
    """Rows of the raw table of final results of one condition."""
    name, p = potential
    mine = table[(table["potential"] == name) & (table["depth"] == depth)]
    return mine if p is None else mine[mine["p"] == p]


def panels(figure):
    """(column, axes) of every panel with data: by its title where that names a metric, else by its y label."""
    out = []
    for ax in figure.axes:
        words = ax.get_title() if ax.get_title() in COLUMN else ax.get_ylabel()
        if ax.get_visible() and (ax.lines or ax.collections) and words in COLUMN:
            out.append((COLUMN[words], ax))
    return out


def colours(figure):
    legend = figure.legends[0]
    shown = zip(legend.get_texts(), legend.legend_handles, strict=True)
    found = {POTENTIAL[t.get_text()]: to_hex(h.get_color()) for t, h in shown if t.get_text() in POTENTIAL}
    assert set(found) == set(POTENTIAL.values()) and len(set(found.values())) == 3
    return found


CURVES = {
    "angles": {"angle_linear_md", "angle_max_margin", "angle_svm", "angle_logreg"},
    "margins": {"margin_ratio"},
    "gap": {"gap"},
    "structure": {"layer_alignment", "stable_rank", "participation", "balance_drift"},
}


@pytest.mark.parametrize("against", ["epochs", "log_inverse_loss"])
@pytest.mark.parametrize("family", CURVES)
def test_every_curve_is_the_mean_of_its_own_column(run, family, against):
    figures, history, final = run
    figure = figures[f"{family}_vs_{against}"].figure
    colour = colours(figure)
    (x_column,) = {AXIS[ax.get_xlabel()] for ax in figure.axes if ax.get_xlabel()}
    assert x_column == {"epochs": "epoch"}.get(against, against)
    assert {column for column, _ in panels(figure)} == CURVES[family] and len(panels(figure)) == len(CURVES[family])
    for column, ax in panels(figure):
        depths = (2,) if family == "structure" or column == "angle_linear_md" else (1, 2)
        curves = [line for line in ax.lines if line.get_marker() == "None" and line.get_linewidth() > 0.7]
        bands = {to_hex(c.get_facecolor()[0][:3]): [] for c in ax.collections}
        assert len(curves) == 3 * len(depths) == len(ax.collections) and len(bands) == 3
        for potential, tone in colour.items():
            for depth in depths:
                (line,) = [c for c in curves if to_hex(c.get_color()) == tone and c.get_linestyle() == DASH[depth]]
                cells = of(final, potential, depth)["cell_id"]
                assert len(cells) == 3
                x, values = np.asarray(line.get_xdata()), []
                for cell in cells:
                    raw = history[history["cell_id"] == cell]
                    values.append(np.interp(x, raw[x_column], raw[column]))
                    if x_column == "epoch":
                        np.testing.assert_array_equal(x, raw["epoch"])
                np.testing.assert_allclose(line.get_ydata(), np.mean(values, axis=0), rtol=1e-12)
                mine = [b for b in ax.collections if to_hex(b.get_facecolor()[0][:3]) == tone]
                edges = [b.get_paths()[0].vertices[:, 1] for b in mine]
                assert any(
                    np.isclose(e.min(), np.min(values)) and np.isclose(e.max(), np.max(values)) for e in edges
                ), "the band is the range over the seeds"


def test_lines_that_are_drawn_across_are_where_they_say(run):
    for name, at in {"margins": 1.0, "gap": 0.01}.items():
        ax = run[0][f"{name}_vs_epochs"].figure.axes[0]
        (across,) = [line for line in ax.lines if len(set(line.get_ydata())) == 1 and line.get_linewidth() == 0.7]
        assert across.get_ydata()[0] == at


BOXES = {
    "final_angles_boxplot": {"angle_max_margin", "angle_linear_md", "angle_svm", "angle_logreg"},
    "final_margins_boxplot": {"margin_ratio", "gap", "margin_l2", "margin_lp"},
}


@pytest.mark.parametrize("name", BOXES)
def test_every_point_of_a_box_plot_is_a_run_of_its_row_and_title(run, name):
    figures, _, final = run
    figure = figures[name].figure
    assert {column for column, _ in panels(figure)} == BOXES[name] and len(panels(figure)) == 4
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert len(labels) == 6
    for column, ax in panels(figure):
        assert ax.get_xlabel() == ("angle (degrees)" if "angles" in name else "")
        points = np.vstack([np.c_[line.get_xdata(), line.get_ydata()] for line in ax.lines if line.get_marker() == "o"])
        corners = [b.get_path().vertices for b in ax.patches]
        boxes = {round(c[:, 1].mean()): c[:, 0] for c in corners}
        for row, label in enumerate(labels):
            potential, depth = label.rsplit(", L=", 1)
            mine = of(final, POTENTIAL[potential], int(depth))[column].to_numpy()
            here = np.sort(points[np.abs(points[:, 1] - row) < 0.4, 0])
            if column == "angle_linear_md" and depth == "1":
                assert not here.size
                continue
            np.testing.assert_allclose(here, np.sort(mine), rtol=1e-12)
            quartiles = np.quantile(mine, [0.25, 0.75])
            np.testing.assert_allclose([boxes[row].min(), boxes[row].max()], quartiles, rtol=1e-12)


@pytest.mark.parametrize("name", ["norm_balance", "alignment"])
def test_every_number_of_a_heatmap_is_the_mean_of_its_row_and_title(run, name):
    figures, _, final = run
    panel, bar = figures[f"{name}_heatmap"].figure.axes
    column = COLUMN[bar.get_xlabel()]
    assert column.endswith(name)
    depths = [int(t.get_text()) for t in panel.get_xticklabels()]
    rows = [POTENTIAL[t.get_text()] for t in panel.get_yticklabels()]
    assert depths == [2] and len(rows) == 3 == len(panel.texts)
    image = panel.images[0].get_array()
    for text in panel.texts:
        j, i = text.get_position()
        mean = of(final, rows[i], depths[j])[column].mean()
        assert text.get_text().rstrip("*") == f"{mean:.3f}" and image[i, j] == pytest.approx(mean, rel=1e-12)


def test_lines_of_the_decision_boundaries_are_those_the_legend_names(tmp_path):
    results = load(fake.write_run(tmp_path / "20250319_x", fake.grid_cells(datasets=[{"dataset": fake.PLANTED}])))
    X, y = np.array([[3.0, 1.0], [2.0, 4.0], [-3.0, -2.0]]), np.array([1.0, 1.0, -1.0])
    exact = {1.5: np.array([0.2, 1.0]), 2.0: np.array([0.4, 1.0]), 3.0: np.array([0.7, 1.0])}
    baselines = (np.array([0.5, 1.0]), "SVM, hard margin", np.array([0.6, 1.0]), "logreg")
    shown = Picture(X, y, "separable", exact, *baselines, None)
    exponent = {"quadratic": 2.0, "lp1.5": 1.5, "lp3": 3.0}
    limits = {c.potential_key: exponent[c.label] for c in results.conditions}
    learned = [(c, np.array([exponent[c.label] + 0.1 * c.depth, 1.0]), "converged") for c in results.conditions]
    names = {c.potential_key: c.label for c in results.conditions}
    figure, off = draw_boundaries("Planted", shown, learned, style.colours(list(names)), limits, 0, names)
    legend = figure.legends[0]
    looks = {t.get_text(): h for t, h in zip(legend.get_texts(), legend.legend_handles, strict=True)}

    def slopes(ax, keep):
        lines = [line for line in ax.lines if line.get_marker() == "None" and keep(line)]
        return sorted(np.diff(line.get_ydata())[0] / np.diff(line.get_xdata())[0] for line in lines)

    def like(name):
        return lambda line: (
            (line.get_color(), line.get_linewidth() > 2) == (looks[name].get_color(), False)
            and (line.get_linestyle() == looks[name].get_linestyle())
        )

    for ax in figure.axes:
        assert slopes(ax, like("SVM, hard margin")) == pytest.approx([-0.5])
        assert slopes(ax, like("logreg")) == pytest.approx([-0.6])
    for key, ax in zip(names, figure.axes[1:], strict=False):
        p = limits[key]
        assert ax.get_title().startswith(names[key])
        assert slopes(ax, lambda line: line.get_linewidth() == 5) == pytest.approx([-exact[p][0]])
        assert slopes(ax, lambda line: 1.1 < line.get_linewidth() < 2) == pytest.approx([-p - 0.2, -p - 0.1])
        cosines = [
            w @ exact[p] / np.linalg.norm(w) / np.linalg.norm(exact[p]) for c, w, _ in learned if c.potential_key == key
        ]
        angles = np.degrees(np.arccos(cosines))
        assert angles.max() > 1.01 * angles.min()  # "off" is the largest
        assert off[key] == pytest.approx(angles.max(), abs=1e-6)
    circles, triangles = ([line for line in figure.axes[0].lines if line.get_marker() == m] for m in "o^")
    np.testing.assert_array_equal(np.c_[circles[0].get_xdata(), circles[0].get_ydata()], X[y == 1])
    np.testing.assert_array_equal(np.c_[triangles[0].get_xdata(), triangles[0].get_ydata()], X[y == -1])
