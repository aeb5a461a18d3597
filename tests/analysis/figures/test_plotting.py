"""Figures: how they look, what is said to be absent, what a style file chooses, and when they are drawn again."""

import itertools
import json
import os
import re
import time

import fake_run as fake
import matplotlib
import numpy as np
import pytest
from fake_grids import ROOT
from figure_checks import overlaps, texts
from matplotlib import pyplot as plt

from mdcore.analysis.data import aggregate
from mdcore.analysis.data.results import load
from mdcore.analysis.figures import collection, style
from mdcore.analysis.figures.axes import ANGLE, SCALES, Scale, number, scale, set_axis
from mdcore.analysis.figures.captions import end_notes
from mdcore.analysis.figures.curve_data import band, smoothed
from mdcore.analysis.figures.drawings.decision_boundaries import Boundaries, draw_together, short_angle
from mdcore.analysis.figures.layout import Group, even_parts, pages_of, split
from mdcore.analysis.figures.planar_data import PlanarData
from mdcore.analysis.figures.registry import KINDS, Absent, Drawn, Kind, kinds
from mdcore.analysis.figures.study import Options, Study, read_options
from mdcore.analysis.report.sections import figures_section
from mdcore.config.yaml_lines import GridError

SIX = [*fake.POTENTIALS, "scaled", {"hypentropy": {"beta": 0.1}}, {"cosh": {"beta": 1.0}}]


@pytest.fixture(autouse=True)
def _style():
    style.use()
    yield
    plt.close("all")


def make(tmp_path, cells, choose=None, **options) -> Study:
    results = load(fake.write_run(tmp_path / "20250319_x", cells, **options))
    master = aggregate.master_table(results)
    return Study(results, master, aggregate.summary_table(results, master), Options(**(choose or {})))


def draw(study, *names):
    """What the kinds of these names draw, in their order."""
    chosen = Study(study.results, study.master, study.summary, study.options.model_copy(update={"figures": [*names]}))
    return list(collection.figures(chosen))


def write(study, place, **more):
    return collection.write(study, place, **more)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A fake mnist_pairs."""
    return make(
        tmp_path_factory.mktemp("pairs"), fake.mnist_cells(), overlap=lambda c: c["digits"] == [3, 5] and c["pca"] == 50
    )


def test_the_check_for_overlaps_finds_one():
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.text(0.5, 0.5, "some words")
    ax.text(0.52, 0.5, "other words")
    figure.legend([ax.plot([0, 1])[0]], ["over the panel"], loc="center")
    wrong = overlaps(figure)
    assert any("some words" in w for w in wrong) and any("legend" in w for w in wrong)


GRIDS = {
    "pairs": lambda: (fake.mnist_cells(), {"overlap": lambda c: c["digits"] == [3, 5] and c["pca"] == 50}),
    "six potentials, three depths": lambda: (
        fake.grid_cells(
            SIX, depths=(1, 2, 3), seeds=(0, 1), datasets=[{"dataset": fake.PLANTED}, {"dataset": fake.GAUSSIAN}]
        ),
        {},
    ),
    "one cell": lambda: (fake.grid_cells(["quadratic"], depths=(1,), seeds=(0,)), {}),
    "long names": lambda: (
        fake.grid_cells(
            [
                {"my_plugins_and_more:AVeryLong_Name": {"some_parameter": 0.123456}},
                {"x_%&:Odd$Name": {"a": 1}},
                "quadratic",
            ],
            datasets=[{"dataset": {"name": "their_file:the_data$set_%"}}],
        ),
        {},
    ),
    "losses": lambda: (
        fake.grid_cells(seeds=range(4)),
        {
            "status": dict(
                zip(
                    [c["cell_id"] for c in fake.grid_cells(seeds=range(4))],
                    itertools.cycle(["diverged", "failed", "transient", "converged", "transient"]),
                    strict=False,
                )
            )
        },
    ),
}


def hidden_without_sharing(figure):
    """Axes without tick labels that share theirs with no axes that show them, in their row or column."""
    wrong, shown = [], [ax for ax in figure.axes if ax.get_visible() and len(figure.axes) > 1]
    for ax in shown:
        for name, side in (("x", "labelbottom"), ("y", "labelleft")):
            axis = getattr(ax, f"{name}axis")
            if not axis.get_tick_params()[side] and axis.get_majorticklocs().size:
                siblings = getattr(ax, f"get_shared_{name}_axes")().get_siblings(ax)
                others = [a for a in siblings if a.get_visible() and getattr(a, f"{name}axis").get_tick_params()[side]]
                if not others or any(getattr(a, f"get_{name}lim")() != getattr(ax, f"get_{name}lim")() for a in others):
                    wrong.append(f"{ax.get_title()!r} hides its {name} labels and shares no axis")
    return wrong


def beyond_limits(figure):
    """Points, curves and bands that are drawn where the axes do not reach."""
    wrong = []
    for ax in figure.axes:
        if "coordinate" in (figure._supxlabel or ax.xaxis.label).get_text():
            continue  # boundaries run through the whole panel
        (x0, x1), (y0, y1) = sorted(ax.get_xlim()), sorted(ax.get_ylim())
        data = [np.c_[k.get_xdata(), k.get_ydata()] for k in ax.lines if k.get_transform() == ax.transData]
        data += [c.get_offsets() for c in ax.collections if len(c.get_offsets()) > 1]
        for points in data:
            points = np.asarray(points, float)
            points = points[np.isfinite(points).all(axis=1)]
            inside = (points >= (x0, y0)) & (points <= (x1, y1))
            if not inside.all():
                wrong.append(f"{ax.get_title() or ax.get_ylabel()!r}: {points[~inside.all(axis=1)][:2]}")
    return wrong


def odd_ticks(figure):
    """Ticks of logarithmic axes that are no powers of ten, and axes with fewer than two ticks."""
    wrong = []
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [t for t in axis.get_majorticklocs() if low <= t <= high]
            if axis.get_scale() == "log" and not np.allclose(np.log10(ticks), np.round(np.log10(ticks))):
                wrong.append(f"{ax.get_title()!r}: {ticks}")
            if axis.get_scale() == "log" and len(ticks) < 2:
                wrong.append(f"{ax.get_title()!r} has the ticks {ticks}")
    return wrong


def rows_of_mixed_scales(figure):
    """Rows of panels with linear and logarithmic axes beside each other."""
    rows = {}
    for ax in figure.axes:
        rows.setdefault(round(ax.get_position().y0, 3), set()).add((ax.get_xscale(), ax.get_yscale()))
    return [kinds for kinds in rows.values() if len(kinds) > 1]


def test_the_checks_find_what_they_are_for():
    figure, (a, b) = plt.subplots(1, 2)
    a.plot([1, 10], [1, 10])
    a.set(xlim=(1, 5), title="a")
    b.set(xscale="log", xticks=[0.3, 3], xlim=(0.1, 10))
    b.tick_params(labelleft=False)
    assert beyond_limits(figure) and hidden_without_sharing(figure) and odd_ticks(figure)
    assert rows_of_mixed_scales(figure)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n != "one cell" else n for n in GRIDS])
def test_every_figure_can_be_printed_and_read(tmp_path, name):
    """A column or the full width wide, at most 4 in high, no text below 7 pt; nothing overlaps, leaves its axes or
    hides an axis that it does not share; captions say what is clipped and where scales are mixed."""
    cells, options = GRIDS[name]()
    drawn = 0
    for item in collection.figures(make(tmp_path, cells, **options)):
        if isinstance(item, Absent):
            continue
        drawn, figure = drawn + 1, item.figure
        assert figure.get_figwidth() == (6.75 if item.name.startswith("final") else 3.25)
        assert figure.get_figheight() <= 4.0 + 1e-9, f"{item.name} is {figure.get_figheight():.2f} in high"
        assert overlaps(figure) == [], item.name
        assert hidden_without_sharing(figure) == beyond_limits(figure) == odd_ticks(figure) == [], item.name
        if rows_of_mixed_scales(figure) and "heatmap" not in item.name:
            assert "gap (logarithmic axis) and margins (linear axes)" in item.caption
        assert item.caption.strip().endswith(".") and item.alt and all(note.endswith(".") for note in item.notes)
        assert len(item.caption.partition(" Part ")[0]) <= 230, item.caption  # three lines of a column
        if "log_inverse" in item.name:
            assert any(note.startswith("R is the mean loss over the training points.") for note in item.notes)
        labels = [t for t in figure.findobj(matplotlib.text.Text) if t.get_text().strip()]
        assert min(t.get_fontsize() for t in labels) >= 7, item.name
        assert not any(t.get_parse_math() for t in labels)  # whose subscripts would be smaller
        plt.close(figure)
    assert drawn >= 3


def test_axes_begin_at_floors_that_mean_something():
    """No axis is zoomed into rounding errors: 1e-12° is drawn at 0.01°, 7.88° and 7.90° lie together."""
    assert ANGLE.limits(np.array([1e-12, 8.0])) == (0.01, 10.0) and ANGLE.clips(np.array([1e-12, 8.0]))
    assert ANGLE.limits(np.array([7.88, 7.90])) == (0.1, 10.0) and not ANGLE.clips(np.array([7.88, 7.90]))
    low, high = SCALES["margin_ratio"].limits(np.array([0.9961, 0.9962]))
    assert low <= 0 and high >= 1
    limits = scale("metric.mine:own", np.array([3.0, 3.0 + 1e-9])).limits(np.array([3.0, 3.0 + 1e-9]))
    assert limits[1] - limits[0] > 0.1
    assert [number(v) for v in (0.01, 0.5, 1.0, 1e4, 1e-7, 1e22)] == ["0.01", "0.5", "1", "10000", "1e−7", "1e22"]


@pytest.mark.parametrize(
    ("limits", "ticks"),
    [
        ((0.01, 180.0), ["0.01", "1", "100"]),
        ((1.0, 3000.0), ["1", "10", "100", "1000"]),
        ((1e-7, 1.0), ["1e−6", "1e−4", "1e−2", "1"]),
        ((1.0, 1e13), ["1", "1e5", "1e10"]),
    ],
)
def test_ticks_of_one_axis_are_written_alike_and_lie_at_multiples_of_an_exponent(limits, ticks):
    axis = plt.figure().add_subplot().xaxis
    set_axis(axis, Scale(True, 0.0), limits, 5 if limits[1] < 1e5 and limits[1] != 180 else 4)
    assert [axis.get_major_formatter()(tick) for tick in axis.get_majorticklocs()] == ticks


def test_few_seeds_are_points_and_many_have_boxes(tmp_path):
    for seeds, boxes in ((1, 0), (3, 0), (8, 2)):
        cells = fake.grid_cells(["quadratic"], depths=(1, 2), seeds=range(seeds))
        (item,) = draw(make(tmp_path / str(seeds), cells), "final_angles")
        ax = item.figure.axes[0]
        assert len(ax.patches) == boxes and ("Boxes" in item.caption) == bool(boxes)
        assert sum(len(c.get_offsets()) for c in ax.collections) == 2 * seeds
        strokes = [line for line in ax.lines if line.get_marker() == "|"]
        legend = [text.get_text() for text in item.figure.legends[0].get_texts()]
        assert sum(len(s.get_xdata()) for s in strokes) == 2 * (seeds > 1) and ("mean" in legend) == (seeds > 1)


def test_curves_on_overlapping_data_are_smoothed_and_said_to_be(pairs):
    noise = np.array([0, 9] * 20 + [1.0])
    assert set(smoothed(noise)[5:-5]) <= {0.0, 9.0} and smoothed(noise)[-1] == 1.0 and smoothed(noise[:2])[1] == 9.0
    items = {i.name: i for i in draw(pairs, "angles_vs_epochs", "angles_vs_log_inverse_loss")}
    notes = [" ".join(i.notes) for i in items.values() if "3 vs 5, PCA 50" in getattr(i, "alt", "")]
    assert notes and all("running medians over 9 logged epochs" in c for c in notes)
    (left_out,) = [i for i in items.values() if isinstance(i, Absent)]
    assert "3 vs 5, PCA 50" in left_out.name and "log(1/R) tends to a limit" in left_out.reason


def test_contract_names_and_files(tmp_path):
    place = tmp_path / "out" / "figures"
    index = write(make(tmp_path, fake.grid_cells(["quadratic"], seeds=(0,))), tmp_path / "out")
    names = [f["name"] for f in index["figures"]]
    assert names[0] == "final_angles" and len(set(names)) == len(names)
    for name in (
        "angles_vs_epochs",
        "angles_vs_log_inverse_loss",
        "margins_vs_epochs",
        "final_angles",
        "final_margins",
        "structure_vs_epochs",
    ):
        assert name in names
        assert (place / f"{name}.png").stat().st_size > 5000
        assert (place / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    reason = "no data set of this grid has two dimensions"
    assert {"name": "decision_boundaries", "reason": reason, "failed": False} in index["absent"]
    assert json.loads((place / "index.json").read_text()) == index
    assert {p.name for p in place.iterdir()} == {"index.json", *index["files"]}
    assert set(index["files"]) == {f"{n}.{k}" for n in names for k in ("png", "pdf")}


@pytest.mark.slow
def test_what_has_not_changed_is_not_drawn_again_and_what_has_is(tmp_path, monkeypatch):
    cells = fake.grid_cells(["quadratic"], seeds=(0,))
    one = ["final_angles"]
    study = make(tmp_path, cells, {"figures": one})
    drawings = []
    save = style.save
    monkeypatch.setattr(style, "save", lambda figure, stem: drawings.append(stem.name) or save(figure, stem))

    def again(study):
        drawings.clear()
        write(study, tmp_path / "out", jobs=1)
        return drawings

    assert again(study) == one and again(study) == []
    index = collection.write(study, tmp_path / "next", earlier=tmp_path / "out", jobs=1)  # as run_analysis does
    assert drawings == [] and {p.name for p in (tmp_path / "next" / "figures").iterdir()} == {
        "index.json",
        *index["files"],
    }
    (tmp_path / "out" / "figures" / "final_angles.pdf").write_bytes(b"damaged")
    assert again(study) == one and again(study) == []
    study.master.loc[0, "angle_svm"] += 1e-9
    assert again(study) == one and again(study) == []
    study.results.curves._data["gap"] = 2 * study.results.curves._data["gap"]
    assert again(study) == one
    bigger = Options(figures=one, style={"font_size": 9})
    assert again(Study(study.results, study.master, study.summary, bigger)) == one
    monkeypatch.setattr(collection, "installed", lambda package: "another version")
    assert again(study) == one


def test_a_picture_that_fails_costs_no_other(tmp_path, monkeypatch):
    """One fails while it is drawn, one while it is saved; a full disk is no matter of the picture's."""

    def half(study):
        yield Drawn("half", plt.figure(), "Caption.")
        raise RuntimeError("no\nfont")

    save = style.save

    def cannot(figure, stem):
        save(figure, stem)
        if stem.name == "bad":
            raise ValueError("no glyph")

    some = {name: lambda study, name=name: [Drawn(name, plt.figure(), "Caption.")] for name in ("bad", "good")}
    shown = [Kind(name, "Section", draw) for name, draw in {"first": half, **some}.items()]
    monkeypatch.setattr(collection, "kinds", lambda study: shown)
    monkeypatch.setattr(style, "save", cannot)
    study = make(tmp_path, fake.grid_cells(["quadratic"], depths=(1,), seeds=(0,)))
    index = write(study, tmp_path / "out", jobs=2)
    assert {f["name"] for f in index["figures"]} == {"half", "good"}
    failed = {a["name"]: a["reason"] for a in index["absent"] if a["failed"]}
    assert failed["first"] == "it could not be drawn (RuntimeError: no font)"
    assert failed["bad"] == "it could not be drawn (ValueError: no glyph)"
    assert {p.name for p in (tmp_path / "out" / "figures").glob("*.png")} == {"half.png", "good.png"}
    assert "could not be drawn" in figures_section(tmp_path / "out", index).markdown()
    monkeypatch.setattr(style, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write(study, tmp_path / "full", jobs=1)


def test_a_fork_that_dies_leaves_its_figures_to_this_process(tmp_path, monkeypatch):
    mine = os.getpid()

    def draw_or_die(name):
        def draw(study):
            if os.getpid() != mine:
                os._exit(1)
            time.sleep(0.2)
            yield Drawn(name, plt.figure(), "Caption.")

        return draw

    shown = [Kind(name, "Section", draw_or_die(name)) for name in "abcdef"]
    monkeypatch.setattr(collection, "kinds", lambda study: shown)
    study = make(tmp_path, fake.grid_cells(["quadratic"], depths=(1,), seeds=(0,)))
    assert [f["name"] for f in write(study, tmp_path / "out", jobs=3)["figures"]] == list("abcdef")


def test_figures_drawn_side_by_side_are_the_same_bytes(tmp_path):
    three = ["final_angles", "margins_vs_epochs", "decision_boundaries"]
    study = make(tmp_path, fake.grid_cells(["quadratic"], seeds=(0,)), {"figures": three})
    indices = [write(study, tmp_path / str(jobs), jobs=jobs) for jobs in (1, 3)]
    assert indices[0] == indices[1] and len(indices[0]["files"]) == 4 and len(indices[0]["absent"]) == 1


def test_png_is_300_dpi_and_pdf_embeds_its_fonts_without_dates(tmp_path, pairs):
    item = draw(pairs, "margins_vs_epochs")[0]
    style.save(item.figure, tmp_path / "gap")
    from PIL import Image

    with Image.open(tmp_path / "gap.png") as image:
        assert image.width == 975 and round(image.info["dpi"][0]) == 300
    data = (tmp_path / "gap.pdf").read_bytes()
    assert b"/FontFile2" in data and b"/Type3" not in data  # TrueType, embedded
    assert b"CreationDate" not in data and b"ModDate" not in data


def test_no_margin_and_no_gap_of_overlapping_data(pairs):
    items = draw(pairs, "margins_vs_epochs", "angles_vs_epochs")
    assert any(isinstance(i, Absent) and "3 vs 5, PCA 50" in i.name and "overlapping" in i.reason for i in items)
    for item in items:
        if not isinstance(item, Absent) and item.name.startswith("margins"):
            assert "3 vs 5, PCA 50" not in item.alt
    words = [t.get_text() for i in items if not isinstance(i, Absent) for ax in i.figure.axes for t in ax.texts]
    assert any("no max-margin" in re.sub(r"\s+", " ", w) for w in words)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"status": "diverged"}, None),
        ({"overlap": lambda c: True}, "overlapping"),
        ({"nan_columns": ["margin_ratio", "gap", "angle_max_margin"]}, "not measured"),
    ],
)
def test_an_empty_margin_figure_is_not_drawn_but_said(tmp_path, options, reason):
    items = draw(make(tmp_path, fake.grid_cells(), **options), "margins_vs_epochs")
    if reason is None:  # diverged runs have curves up to their end: thin lines with a cross
        assert not any(isinstance(i, Absent) for i in items) and "diverged" in " ".join(items[0].notes)
    else:
        assert all(isinstance(i, Absent) for i in items) and reason in items[0].reason


def test_nothing_ran_at_all(tmp_path):
    cells = fake.grid_cells()
    index = write(make(tmp_path, cells, missing=[c["cell_id"] for c in cells]), tmp_path / "out")
    assert index["figures"] == [] and len(index["absent"]) >= 8
    assert not list((tmp_path / "out" / "figures").glob("*.p*"))


def test_open_ends_are_transient_filled_ends_converged(tmp_path):
    cells = fake.grid_cells(["quadratic"], depths=(1, 2), seeds=(0,))
    status = {cells[0]["cell_id"]: "converged", cells[1]["cell_id"]: "transient"}
    item = draw(make(tmp_path, cells, status=status), "margins_vs_epochs")[0]
    ends = [line for line in item.figure.axes[0].lines if len(line.get_xdata()) == 1]
    assert [e.get_markerfacecolor() == "white" for e in ends] == [False, True]
    assert "Open points: the margin is not certified, so that the end is no limit." in item.notes


@pytest.mark.filterwarnings("error:Glyph")
def test_optima_that_are_not_unique_are_marked_where_an_angle_to_one_is_drawn(tmp_path):
    several = ["hypentropy, β = 0.1", "cosh, β = 1"]
    study = make(tmp_path, fake.grid_cells(["quadratic", *SIX[-2:]]))
    drawn = draw(study, "angles_vs_epochs", "final_angles")
    others = draw(study, "margins_vs_epochs", "final_margins")
    for item in drawn + others:
        names = [text for text, _ in texts(item.figure)]
        named = [n for n in names if any(n.startswith(word.split(",")[0]) for word in ("hypentropy", "cosh"))]
        shows = any("ℓp\nmax-margin" in n or n == "ℓp max-margin" for n in names)
        assert named and all(n.endswith(" ‡") == shows for n in named), named
        assert not [n for n in names if "quadratic" in n and "‡" in n]
        beginning = f"‡: the lp optimum of {' and '.join(several)} is not proved to be the only one"
        assert any(note.startswith(beginning) for note in item.notes) == shows and not (shows and item in others)
    assert any("‡" in "".join(i.notes) for i in drawn)


def test_band_is_mean_and_range_over_seeds(pairs):
    c = pairs.results.conditions[0]
    b = band(pairs, c, "epoch", "gap")
    values = np.array([pairs.results.curves.get(cell, "gap") for cell in c.cells.values()])
    assert b.n == 3
    np.testing.assert_allclose(b.mean, values.mean(axis=0))
    np.testing.assert_array_equal(b.low, values.min(axis=0))
    np.testing.assert_array_equal(b.high, values.max(axis=0))


def test_band_over_runs_that_end_at_different_epochs(tmp_path):
    cells = fake.grid_cells(["quadratic"], depths=(1,))
    study = make(tmp_path, cells)
    curves = study.results.curves
    short = cells[0]["cell_id"]
    where = curves._slice[short]
    curves._slice[short] = slice(where.start, where.start + 30)
    b = band(study, study.results.conditions[0], "epoch", "gap")
    assert b.x[-1] == curves.get(short, "epoch")[-1] and len(b.tails) == 2
    level = band(study, study.results.conditions[0], "log_inverse_loss", "gap")
    assert (np.diff(level.x) > 0).all() and ((level.low <= level.mean) & (level.mean <= level.high)).all()


def test_one_seed_has_no_band_and_says_so(tmp_path):
    item = draw(make(tmp_path, fake.grid_cells(seeds=(0,))), "margins_vs_epochs")[0]
    assert "Lines are single runs (one seed)." in item.caption and not item.figure.axes[0].collections


def test_depth_one_is_in_no_heatmap_and_transients_are_starred(tmp_path, pairs):
    (absent,) = draw(pairs, "norm_balance_heatmap")
    assert absent.reason == "the grid has one depth above 1; its numbers are in the tables"
    deeper = make(tmp_path / "deep", fake.grid_cells(depths=(1, 2, 3)), status="transient")
    panel = draw(deeper, "norm_balance_heatmap")[0].figure.axes[0]
    assert [t.get_text() for t in panel.get_xticklabels()] == ["2", "3"]
    numbers = [t.get_text() for t in panel.texts]
    assert len(numbers) == 6 and all(re.fullmatch(r"\d\.\d{3}\*?", n) for n in numbers)
    (absent,) = draw(make(tmp_path, fake.grid_cells(depths=(1,))), "alignment_heatmap")
    assert absent.reason == "the grid has no depth above 1"


def test_colours_belong_to_labels_and_styles_to_depths():
    a, b = (style.colours(["quadratic", "lp1.5", "lp3"]), style.colours(["lp3", "scaled", "quadratic", "cosh1"]))
    assert a["quadratic"] == b["quadratic"] and a["lp3"] == b["lp3"]
    many = style.colours([f"lp{p}" for p in (1.1, 1.2, 1.5, 2, 3, 4, 6, 10)] + ["quadratic", "cosh1", "hypentropy0.1"])
    assert len(set(many.values())) == len(many)
    assert len({str(style.line_of(d)["linestyle"]) for d in range(1, 9)}) == 8
    assert len(set(style.markers(list(many)).values())) == len(many)  # in grey print the marks tell potentials apart


def test_colours_are_told_apart_with_red_green_blindness():
    """Deuteranopia by Machado et al. (2009), severity 1: the three usual potentials stay apart in linear RGB."""
    matrix = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])
    seen = {
        k: matrix @ np.array(matplotlib.colors.to_rgb(v)) ** 2.2
        for k, v in style.colours(["quadratic", "lp1.5", "lp3", "scaled", "hypentropy0.1", "cosh1"]).items()
    }
    for a, b in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[a] - seen[b]) > 0.08, (a, b)


def test_many_conditions_are_cut_into_panels_with_whole_potentials(tmp_path):
    potentials = [{"lp": {"p": 1.0 + k / 10}} for k in range(1, 15)]
    results = make(tmp_path, fake.grid_cells(potentials, depths=(1, 2, 3), seeds=(0,))).results
    parts = split(results.conditions, 12)
    assert sum(map(len, parts)) == 42 and all(len(p) <= 12 for p in parts)
    for part in parts:
        for label in {c.label for c in part}:
            assert sum(c.label == label for c in part) == 3


@pytest.mark.parametrize(
    ("groups", "cells", "drawn", "shown"),
    [(8, 100, 8, 8), (9, 100, 9, 2), (24, 2000, 24, 2), (25, 2000, 24, 2), (8, 10_000, 8, 8), (9, 10_000, 2, 2)],
)
def test_every_page_is_drawn_up_to_a_stated_rule(groups, cells, drawn, shown):
    chunks = [[Group(f"g{i}", [])] for i in range(groups)]
    pages, beyond = pages_of(chunks, lambda c: [g.title for g in c], cells, "x")
    assert [p.number for p in pages] == list(range(1, drawn + 1)) and {p.of for p in pages} == {drawn}
    assert sum(not p.album("x") for p in pages) == shown and {p.album("x") for p in pages} <= {"", "x_more"}
    assert [p.name("x") for p in pages[:2]] == ["x", "x_page2"]
    if groups > drawn:
        (absent,) = beyond
        assert absent.name == f"x: {groups - drawn} more pages" and f"g{drawn}" in absent.reason
        assert ("more than 2,000 cells" in absent.reason) == (cells > 2000)
    else:
        assert beyond == []


def test_parts_are_about_equal_and_lose_nothing():
    for n, most in itertools.product(range(12), range(1, 6)):
        parts = even_parts(list(range(n)), most)
        assert [i for part in parts for i in part] == list(range(n)) and all(0 < len(p) <= most for p in parts)
        assert not parts or max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.slow
def test_pages_the_report_has_no_room_for_are_one_pdf(tmp_path):
    data = [{"dataset": {**fake.GAUSSIAN, "n": 40 + k}} for k in range(18)]
    cells = fake.grid_cells(["quadratic"], depths=(1, 2), seeds=(0,), datasets=data)
    study = make(tmp_path, cells, {"figures": ["margins_vs_epochs"]})
    index = write(study, tmp_path / "out")
    place = tmp_path / "out" / "figures"
    (album,) = index["albums"]
    data = (place / "margins_vs_epochs_more.pdf").read_bytes()
    assert album["first"] == 3 and len(album["captions"]) == 7 == len(re.findall(rb"/Type /Page\b[^s]", data))
    assert b"CreationDate" not in data and b"ModDate" not in data
    for k, caption in enumerate(album["captions"], 3):
        assert f"Part {k} of 9: " in caption and f"n = {40 + 2 * (k - 1)}" in caption
    assert [f["name"] for f in index["figures"]] == ["margins_vs_epochs", "margins_vs_epochs_page2"]
    section = figures_section(tmp_path / "out", index).markdown()
    assert "Pages 3 to 9 are in figures/margins\\_vs\\_epochs\\_more.pdf" in section and "Part 9 of 9" in section
    before = {p.name: p.read_bytes() for p in place.iterdir()}
    (place / "index.json").unlink()
    write(study, tmp_path / "out")
    assert before == {p.name: p.read_bytes() for p in place.iterdir()}


# the style file


def test_a_style_file_chooses_figures_panels_potentials_depths_data_labels_and_sizes(tmp_path, pairs):
    file = tmp_path / "mnist_pairs.style.yaml"
    file.write_text("""
style: {columns: 2, font_size: 9}
figures: [angles_vs_epochs, "mine:drawn"]
panels: {angles_vs_epochs: [angle_svm, angle_linear_md]}
potentials: [lp3, quadratic]
depths: [2]
data: ["MNIST 3 vs 5, PCA 200", "MNIST 0 vs 1, PCA 50"]
labels: {lp3: "p = 3, a cost of $5", "MNIST 0 vs 1, PCA 50": zeros and ones}
""")
    (tmp_path / "mine.py").write_text("""
from matplotlib import pyplot as plt
def drawn(study):
    "The number of conditions that are drawn."
    figure, ax = plt.subplots(figsize=(study.width(), 1))
    ax.set_title(str(len(study.conditions)))
    return figure
""")
    study = Study(pairs.results, pairs.master, pairs.summary, read_options(file))
    first, user_figure = collection.figures(study)
    figure = first.figure
    assert figure.get_figwidth() == 6.75 and figure.legends[0].get_texts()[0].get_fontsize() == 8
    assert [ax.get_title() for ax in figure.axes[:2]] == ["MNIST 3 vs 5, PCA 200", "zeros and ones"]
    assert [ax.get_ylabel().split("\n")[0] for ax in figure.axes[::2]] == ["angle to", "angle to linear"]
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert legend[:3] == ["quadratic", "p = 3, a cost of $5", "L = 2"]
    whole = Study(pairs.results, pairs.master, pairs.summary)
    assert study.colours == whole.colours  # a choice moves no colour
    assert (
        user_figure.figure.axes[0].get_title() == "4"
        and user_figure.caption == "The number of conditions that are drawn."
    )
    style.use()


def test_the_style_file_of_the_readme_is_one(tmp_path):
    shown = re.search(r"(    style: \{.*?)\n\n", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S).group(1)
    (tmp_path / "x.style.yaml").write_text("\n".join(line[4:] for line in shown.splitlines()))
    options = read_options(tmp_path / "x.style.yaml")
    assert (
        set(type(options).model_fields) - {"directory"} <= options.model_fields_set
        and options.figures[2] == "my_file:my_figure"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("style: {columns: 3}", ["style.yaml:1: style.columns: got 3; expected 1 or 2"]),
        ("style: {font_size: 5}\nfigurs: [x]", ["style.font_size: got 5; expected greater than or equal to 7"]),
        ("figurs: [gap]", ["figurs: unknown key; expected one of style, figures", "did you mean 'figures'?"]),
        ("depths: two", ["depths: got 'two', a string; expected a valid list"]),
        ("style: [", ["not YAML"]),
    ],
)
def test_a_wrong_style_file_is_refused_in_words(tmp_path, text, words):
    (tmp_path / "style.yaml").write_text(text)
    with pytest.raises(GridError) as error:
        read_options(tmp_path / "style.yaml")
    assert all(w in str(error.value) for w in words), str(error.value)


@pytest.mark.parametrize(
    ("choose", "words"),
    [
        ({"potentials": ["lp1.55"]}, "potentials: given 'lp1.55'; expected some of quadratic, lp1.5, lp3"),
        ({"depths": [7]}, "depths: given 7; expected some of 1, 2"),
        ({"data": ["MNIST"]}, "data: given 'MNIST'; expected some of"),
        ({"labels": {"lp9": "x"}}, "labels: given 'lp9'"),
        ({"figures": ["angles_vs_epoch"]}, "did you mean 'angles_vs_epochs'?"),
        ({"panels": {"final_angles": ["angle_svn"]}}, "panels.final_angles: given 'angle_svn'"),
        ({"panels": {"final_angle": ["angle_svm"]}}, "panels: given 'final_angle'"),
    ],
)
def test_a_style_file_that_names_what_the_run_does_not_have_is_refused(pairs, choose, words):
    with pytest.raises(GridError, match=re.escape(words)):
        list(collection.figures(Study(pairs.results, pairs.master, pairs.summary, Options(**choose))))


def test_a_figure_is_registered_where_it_is_written(pairs, monkeypatch):
    from mdcore.analysis.figures.registry import figure

    monkeypatch.setattr("mdcore.analysis.figures.registry.KINDS", dict(KINDS))
    kinds(pairs)

    @figure("mine", section="Where the runs end")
    def mine(study):
        yield Drawn("mine", plt.figure(), "Nothing.")

    assert "mine" in [k.name for k in kinds(pairs)] and [i.name for i in draw(pairs, "mine")] == ["mine"]


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        ({"converged"}, ["Filled points: the margin is certified, to a gap"]),
        ({"overlap"}, ["Filled points on overlapping data: "]),
        ({"converged", "overlap"}, ["Filled points: the margin is certified", "Filled points on overlapping data"]),
        ({"diverged"}, ["Thin lines that end in a cross: the run failed or diverged"]),
        (set(), []),
    ],
)
def test_end_points_are_explained(statuses, words):
    notes = end_notes(statuses)
    assert len(notes) == len(words) and all(note.startswith(w) for note, w in zip(notes, words, strict=True))
    labels = [handle.get_label() for handle in style.mark_handles(statuses)]
    assert not any("converged" in text for text in [*labels, *notes])  # the margin is, not the direction


# decision boundaries


def _boundaries(results, separability="separable"):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2)) + 3
    exact = {1.5: np.array([0.2, 1.0]), 2.0: np.array([0.5, 1.0]), 3.0: np.array([0.7, 1.0])}
    baselines = (np.array([0.5, 1.0]), "SVM, hard margin", np.array([0.6, 1.0]), "logistic regression, l2 with C = 1")
    data = PlanarData(X, np.ones(20), separability, exact if separability == "separable" else {}, *baselines, None)
    exponent = {"quadratic": 2.0, "lp1.5": 1.5, "lp3": 3.0}
    limits = {c.potential_key: exponent[c.label] for c in results.conditions}
    learned = [(c, 5 * exact[limits[c.potential_key]], "converged") for c in results.conditions]
    return Boundaries("Planted", data, learned, limits)


def test_each_boundary_lies_on_its_own_reference_and_is_measured(tmp_path):
    study = make(tmp_path, fake.grid_cells(datasets=[{"dataset": fake.PLANTED}], seeds=(0,)))
    shown = _boundaries(study.results)
    assert max(shown.off(key) for key in shown.keys) < 1e-5
    figure = draw_together(study, shown)
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert any("SVM, hard margin" in t for t in labels) and any("logistic regression, ℓ2" in t for t in labels)
    wide = [line for line in figure.axes[0].lines if line.get_linewidth() == 5]
    slopes = sorted(np.diff(line.get_ydata())[0] / np.diff(line.get_xdata())[0] for line in wide)
    np.testing.assert_allclose(slopes, [-0.7, -0.5, -0.2])
    shown.learned[0] = (shown.learned[0][0], np.array([-1.0, 0.5]), "converged")  # at a right angle to its reference
    assert shown.off(shown.keys[0]) == pytest.approx(90.0)


def test_overlapping_points_have_no_reference_line_but_baselines(tmp_path):
    study = make(tmp_path, fake.grid_cells(datasets=[{"dataset": fake.PLANTED}], seeds=(0,)))
    shown = _boundaries(study.results, "overlapping")
    assert all(np.isnan(shown.off(key)) for key in shown.keys)
    labels = [t.get_text() for t in draw_together(study, shown).legends[0].get_texts()]
    assert not any("max-margin" in t for t in labels) and any("SVM" in t for t in labels)


def test_boundaries_of_planted_data_end_to_end(tmp_path):
    study = make(tmp_path, fake.grid_cells(datasets=[{"dataset": fake.PLANTED}]))
    together, each = draw(study, "decision_boundaries")
    assert (together.name, each.name) == ("decision_boundaries", "decision_boundaries_by_potential")
    for item in (together, each):
        assert "of its potential's exact lp max-margin direction" in item.caption
        assert float(re.search(r"within ([\d.]+)°", item.caption).group(1)) < 1.0


@pytest.mark.parametrize(("angle", "text"), [(0.0213, "0.021°"), (14.4, "14°"), (1.0, "1°"), (0.0000321, "< 0.01°")])
def test_short_angles(angle, text):
    assert short_angle(angle) == text
