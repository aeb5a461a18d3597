"""Figures: what is drawn, what is said to be absent, that nothing overlaps, and that the bytes are the same twice."""

import itertools
import json
import re

import fake_run as fake
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from mdcore.analysis.data import aggregate
from mdcore.analysis.data.results import load
from mdcore.analysis.figures import collection, style
from mdcore.analysis.figures.captions import end_words
from mdcore.analysis.figures.curve_data import band, seeds_text
from mdcore.analysis.figures.drawings.boundaries import draw as draw_boundaries
from mdcore.analysis.figures.drawings.boundaries import short_angle
from mdcore.analysis.figures.drawings.boxes import boxplots, few_ticks, power
from mdcore.analysis.figures.drawings.curves import curve_figures
from mdcore.analysis.figures.drawings.heatmaps import apart, heatmaps
from mdcore.analysis.figures.exact_picture import Picture
from mdcore.analysis.figures.families import FAMILIES
from mdcore.analysis.figures.panels import Absent, Drawn, Group, pages_of, split
from mdcore.analysis.report.sections import figures_section

SIX = [*fake.POTENTIALS, "scaled", {"hypentropy": {"beta": 0.1}}, {"cosh": {"beta": 1.0}}]


@pytest.fixture(autouse=True)
def _style():
    style.use()
    yield
    plt.close("all")


def make(tmp_path, cells, **options):
    results = load(fake.write_run(tmp_path / "20250319_x", cells, **options))
    master = aggregate.master_table(results)
    return results, master, aggregate.summary_table(results, master)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A fake mnist_pairs: (results, master, summary)."""
    return make(
        tmp_path_factory.mktemp("pairs"), fake.mnist_cells(), overlap=lambda c: c["digits"] == [3, 5] and c["pca"] == 50
    )


def texts(figure):
    """Every text that is drawn, with its box on the page."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    found = [*figure.texts, figure._suptitle] if figure._suptitle else [*figure.texts]
    for legend in figure.legends:
        found += legend.get_texts()
    for ax in figure.axes:
        if ax.get_visible():
            found += [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
            for axis in (ax.xaxis, ax.yaxis):  # matplotlib keeps labels of ticks outside the limits; they are not drawn
                found += [axis.get_offset_text(), *(t.label1 for t in axis._update_ticks())]
    boxes = {
        id(t): (t.get_text(), t.get_window_extent(renderer)) for t in found if t.get_visible() and t.get_text().strip()
    }
    return list(boxes.values())


def overlaps(figure):
    """Pairs of texts whose boxes meet, texts that leave the page, legends that lie on a panel."""
    wrong, seen = [], texts(figure)
    page = figure.bbox
    for text, box in seen:
        if box.x0 < page.x0 - 1 or box.x1 > page.x1 + 1 or box.y0 < page.y0 - 1 or box.y1 > page.y1 + 1:
            wrong.append(f"{text!r} leaves the page")
    for (a, box), (b, other) in itertools.combinations(seen, 2):
        width = min(box.x1, other.x1) - max(box.x0, other.x0)
        height = min(box.y1, other.y1) - max(box.y0, other.y0)
        if width > 1 and height > 1:  # a pixel of a hundredth of an inch is the rim of a box
            wrong.append(f"{a!r} on {b!r}")
    for legend in figure.legends:
        for ax in figure.axes:
            if ax.get_visible() and legend.get_window_extent().overlaps(ax.get_window_extent()):
                wrong.append("the legend lies on a panel")
    return wrong


def test_the_check_for_overlaps_finds_one():
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.text(0.5, 0.5, "some words")
    ax.text(0.52, 0.5, "other words")
    figure.legend([ax.plot([0, 1])[0]], ["over the panel"], loc="center")
    wrong = overlaps(figure)
    assert any("some words" in w for w in wrong) and any("legend" in w for w in wrong)


def every_figure(results, master, summary):
    for item in collection.figures(results, master, summary):
        if not isinstance(item, Absent):
            style.freeze(item.figure)
            yield item
            plt.close(item.figure)


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


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n.startswith(("pairs", "six", "long")) else n for n in GRIDS]
)
def test_nothing_overlaps_and_every_figure_is_a_column_wide(tmp_path, name):
    cells, options = GRIDS[name]()
    results, master, summary = make(tmp_path, cells, **options)
    drawn = 0
    for item in every_figure(results, master, summary):
        drawn += 1
        assert item.figure.get_figwidth() == 3.25
        assert item.figure.get_figheight() <= 9.5, f"{item.name} is higher than a page"
        assert overlaps(item.figure) == [], item.name
        assert item.caption.strip().endswith((".", ")")) and item.alt
        sizes = [t.get_fontsize() for t in item.figure.findobj(matplotlib.text.Text) if t.get_text().strip()]
        assert min(sizes) >= 6, f"{item.name} has type of {min(sizes)} pt"
    assert drawn >= 4


def test_contract_names_and_files(tmp_path):
    place = tmp_path / "out" / "figures"
    index = collection.write(
        *make(tmp_path, fake.grid_cells(["quadratic", {"lp": {"p": 3.0}}], seeds=(0, 1))), tmp_path / "out"
    )
    names = [f["name"] for f in index["figures"]]
    assert len(set(names)) == len(names)
    for name in (
        "angles_vs_epochs",
        "margins_vs_epochs",
        "gap_vs_epochs",
        "angles_vs_log_inverse_loss",
        "margins_vs_log_inverse_loss",
        "gap_vs_log_inverse_loss",
        "norm_balance_heatmap",
        "alignment_heatmap",
        "final_angles_boxplot",
        "final_margins_boxplot",
        "structure_vs_epochs",
    ):
        assert name in names
        assert (place / f"{name}.png").stat().st_size > 5000
        assert (place / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    reason = "no data set of this grid has two dimensions"
    assert {"name": "decision_boundaries", "reason": reason, "failed": False} in index["absent"]
    assert json.loads((place / "index.json").read_text()) == index
    assert {p.name for p in place.iterdir()} == {
        "index.json",
        *(f"{n}.{k}" for n in names for k in ("png", "pdf")),
    }


def test_a_picture_that_fails_costs_no_other(tmp_path, monkeypatch):
    """One fails while it is drawn, one while it is saved; a full disk is no matter of the picture's."""

    def broken(*_):
        yield Drawn("half", plt.figure(), "gap", "caption")
        raise RuntimeError("no\nfont")

    save = style.save

    def cannot(figure, stem):
        save(figure, stem)
        if stem.name == "bad":
            raise ValueError("no glyph")

    monkeypatch.setattr(collection, "curve_figures", broken)
    monkeypatch.setattr(collection, "heatmaps", lambda *_: [Drawn("bad", plt.figure(), "gap", "c")])
    monkeypatch.setattr(collection, "boxplots", lambda *_: [Drawn("good", plt.figure(), "gap", "c")])
    monkeypatch.setattr(style, "save", cannot)
    found = make(tmp_path, fake.grid_cells(["quadratic"], depths=(1,), seeds=(0,)))
    index = collection.write(*found, tmp_path / "out")
    assert {f["name"] for f in index["figures"]} == {"half", "good"}
    failed = {a["name"]: a["reason"] for a in index["absent"] if a["failed"]}
    assert failed["gap_vs_epochs"] == "it could not be drawn (RuntimeError: no font)"
    assert failed["bad"] == "it could not be drawn (ValueError: no glyph)"
    assert {p.name for p in (tmp_path / "out" / "figures").glob("*.png")} == {"half.png", "good.png"}
    assert "could not be drawn" in figures_section(tmp_path / "out", index).markdown()
    monkeypatch.setattr(style, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        collection.write(*found, tmp_path / "full")


def test_png_is_300_dpi_and_pdf_embeds_its_fonts_without_dates(tmp_path, pairs):
    item = next(curve_figures(pairs[0], FAMILIES["gap"], "epoch"))
    style.save(item.figure, tmp_path / "gap")
    from PIL import Image

    with Image.open(tmp_path / "gap.png") as image:
        assert image.width == 975 and round(image.info["dpi"][0]) == 300
    data = (tmp_path / "gap.pdf").read_bytes()
    assert b"/FontFile2" in data and b"/Type3" not in data  # TrueType, embedded
    assert b"CreationDate" not in data and b"ModDate" not in data


def test_twice_the_same_bytes(tmp_path, pairs):
    for place in ("a", "b"):
        item = next(curve_figures(pairs[0], FAMILIES["angles"], "epoch"))
        style.save(item.figure, tmp_path / place)
    for kind in ("png", "pdf"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_no_margin_and_no_gap_of_overlapping_data(pairs):
    results, _, _ = pairs
    for family in ("margins", "gap"):
        items = list(curve_figures(results, FAMILIES[family], "epoch"))
        assert any(isinstance(i, Absent) and "3 vs 5, PCA 50" in i.name and "overlapping" in i.reason for i in items)
        for item in items:
            if not isinstance(item, Absent):
                assert "3 vs 5, PCA 50" not in item.caption
                assert not any("3 vs 5, PCA 50" in ax.get_title() for ax in item.figure.axes)
    second = list(curve_figures(results, FAMILIES["angles"], "epoch"))[1]
    words = [t.get_text() for ax in second.figure.axes for t in ax.texts]
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
    results, _, _ = make(tmp_path, fake.grid_cells(), **options)
    items = list(curve_figures(results, FAMILIES["margins"], "epoch"))
    if reason is None:  # diverged runs have curves up to their end: thin lines with a cross
        assert not any(isinstance(i, Absent) for i in items) and "diverged" in items[0].caption
    else:
        assert all(isinstance(i, Absent) for i in items) and reason in items[0].reason


def test_nothing_ran_at_all(tmp_path):
    cells = fake.grid_cells()
    results, master, summary = make(tmp_path, cells, missing=[c["cell_id"] for c in cells])
    index = collection.write(results, master, summary, tmp_path / "out")
    assert index["figures"] == [] and len(index["absent"]) >= 8
    assert not list((tmp_path / "out" / "figures").glob("*.p*"))


def test_open_ends_are_transient_filled_ends_converged(tmp_path):
    cells = fake.grid_cells(["quadratic"], depths=(1, 2), seeds=(0,))
    results, _, _ = make(tmp_path, cells, status={cells[0]["cell_id"]: "converged", cells[1]["cell_id"]: "transient"})
    item = next(curve_figures(results, FAMILIES["gap"], "epoch"))
    ends = [line for line in item.figure.axes[0].lines if line.get_marker() == "o"]
    assert [e.get_markerfacecolor() == "white" for e in ends] == [False, True]
    assert "margin not certified, so no limit is shown" in item.caption


@pytest.mark.filterwarnings("error:Glyph")
def test_optima_that_are_not_unique_are_marked_where_an_angle_to_one_is_drawn(tmp_path):
    several = ["hypentropy, β = 0.1", "cosh, β = 1"]
    results, master, _ = make(tmp_path, fake.grid_cells(["quadratic", *SIX[-2:]]))
    drawn = [*curve_figures(results, FAMILIES["angles"], "epoch"), *boxplots(results, master, "final_angles_boxplot")]
    others = [*curve_figures(results, FAMILIES["gap"], "epoch"), *boxplots(results, master, "final_margins_boxplot")]
    for item in drawn + others:
        names = [text for text, _ in texts(item.figure)]
        named = [n for n in names if any(n.startswith(word.split(",")[0]) for word in ("hypentropy", "cosh"))]
        assert named and all(n.endswith(" ‡") == (item in drawn) for n in named), named
        assert not [n for n in names if "quadratic" in n and "‡" in n]
        said = f"‡: the lp optimum of {' and '.join(several)} is not proved to be the only one"
        assert (said in item.caption) == (item in drawn)


def test_band_is_mean_and_range_over_seeds(pairs):
    results, _, _ = pairs
    c = results.conditions[0]
    b = band(results, c, "epoch", "gap")
    values = np.array([results.curves.get(cell, "gap") for cell in c.cells.values()])
    assert b.n == 3
    np.testing.assert_allclose(b.mean, values.mean(axis=0))
    np.testing.assert_array_equal(b.low, values.min(axis=0))
    np.testing.assert_array_equal(b.high, values.max(axis=0))


def test_band_over_runs_that_end_at_different_epochs(tmp_path):
    cells = fake.grid_cells(["quadratic"], depths=(1,))
    run = fake.write_run(tmp_path / "20250319_x", cells)
    results = load(run)
    short = cells[0]["cell_id"]
    where = results.curves._slice[short]
    results.curves._slice[short] = slice(where.start, where.start + 30)
    b = band(results, results.conditions[0], "epoch", "gap")
    assert b.x[-1] == results.curves.get(short, "epoch")[-1] and len(b.tails) == 2
    level = band(results, results.conditions[0], "log_inverse_loss", "gap")
    assert (np.diff(level.x) > 0).all() and ((level.low <= level.mean) & (level.mean <= level.high)).all()


def test_one_seed_has_no_band_and_says_so(tmp_path):
    results, _, _ = make(tmp_path, fake.grid_cells(seeds=(0,)))
    item = next(curve_figures(results, FAMILIES["gap"], "epoch"))
    assert "there is no band" in item.caption and not item.figure.axes[0].collections


def test_depth_one_is_in_no_heatmap_and_transients_are_starred(tmp_path, pairs):
    item = next(heatmaps(pairs[0], pairs[2], "norm_balance"))
    panel = item.figure.axes[0]
    assert [t.get_text() for t in panel.get_xticklabels()] == ["2"]
    numbers = [t.get_text() for t in panel.texts]
    assert len(numbers) == 3 and all(re.fullmatch(r"\d\.\d{3}\*?", n) for n in numbers)
    results, _, summary = make(tmp_path, fake.grid_cells(depths=(1,)))
    (absent,) = heatmaps(results, summary, "layer_alignment")
    assert absent.reason == "the grid has no depth above 1"


def test_heatmap_numbers_are_the_means_of_the_summary(pairs):
    results, _, summary = pairs
    rows = summary.set_index("condition_id")
    for column in ("norm_balance", "layer_alignment"):
        for item in heatmaps(results, summary, column):
            for ax, facet in zip(item.figure.axes, results.facets):
                shown = [t.get_text().rstrip("*") for t in ax.texts]
                deep = [c for c in facet.conditions if c.depth == 2]
                assert shown == [f"{rows.loc[c.id, f'{column}_mean']:.3f}" for c in deep]


@pytest.mark.parametrize("most", [1.01, 1.5, 3.0, 40.0, 1e9])
def test_ticks_of_the_bar_are_apart(most):
    ticks = np.array(apart(most))
    assert ticks[0] == 1.0 and ticks[-1] <= most and len(ticks) <= 8
    assert (np.diff(np.log(ticks)) >= np.log(most) / 7 - 1e-12).all()


def test_boxplot_points_are_the_runs(pairs):
    results, master, _ = pairs
    item = next(boxplots(results, master, "final_angles_boxplot"))
    ax = item.figure.axes[0]
    points = np.sort(np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "o"]))
    first = {c.id for c in results.facets[0].conditions}
    expected = np.sort(master.loc[master["condition_id"].isin(first), "angle_max_margin"].to_numpy())
    np.testing.assert_allclose(points, expected)


def test_colours_belong_to_labels_and_styles_to_depths():
    a, b = (style.colours(["quadratic", "lp1.5", "lp3"]), style.colours(["lp3", "scaled", "quadratic", "cosh1"]))
    assert a["quadratic"] == b["quadratic"] and a["lp3"] == b["lp3"]
    many = style.colours([f"lp{p}" for p in (1.1, 1.2, 1.5, 2, 3, 4, 6, 10)] + ["quadratic", "cosh1", "hypentropy0.1"])
    assert len(set(many.values())) == len(many)
    assert len({str(style.line_of(d)["linestyle"]) for d in range(1, 9)}) == 8


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
    results, _, _ = make(tmp_path, fake.grid_cells(potentials, depths=(1, 2, 3), seeds=(0,)))
    parts = split(results.conditions, 12)
    assert sum(map(len, parts)) == 42 and all(len(p) <= 12 for p in parts)
    for part in parts:
        for label in {c.label for c in part}:
            assert sum(c.label == label for c in part) == 3


@pytest.mark.parametrize(
    ("groups", "cells", "drawn", "shown", "left"),
    [
        (16, 100, 8, 8, 0),
        (17, 100, 9, 2, 0),
        (48, 2000, 24, 2, 0),
        (49, 2000, 24, 2, 1),
        (16, 10_000, 8, 8, 0),
        (17, 10_000, 2, 2, 13),
    ],
)
def test_every_page_is_drawn_up_to_a_stated_rule(groups, cells, drawn, shown, left):
    pages, beyond = pages_of([Group(f"g{i}", []) for i in range(groups)], 2, cells, "x")
    assert [p.number for p in pages] == list(range(1, drawn + 1)) and {p.of for p in pages} == {drawn}
    assert sum(not p.album("x") for p in pages) == shown and {p.album("x") for p in pages} <= {"", "x_more"}
    assert [p.name("x") for p in pages[:2]] == ["x", "x_page2"]
    titles = [g.title for p in pages for g in p.groups]
    assert len(titles) + left == groups
    if left:
        (absent,) = beyond
        assert absent.name.startswith(f"x: {left} of {groups} panels") and f"g{groups - left}" in absent.reason
        assert ("more than 2,000 cells" in absent.reason) == (cells > 2000)
    else:
        assert beyond == []


@pytest.mark.slow
def test_pages_the_report_has_no_room_for_are_one_pdf(tmp_path, monkeypatch):
    monkeypatch.setattr(collection, "figures", lambda r, m, s: boxplots(r, m, "final_angles_boxplot"))
    data = [{"dataset": {**fake.GAUSSIAN, "n": 40 + k}} for k in range(10)]
    cells = fake.grid_cells(["quadratic"], depths=(1, 2), seeds=(0,), datasets=data)
    found = make(tmp_path, cells)
    index = collection.write(*found, tmp_path / "out")
    place = tmp_path / "out" / "figures"
    albums = {a["name"]: a for a in index["albums"]}
    assert set(albums) == {"final_angles_boxplot_more"}
    for name, album in albums.items():
        data = (place / f"{name}.pdf").read_bytes()
        assert album["first"] == 3 and len(album["captions"]) == 8 == len(re.findall(rb"/Type /Page\b[^s]", data))
        assert b"CreationDate" not in data and b"ModDate" not in data
        for k, caption in enumerate(album["captions"], 3):
            assert f"Page {k} of 10." in caption and f"n = {40 + k - 1}" in caption
    shown = [f["name"] for f in index["figures"] if f["name"].startswith("final_angles")]
    assert shown == ["final_angles_boxplot", "final_angles_boxplot_page2"]
    section = figures_section(tmp_path / "out", index).markdown()
    assert "Pages 3 to 10 are in figures/final\\_angles\\_boxplot\\_more.pdf" in section and "Page 10 of 10" in section
    before = {p.name: p.read_bytes() for p in place.iterdir()}
    collection.write(*found, tmp_path / "out")
    assert before == {p.name: p.read_bytes() for p in place.iterdir()}


def test_ends_below_the_axis_and_bands_are_named_in_the_legend(tmp_path, monkeypatch):
    results, _, _ = make(tmp_path, fake.grid_cells(["quadratic", {"lp": {"p": 3.0}}], depths=(1,)))
    gap = type(results.curves).get

    def low(curves, cell, column):
        values = gap(curves, cell, column).copy()
        if column == "gap" and "quadratic" in cell:
            values[-1] = 1e-12
        return values

    monkeypatch.setattr(type(results.curves), "get", low)
    item = next(curve_figures(results, FAMILIES["gap"], "epoch"))
    labels = [t.get_text() for t in item.figure.legends[0].get_texts()]
    assert "end: below" in labels and "min–max, n = 3" in labels
    ax = item.figure.axes[0]
    (mark,) = [line for line in ax.lines if line.get_marker() == "v"]
    assert mark.get_ydata()[0] == ax.get_ylim()[0] > 1e-9 and "below its axis" in item.caption
    assert overlaps(item.figure) == []


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({3}, "Line: mean, band: min–max, over n = 3 seeds."),
        ({0, 1, 3}, "over n = 1 to 3 seeds."),
        ({1}, "One seed:"),
        ({0}, "No run came through"),
        (set(), "No run came through"),
    ],
)
def test_bands_say_over_what_they_are(counts, words):
    assert words in seeds_text(counts)


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        ({"converged"}, " Filled end points: margin certified (gap at most 1 %)."),
        ({"overlap"}, " Filled end points: the data overlap, so no limit is certified."),
        ({"converged", "overlap"}, " Filled end points: margin certified (gap at most 1 %), or data that overlap,"),
        ({"diverged"}, " Thin lines with a cross failed or diverged"),
        (set(), ""),
    ],
)
def test_end_points_are_explained(statuses, words):
    assert end_words(statuses).startswith(words) and bool(end_words(statuses)) == bool(words)
    labels = [handle.get_label() for handle in style.mark_handles(statuses)]
    assert not any("converged" in text for text in [*labels, end_words(statuses)])  # the margin is, not the direction


def test_captions_say_what_r_is_and_what_levels_off(tmp_path):
    """log(1/R) is explained, and a curve that levels off is not said to prove another limit: annealed steps end too."""
    results, _, _ = make(tmp_path, fake.grid_cells(["quadratic"], seeds=(0,)))
    item = next(curve_figures(results, FAMILIES["angles"], "log_inverse_loss"))
    assert "R the mean loss over the training points" in item.caption and "steps have become too short" in item.caption


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (2e-5, 1.5e-3, 2, [3e-5, 1e-3]),
        (0.05, 2.0, 3, [0.1, 0.3, 1.0]),
        (0.09, 35.0, 3, [0.1, 1.0, 30.0]),
        (0.9, 2.0, 3, [1.0]),
    ],
)
def test_few_ticks(low, high, most, ticks):
    assert few_ticks(low, high, most) == ticks


@pytest.mark.parametrize(("value", "text"), [(3e-5, r"$3\!\cdot\!10^{-5}$"), (1e-4, "$10^{-4}$")])
def test_powers_of_ten(value, text):
    assert power(value) == text


@pytest.mark.parametrize("spread", [1e-9, 1e-5])
def test_boxes_of_values_that_hardly_differ_have_short_ticks(tmp_path, spread):
    results, master, _ = make(tmp_path, fake.grid_cells())
    master["margin_ratio"] = 1 - spread * np.arange(1, len(master) + 1)
    master["gap"] = 3e-5 * np.geomspace(1, 40, len(master))
    item = next(iter(boxplots(results, master, "final_margins_boxplot")))
    assert overlaps(item.figure) == []
    drawn = [t.get_text() for t in item.figure.axes[0].get_xticklabels()]
    assert all(len(t) <= 5 for t in drawn)


# decision boundaries


def _picture(separability="separable"):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2)) + 3
    exact = {1.5: np.array([0.2, 1.0]), 2.0: np.array([0.5, 1.0]), 3.0: np.array([0.7, 1.0])}
    return Picture(
        X,
        np.ones(20),
        separability,
        exact if separability == "separable" else {},
        np.array([0.5, 1.0]),
        "SVM, hard margin",
        np.array([0.6, 1.0]),
        "logistic regression, l2 with C = 1",
        None,
    )


def test_each_boundary_lies_on_its_own_reference_and_is_measured(tmp_path):
    results, _, _ = make(tmp_path, fake.grid_cells(datasets=[{"dataset": fake.PLANTED}], seeds=(0,)))
    shown, exponent = _picture(), {"quadratic": 2.0, "lp1.5": 1.5, "lp3": 3.0}
    limits = {c.potential_key: exponent[c.label] for c in results.conditions}
    learned = [(c, 5 * shown.max_margin[limits[c.potential_key]], "converged") for c in results.conditions]
    names = {c.potential_key: c.label for c in results.conditions}
    figure, off = draw_boundaries("Planted", shown, learned, style.colours(list(names)), limits, 0, names)
    assert max(off.values()) < 1e-5
    learned[0] = (learned[0][0], np.array([-1.0, 0.5]), "converged")  # at a right angle to its reference
    _, off = draw_boundaries("Planted", shown, learned, style.colours(list(names)), limits, 0, names)
    assert off[learned[0][0].potential_key] == pytest.approx(90.0)
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert any("SVM, hard margin" in t for t in labels) and any("logistic regression" in t for t in labels)
    top = figure.axes[0]
    wide = [line for line in top.lines if line.get_linewidth() == 5]
    slopes = sorted(np.diff(line.get_ydata())[0] / np.diff(line.get_xdata())[0] for line in wide)
    np.testing.assert_allclose(slopes, [-0.7, -0.5, -0.2])


def test_overlapping_points_have_no_reference_line_but_baselines(tmp_path):
    results, _, _ = make(tmp_path, fake.grid_cells(datasets=[{"dataset": fake.PLANTED}], seeds=(0,)))
    learned = [(c, np.array([0.5, 1.0]), "overlap") for c in results.conditions]
    names = {c.potential_key: c.label for c in results.conditions}
    figure, off = draw_boundaries(
        "Planted", _picture("overlapping"), learned, style.colours(list(names)), dict.fromkeys(names, 2.0), 0, names
    )
    assert all(np.isnan(v) for v in off.values())
    assert not any("max-margin" in t.get_text() for t in figure.legends[0].get_texts())


def test_boundaries_of_planted_data_end_to_end(tmp_path):
    pytest.importorskip("mdcore.problems.references")
    results, _, _ = make(tmp_path, fake.grid_cells(datasets=[{"dataset": fake.PLANTED}]))
    item = next(i for i in collection.decision_boundaries(results) if not isinstance(i, Absent))
    assert item.name == "decision_boundaries" and "own exact lp max-margin direction" in item.caption
    found = re.search(r"within ([\d.]+)°", item.caption)
    assert float(found.group(1)) < 1.0


@pytest.mark.parametrize(("angle", "text"), [(0.0213, "0.021°"), (14.4, "14°"), (1.0, "1°"), (0.0000321, "0.000032°")])
def test_short_angles(angle, text):
    assert short_angle(angle) == text
