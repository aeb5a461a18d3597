"""What the figures show, read back from their axes and held against the raw parquet files.

What a title, a legend or a tick label stands for is written down here: the product's own tables of columns, titles,
colours and scales are not asked.
"""

import re

import fake_run as fake
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from mdcore.analysis.data import aggregate
from mdcore.analysis.data.results import load
from mdcore.analysis.figures import collection, style
from mdcore.analysis.figures.drawings.decision_boundaries import Boundaries, draw_each, draw_together
from mdcore.analysis.figures.planar_data import PlanarData
from mdcore.analysis.figures.registry import Absent
from mdcore.analysis.figures.study import Options, Study
from mdcore.analysis.report.findings.answer import answer
from mdcore.analysis.report.findings.macros import macros, with_numbers
from mdcore.analysis.report.findings.verdicts import verdicts

COLUMN = {  # what a reader takes a panel for: its title, or its axis label
    "angle to linear\nMD, equal steps": "angle_linear_md",
    "angle to linear\nMD, equal loss": "angle_linear_md_equal_loss",
    "angle to ℓp\nmax-margin": "angle_max_margin",
    "angle to\nthe SVM": "angle_svm",
    "angle to\nlogistic regr.": "angle_logreg",
    "margin / exact\nmargin": "margin_ratio",
    "certified gap": "gap",
    "layer\nalignment": "layer_alignment",
    "stable rank": "stable_rank",
    "participating\nneurons": "participation",
    "drift of the\ninvariant": "balance_drift",
    "ℓp max-margin": "angle_max_margin",
    "linear MD, end points": "angle_linear_md_ends",
    "linear MD, equal loss": "angle_linear_md_equal_loss",
    "reference potential": "angle_reference_potential",
    "SVM": "angle_svm",
    "logistic regression": "angle_logreg",
    "margin / exact margin": "margin_ratio",
    "ℓ2 margin": "margin_l2",
    "ℓp margin": "margin_lp",
    "norm balance (max/min over layers)": "norm_balance",
    "layer alignment": "layer_alignment",
}
AXIS = {"epochs (full batch)": "epoch", "log(1/R), in nats": "log_inverse_loss"}
POTENTIAL = {"quadratic": ("quadratic", None), "ℓp, p = 1.5": ("lp", 1.5), "ℓp, p = 3": ("lp", 3.0)}
DASH = {1: "-", 2: "--"}
FLOOR = {
    "gap": 1e-7,
    "margin_ratio": 0,
    "margin_l2": 0,
    "margin_lp": 0,
    "balance_drift": 1e-6,
    "layer_alignment": 0,
    "stable_rank": 1,
}


def clipped(column, values):
    """Values where an axis shows them: at its floor where they lie below it, as the caption says."""
    return np.clip(values, 0.01 if "angle" in column else FLOOR.get(column, -np.inf), np.inf)


def spread(place):
    """The run's files again, with numbers of the layers that differ from cell to cell."""
    rng = np.random.default_rng(0)
    for folder in (place / "stacks").iterdir():
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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(figures by name, raw history, raw final, master, summary): three potentials, two depths and three seeds."""
    place = fake.write_run(tmp_path_factory.mktemp("drawn") / "20250319_x", fake.grid_cells())
    spread(place)
    results = load(place)
    master = aggregate.master_table(results)
    summary = aggregate.summary_table(results, master)
    figures = {i.name: i for i in collection.figures(Study(results, master, summary)) if not isinstance(i, Absent)}
    raw = [pd.concat([pd.read_parquet(p) for p in place.glob(f"stacks/*/{n}.parquet")]) for n in ("history", "final")]
    yield figures, *raw, master, summary, results
    plt.close("all")


def of(table, potential, depth):
    """Rows of the raw table of final results of one condition."""
    name, p = potential
    mine = table[(table["potential"] == name) & (table["depth"] == depth)]
    return mine if p is None else mine[mine["p"] == p]


def panels(figure):
    """(column, axes) of every panel: by its y label where that names a quantity, else by its title."""
    return [
        (COLUMN[words], ax)
        for ax in figure.axes
        for words in [ax.get_ylabel() or ax.get_title().replace("\n", " ")]
        if ax.get_visible() and words in COLUMN
    ]


def colours(figure):
    legend = figure.legends[0]
    shown = zip(legend.get_texts(), legend.legend_handles, strict=True)
    by_potential = {POTENTIAL[t.get_text()]: to_hex(h.get_color()) for t, h in shown if t.get_text() in POTENTIAL}
    assert set(by_potential) == set(POTENTIAL.values()) and len(set(by_potential.values())) == 3
    return by_potential


CURVES = {
    "angles_vs_epochs": {"angle_linear_md", "angle_max_margin", "angle_svm", "angle_logreg"},
    "angles_vs_log_inverse_loss": {"angle_linear_md_equal_loss", "angle_max_margin", "angle_svm", "angle_logreg"},
    "margins_vs_epochs": {"margin_ratio", "gap"},
    "structure_vs_epochs": {"layer_alignment", "stable_rank", "participation", "balance_drift"},
}


@pytest.mark.parametrize("name", CURVES)
def test_every_curve_is_the_mean_of_the_column_that_its_label_names(run, name):
    figures, history, final, *_ = run
    pages = [figures[n].figure for n in figures if n.startswith(name)]
    assert {column for page in pages for column, _ in panels(page)} == CURVES[name]
    for figure in pages:
        colour = colours(figure)
        (x_column,) = {AXIS[ax.get_xlabel()] for ax in figure.axes if ax.get_xlabel()}
        for column, ax in panels(figure):
            deep = name.startswith("structure") or column.startswith("angle_linear")
            for potential, tone in colour.items():
                for depth in (2,) if deep else (1, 2):
                    drawn = [
                        line
                        for line in ax.lines
                        if len(line.get_xdata()) > 2 and line.get_linewidth() > 0.7 and to_hex(line.get_color()) == tone
                    ]
                    (line,) = [c for c in drawn if c.get_linestyle() == DASH[depth]]
                    x, values = np.asarray(line.get_xdata()), []
                    for cell in of(final, potential, depth)["cell_id"]:
                        raw = history[history["cell_id"] == cell]
                        at = raw[x_column].to_numpy()
                        if column == "angle_linear_md_equal_loss":  # read where both have been
                            seed = final.set_index("cell_id").loc[cell, "seed"]
                            other = of(final, potential, 1).set_index("seed").loc[seed, "cell_id"]
                            linear = history[history["cell_id"] == other]["log_inverse_loss"].to_numpy()
                            at = np.minimum(np.maximum.accumulate(at), np.maximum.accumulate(linear))
                            new = np.concatenate([[True], np.diff(at) > 0])
                            raw, at = raw[new], at[new]
                        values.append(np.interp(x, at, raw[column]))
                        if x_column == "epoch":
                            np.testing.assert_array_equal(x, raw["epoch"])
                    assert len(values) == 3
                    np.testing.assert_allclose(line.get_ydata(), clipped(column, np.mean(values, axis=0)), rtol=1e-12)
                    edges = [
                        b.get_paths()[0].vertices[:, 1]
                        for b in ax.collections
                        if to_hex(b.get_facecolor()[0][:3]) == tone
                    ]
                    low, high = clipped(column, np.min(values)), clipped(column, np.max(values))
                    assert any(np.isclose(e.min(), low) and np.isclose(e.max(), high) for e in edges), "min–max band"


def test_lines_across_are_at_one_degree_one_percent_and_the_exact_margin(run):
    at = {"angle_svm": 1.0, "gap": 0.01, "margin_ratio": 1.0}
    for name in ("angles_vs_epochs", "margins_vs_epochs"):
        for column, ax in panels(run[0][name].figure):
            if column in at:
                (across,) = [k for k in ax.lines if len(k.get_ydata()) == 2 and k.get_linewidth() == 0.7]
                assert set(across.get_ydata()) == {at[column]}


FINALS = {
    "final_angles": [
        "angle_max_margin", "angle_linear_md_ends", "angle_linear_md_equal_loss", "angle_reference_potential",
        "angle_svm", "angle_logreg",
    ],
    "final_margins": ["gap", "margin_ratio", "margin_l2", "margin_lp"],
}  # fmt: skip


@pytest.mark.parametrize("name", FINALS)
def test_every_point_is_a_run_of_its_row_and_title_and_every_stroke_a_mean_of_the_summary(run, name):
    """The means are the numbers of the report's sentences: a headline can be read off its row."""
    figures, _, _, master, summary, _ = run
    figure = figures[name].figure
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels[0] == "Gaussian, d = 20" and len(labels) == 7
    panels_ = panels(figure)
    assert [column for column, _ in panels_] == FINALS[name]
    if name == "final_angles":  # one axis for all angles, 0.01° to 180°
        assert {tuple(np.round(ax.get_xlim(), 6)) for _, ax in panels_} == {
            tuple(np.round(panels_[0][1].get_xlim(), 6))
        }
        assert panels_[0][1].get_xlim()[0] < 0.01 and 180 < panels_[0][1].get_xlim()[1] < 300
    for column, ax in panels_:
        points = np.vstack([c.get_offsets() for c in ax.collections])
        (strokes,) = [k for k in ax.lines if k.get_marker() == "|"]
        means = dict(zip(strokes.get_ydata(), strokes.get_xdata(), strict=True))
        for row, label in enumerate(labels[1:], 1):
            potential, depth = label.rsplit(", L = ", 1)
            mine = of(master, POTENTIAL[potential], int(depth))
            here = np.sort(points[points[:, 1] == row, 0])
            if (column.startswith("angle_linear") and depth == "1") or (
                column == "angle_reference_potential" and potential == "quadratic"
            ):
                assert not here.size and row not in means
                continue
            np.testing.assert_allclose(here, np.sort(clipped(column, mine[column])), rtol=1e-12)
            mean = summary.set_index("condition_id").loc[mine["condition_id"].iloc[0], f"{column}_mean"]
            assert means[row] == pytest.approx(clipped(column, mean), rel=1e-12)


def test_the_numbers_of_the_answer_are_those_of_a_figure(run):
    """Each angle that a sentence states as a mean is a stroke of final_angles, in the row that it names."""
    figures, _, _, master, summary, results = run
    sentences = answer(results, verdicts(results, master, summary), master, summary)
    figure = figures["final_angles"].figure
    rows = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    strokes = {
        column: {rows[int(y)]: x for k in ax.lines if k.get_marker() == "|" for x, y in k.get_xydata()}
        for column, ax in panels(figure)
    }
    names = {v: k for k, v in {"quadratic": "quadratic", "ℓp, p = 1.5": "l1.5", "ℓp, p = 3": "l3"}.items()}
    compared = 0
    for macro, column in (
        ("EndAngle", "angle_linear_md_ends"),
        ("EqualLossAngle", "angle_linear_md_equal_loss"),
        ("PotentialsAngle", "angle_reference_potential"),
    ):
        for sentence in (s for s in sentences if macro in macros([s])):
            number = macros([sentence])[macro][0]
            before = with_numbers(sentence.split(f"\x02{macro}\x1f")[0])
            name, depth = re.findall(r"for (\S+) at L = (\d) on Gaussian", before)[-1]
            half = 0.51 * 10.0 ** -len(number.partition(".")[2])
            assert abs(strokes[column][f"{names[name]}, L = {depth}"] - float(number)) <= half, with_numbers(sentence)
            compared += 1
    assert compared == 3


@pytest.mark.parametrize("name", ["norm_balance", "alignment"])
def test_every_number_of_a_heatmap_is_the_mean_of_its_row_and_title(tmp_path, name):
    place = fake.write_run(tmp_path / "20250319_x", fake.grid_cells(depths=(2, 3)))
    spread(place)
    results = load(place)
    master = aggregate.master_table(results)
    final = pd.concat(pd.read_parquet(p) for p in place.glob("stacks/*/final.parquet"))
    study = Study(results, master, aggregate.summary_table(results, master), Options(figures=[f"{name}_heatmap"]))
    panel, bar = next(collection.figures(study)).figure.axes
    column = COLUMN[bar.get_xlabel()]
    assert column.endswith(name)
    depths = [int(t.get_text()) for t in panel.get_xticklabels()]
    rows = [POTENTIAL[t.get_text()] for t in panel.get_yticklabels()]
    assert depths == [2, 3] and len(rows) == 3 and len(panel.texts) == 6
    values = panel.collections[0].get_array().reshape(len(rows), len(depths))
    for text in panel.texts:
        j, i = (int(v) for v in text.get_position())
        mean = of(final, rows[i], depths[j])[column].mean()
        assert text.get_text().rstrip("*") == f"{mean:.3f}" and values[i, j] == pytest.approx(mean, rel=1e-12)


def test_lines_of_the_decision_boundaries_are_those_the_legend_names(tmp_path):
    style.use()
    results = load(fake.write_run(tmp_path / "20250319_x", fake.grid_cells(datasets=[{"dataset": fake.PLANTED}])))
    master = aggregate.master_table(results)
    study = Study(results, master, aggregate.summary_table(results, master))
    X, y = np.array([[3.0, 1.0], [2.0, 4.0], [-3.0, -2.0]]), np.array([1.0, 1.0, -1.0])
    exact = {1.5: np.array([0.2, 1.0]), 2.0: np.array([0.4, 1.0]), 3.0: np.array([0.7, 1.0])}
    baselines = (np.array([0.5, 1.0]), "SVM, hard margin", np.array([0.6, 1.0]), "logreg")
    exponent = {"quadratic": 2.0, "lp1.5": 1.5, "lp3": 3.0}
    limits = {c.potential_key: exponent[c.label] for c in results.conditions}
    learned = [(c, np.array([exponent[c.label] + 0.1 * c.depth, 1.0]), "converged") for c in results.conditions]
    shown = Boundaries("Planted", PlanarData(X, y, "separable", exact, *baselines, None), learned, limits)
    together, each = draw_together(study, shown), draw_each(study, shown, shown.keys)

    def slopes(ax, keep):
        lines = [k for k in ax.lines if k.get_marker() == "None" and keep(k)]
        return sorted(np.diff(k.get_ydata())[0] / np.diff(k.get_xdata())[0] for k in lines)

    for figure in (together, each):
        legend = figure.legends[0]
        looks = {t.get_text(): h for t, h in zip(legend.get_texts(), legend.legend_handles, strict=True)}
        for ax in figure.axes:
            for name, slope in (("SVM, hard margin", -0.5), ("logreg", -0.6)):
                like = (looks[name].get_color(), looks[name].get_linestyle())
                drawn_slopes = slopes(ax, lambda k, like=like: (k.get_color(), k.get_linestyle()) == like)
                assert drawn_slopes == pytest.approx([slope])
    for key, ax in zip(shown.keys, each.axes, strict=True):
        p = limits[key]
        assert ax.get_title().split("\n")[0] == study.names[key]
        assert slopes(ax, lambda k: k.get_linewidth() == 5) == pytest.approx([-exact[p][0]])
        assert slopes(ax, lambda k: 1.1 < k.get_linewidth() < 2) == pytest.approx([-p - 0.2, -p - 0.1])
        cosines = [w @ exact[p] / np.linalg.norm(w) / np.linalg.norm(exact[p]) for _, w, _ in shown.of(key)]
        angles = np.degrees(np.arccos(cosines))
        assert angles.max() > 1.01 * angles.min()  # "off" is the largest
        assert shown.off(key) == pytest.approx(angles.max(), abs=1e-6)
        assert ax.get_title().split("\n")[1] == f"{angles.max():.2g}°"
    circles, triangles = ([k for k in together.axes[0].lines if k.get_marker() == m] for m in "o^")
    np.testing.assert_array_equal(np.c_[circles[0].get_xdata(), circles[0].get_ydata()], X[y == 1])
    np.testing.assert_array_equal(np.c_[triangles[0].get_xdata(), triangles[0].get_ydata()], X[y == -1])
    plt.close("all")
