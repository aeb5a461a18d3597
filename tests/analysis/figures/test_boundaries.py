"""Decision boundaries, by hand: where points, lines and marks stand in a panel."""

from types import SimpleNamespace

import numpy as np
import pytest
from figure_checks import overlaps
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from mdcore.analysis.figures import style
from mdcore.analysis.figures.drawings import decision_boundaries as drawing
from mdcore.analysis.figures.planar_data import PlanarData, baseline_name, planar_data
from mdcore.analysis.figures.registry import Absent
from mdcore.problems.datasets import load_dataset

NAN = float("nan")


def planar(X, y, support=None, **exact):
    exact = {float(p[1:]): np.array(w) for p, w in exact.items()}
    baselines = (np.array([0.0, 1.0]), "SVM", np.array([1.0, 0.0]), "logreg")
    return PlanarData(np.array(X, float), np.array(y, float), "separable", exact, *baselines, support)


def lines(ax, marker):
    return [np.c_[k.get_xdata(), k.get_ydata()].tolist() for k in ax.lines if k.get_marker() == marker]


def test_points_by_their_class_and_the_one_that_was_planted():
    ax = Figure().subplots()
    X = [[4.0, 1.0], [-2.0, -3.0], [1.0, 2.0]]
    drawing._points(ax, planar(X, [1, -1, 1], support=np.array([2.0, 3.1])), 3.0, 2.0)
    assert (lines(ax, "o"), lines(ax, "^"), lines(ax, "s")) == ([[X[0], X[2]]], [[X[1]]], [[X[1]]])
    assert ax.get_ylim() == pytest.approx((-3.18, 3.18)) and ax.get_xlim() == pytest.approx((-6.36, 6.36))
    assert {k.get_marker(): k.get_markerfacecolor() for k in ax.lines} == {"o": "white", "^": "0.25", "s": "none"}
    assert max(len(ax.get_xticks()), len(ax.get_yticks())) <= 7
    ax = Figure().subplots()
    drawing._points(ax, planar([[9.0, 1.0]], [1]), 3.0, 2.0)
    assert ax.get_ylim() == pytest.approx((-4.77, 4.77)) and not lines(ax, "s")


@pytest.mark.parametrize(("number", "drawn"), [(300, 300), (301, 300), (900, 300)])
def test_of_many_points_300_are_drawn_and_always_the_planted_one(number, drawn):
    X = np.random.default_rng(1).uniform(1, 2, (number, 2))
    X[7] = 50.0  # it alone is far out
    for support, more in ((None, 0), (X[7], 1)):
        ax = Figure().subplots()
        drawing._points(ax, planar(X, np.resize([1, -1], number), support), 3.0, 1.0)
        (circles,), (triangles,) = lines(ax, "o"), lines(ax, "^")
        assert drawn <= len(circles) + len(triangles) <= min(number, drawn + more)
        assert support is None or ([50.0, 50.0] in triangles and lines(ax, "s") == [[[50.0, 50.0]]])


@pytest.mark.parametrize(
    ("w", "mark"),
    [([0.1, 0.2], (5.58, -2.79)), ([0.0, 3.0], (5.58, 0.0)), ([-2.0, 0.0], (0.0, 2.79)), ([1.0, 1.0], (2.79, -2.79))],
)
def test_a_boundary_goes_through_the_whole_panel_and_its_marks_stand_at_the_rim(w, mark):
    ax = Figure().subplots()
    ax.set(xlim=(-6, 6), ylim=(-3, 3))
    w = np.array(w)
    one, deep = (SimpleNamespace(potential_key="k", depth=depth) for depth in (1, 2))
    learned = [(one, np.array([5.0, 1.0]), "converged"), (deep, w, "converged")]
    shown = drawing.Boundaries("t", planar([[1, 1]], [1], p2=[0.3, 0.4]), learned, {"k": 2.0})
    with np.errstate(all="raise"):
        drawing._lines(ax, SimpleNamespace(colours={"k": "0.2"}, markers={"k": "D"}), shown, "k")
    pale, light, dark = (k for k in ax.lines if k.get_marker() == "None")
    assert pale.get_color() == light.get_color() == "0.2" != dark.get_color() == style.darker("0.2")
    assert pale.get_alpha() < 0.5 and light.get_alpha() == dark.get_alpha() == 1
    for normal, ends in zip(([3.0, 4.0], [5.0, 1.0], w), map(np.array, lines(ax, "None")), strict=True):
        assert ends @ normal == pytest.approx([0.0, 0.0], abs=1e-9) and ends[0] == pytest.approx(-ends[1])
        assert np.linalg.norm(ends[0]) >= 45**0.5 - 1e-9  # to the corners
    ((first, second),) = lines(ax, "D")
    assert first == pytest.approx([-v for v in second]) and np.abs(first) == pytest.approx(np.abs(mark))
    assert np.sign(first[0] * first[1]) == np.sign(mark[0] * mark[1])
    assert (ax.get_xlim(), ax.get_ylim()) == ((-6, 6), (-3, 3))


def test_the_largest_angle_to_the_own_reference():
    k, other = (SimpleNamespace(potential_key=key, depth=1) for key in "ko")
    learned = [(k, np.array([1.0, 0.0]), ""), (k, np.array([1.0, 1.0]), ""), (other, np.array([1.0, 0.0]), "")]
    shown = drawing.Boundaries("t", planar([[1, 1]], [1], p2=[1.0, 0.0]), learned, {"k": 2.0, "o": 3.0})
    assert shown.keys == ["k", "o"] and len(shown.of("k")) == 2
    assert shown.off("k") == pytest.approx(45.0) and np.isnan(shown.off("o"))
    assert shown.exact("k") is not None and shown.exact("o") is None and shown.exact("absent") is None


def test_the_first_seed_that_came_through_is_shown(monkeypatch):
    asked = []
    monkeypatch.setattr(drawing, "planar_data", lambda *given: asked.append(given[1:]) or "data")
    one = SimpleNamespace(potential_key="a", cells={0: "a0", 1: "a1", 2: "a2"})
    two = SimpleNamespace(potential_key="b", cells={1: "b1", 2: "b2"})
    w = {"a0": np.array([1.0, NAN]), "a1": np.array([1.0, 2.0]), "a2": np.ones(2), "b1": np.zeros(2), "b2": np.ones(2)}
    status = dict.fromkeys(w, "converged") | {"b2": "diverged"}
    results = SimpleNamespace(predictors=w, status=status, row={"a1": {"limit_p": 1.5}, "a2": {}, "b2": {}})
    study, facet = SimpleNamespace(results=results), SimpleNamespace(conditions=[one, two], title="Planted")
    shown = drawing.boundaries(study, facet)
    assert (shown.title, shown.data, shown.limits) == ("Planted, seed 1", "data", {"a": 1.5})
    assert [(c.potential_key, s) for c, _, s in shown.learned] == [("a", "converged")] and asked == [(one, 1, {1.5})]
    status |= {"a1": "failed", "a2": "failed"}
    assert drawing.boundaries(study, facet) is None
    status["a2"] = "transient"
    shown = drawing.boundaries(study, facet)
    assert shown.title == "Planted, seed 2" and np.isnan(shown.limits["a"]) and asked[-1] == (one, 2, set())
    status["b2"] = "converged"
    assert len(drawing.boundaries(study, facet).learned) == 2 and asked[-1] == (one, 2, set())


@pytest.mark.parametrize(
    ("degrees", "text"), [(0.01, "0.01°"), (0.00999, "< 0.01°"), (10.0, "10°"), (9.44, "9.4°"), (99.6, "100°")]
)
def test_edges_of_short_angles(degrees, text):
    assert drawing.short_angle(degrees) == text


def test_names_of_baselines():
    assert baseline_name("SVM", "hard-margin", None) == "SVM, hard margin"
    assert baseline_name("SVM", "soft-margin", 0.5) == "SVM, soft margin with C = 0.5"
    assert baseline_name("logistic regression", "other", None) == "logistic regression, other"


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        (
            {"geometry": "planted", "n": 20, "separation": 2.0},
            ["SVM, hard margin", "logistic regression, l2 with C = 1"],
        ),
        (
            {"geometry": "gaussian", "n": 40, "separation": 0.2},
            ["SVM, soft margin with C = 1", "logistic regression, unregularised"],
        ),
    ],
)
def test_the_data_that_were_trained_on_and_their_references(tmp_path, dataset, names):
    dataset = {"name": "synthetic", "dim": 2, "noise": 1.0} | dataset
    condition = SimpleNamespace(config={"dataset": dataset}, cells={3: "c"})
    results = SimpleNamespace(data_dir=None, row={}, references_dir=None)
    plane, data = planar_data(results, condition, 3, {2.0}), load_dataset(dataset, None, None, 3)
    np.testing.assert_array_equal(plane.X, data.X_train)
    assert [plane.svm_name, plane.logreg_name] == names and set(plane.max_margin) == ({2.0} if data.planted else set())
    assert plane.support is None if not data.planted else list(plane.support) == list(data.planted["support"])
    results.row["c"] = {"data_sha256": data.fingerprint}
    results.references_dir = tmp_path / "absent"
    assert (planar_data(results, condition, 3, {2.0}).svm == plane.svm).all() and not results.references_dir.exists()
    results.references_dir = tmp_path
    assert (planar_data(results, condition, 3, {2.0}).svm == plane.svm).all() and len(list(tmp_path.rglob("*.npz"))) > 1
    results.row["c"] = {"data_sha256": "another"}
    with pytest.raises(ValueError, match="another content now"):
        planar_data(results, condition, 3, {2.0})


def many(number, w=(1.0, 2.0), status="converged", name="{}", support=None):
    """(study, Boundaries) of so many potentials, each at depth 1 and 2."""
    keys = [f"k{i}" for i in range(number)]
    learned = [
        (SimpleNamespace(potential_key=k, depth=depth, words=k), np.array(w), status) for k in keys for depth in (1, 2)
    ]
    study = SimpleNamespace(
        names={k: name.format(k) for k in keys},
        colours=dict.fromkeys(keys, "0.5"),
        markers=dict.fromkeys(keys, "D"),
        width=lambda: style.COLUMN,
        results=SimpleNamespace(ambiguous=lambda c: c.potential_key == "k1", predictors={"c": np.ones(2)}, cells=[]),
    )
    X = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    data = planar(X, np.resize([1, -1], 30), support, p2=[1.0, 2.0])
    return study, drawing.Boundaries("Planted, seed 1", data, learned, dict.fromkeys(keys, 2.0))


@pytest.mark.parametrize("legend", [None, 2.0])
@pytest.mark.parametrize(
    ("number", "rows", "name", "lines"),
    [(0, 1, "{}", 1), (1, 1, "{}", 2), (2, 1, "{}" + 30 * " the list", 3), (4, 2, "{}", 2), (6, 2, 9 * "is {0} ", 3)],
)
def test_panels_have_one_scale_and_figures_fit_a_page(monkeypatch, number, rows, name, lines, legend):
    """number 0: all in one panel. Inches are equal along both axes, and nothing leaves the page or meets."""
    with plt.rc_context():
        style.use()
        study, shown = many(number or 3, name=name)
        if legend:
            monkeypatch.setattr(style, "legend_shape", lambda *_: (2, legend))
        figure = drawing.draw_each(study, shown, shown.keys) if number else drawing.draw_together(study, shown)
        assert overlaps(figure) == []
        width, height = figure.get_size_inches()
        boxes = [ax.get_position() for ax in figure.axes]
        assert len(boxes) == max(1, number) and len({round(box.y0, 6) for box in boxes}) == rows
        for ax, box in zip(figure.axes, boxes, strict=True):
            scales = box.width * width / np.ptp(ax.get_xlim()), box.height * height / np.ptp(ax.get_ylim())
            assert scales[0] == pytest.approx(scales[1], rel=0.02)
        most, high = 1.1 if number else 2.4, boxes[0].height * height
        assert high == pytest.approx(most) if height < style.HEIGHT - 1e-9 else high < most
        assert height <= style.HEIGHT + 1e-9
        renderer = figure.canvas.get_renderer()
        dots = [ax.title.get_window_extent(renderer) for ax in figure.axes]
        assert {ax.get_title().count("\n") + 1 for ax in figure.axes} == {lines}
        above = figure.bbox.y1 - max(box.y1 for box in dots)
        assert 0 <= above < 0.12 * figure.dpi
        below = figure._supxlabel or figure.axes[0].xaxis.label
        ends = below.get_window_extent(renderer).y0, min(box.y0 for box in boxes) * figure.bbox.y1
        assert (legend or 0.2) * figure.dpi - 1 <= ends[0] and ends[0] + 0.1 * figure.dpi < ends[1]
        plt.close(figure)


@pytest.mark.parametrize(
    ("number", "parts"),
    [(1, []), (2, [2]), (4, [4]), (5, [2, 3]), (6, [6]), (7, [3, 4]), (10, [3, 3, 4]), (12, [6, 6])],
)
def test_what_is_drawn_and_what_is_said_of_it(monkeypatch, number, parts):
    study, shown = many(number, w=(2.0, 1.0), status="transient", support=np.ones(2))
    study.facets = [
        SimpleNamespace(title=t, conditions=[SimpleNamespace(cells={0: "c"})]) for t in ("gone", "lost", "in")
    ]
    outcomes = {"gone": ValueError("no file"), "lost": None, "in": shown}

    def boundaries(_, facet):
        if isinstance(outcomes[facet.title], ValueError):
            raise outcomes[facet.title]
        return outcomes[facet.title]

    monkeypatch.setattr(drawing, "boundaries", boundaries)
    monkeypatch.setattr(drawing, "draw_together", lambda *_: "together")
    monkeypatch.setattr(drawing, "draw_each", lambda study, shown, keys: keys)
    gone, lost, together, *each = drawing.decision_boundaries(study)
    assert (gone, lost) == (
        Absent("decision_boundaries: gone", "no file"),
        Absent("decision_boundaries: lost", "no cell of it came through"),
    )
    assert together.figure == "together" and [len(one.figure) for one in each] == parts
    assert [key for one in each for key in one.figure] == (shown.keys if parts else [])
    names = [f"decision_boundaries_by_potential{f'_part{i + 1}' if i else ''}_page3" for i in range(len(parts))]
    assert [one.name for one in (together, *each)] == ["decision_boundaries_page3", *names]
    waiting = ", ".join(sorted(f"k{i}" for i in range(number)))
    for one in (together, *each):
        apart = "" if one is together else ", potential by potential"
        assert one.caption == (
            f"Learned decision boundaries, Planted, seed 1{apart}. Each lies within 37° of its potential's exact lp "
            f"max-margin direction, the wide pale line. Margin not certified: {waiting}. Part 3 of 3: Planted, seed 1."
        )
        assert [note.split(":")[0] for note in one.notes] == [
            "In the plane of the data, circles",
            "Square",
            *["Above each panel"] * (one is not together),
            *["‡"] * (number > 1),
        ]


def test_captions_without_a_support_vector_or_a_bound_of_note(monkeypatch):
    study, shown = many(1)
    page = SimpleNamespace(where=lambda _: "", name=str, album=str)
    drawn = drawing._drawn(study, page, "decision_boundaries", None, shown)
    assert "within 0.010° of" in drawn.caption and "certified" not in drawn.caption and len(drawn.notes) == 1
    labels = [(h.get_label(), h.get_alpha()) for h in drawing._handles(shown)]
    assert labels[:3] == [("L = 1 (linear)", 1.0), ("L = 2", 1.0), ("exact ℓp max-margin", 0.35)]
    shown.limits.clear()
    assert "ℓp" not in "".join(h.get_label() for h in drawing._handles(shown))
    shown.data.separability = "overlapping"
    assert "The data are overlapping: there is no max-margin." in drawing._drawn(study, page, "", None, shown).caption


def test_of_many_data_sets_24_are_drawn_and_the_others_named(monkeypatch):
    monkeypatch.setattr(drawing, "boundaries", lambda *_: None)
    study, _ = many(1)
    study.facets = [SimpleNamespace(title=f"t{i}", conditions=[SimpleNamespace(cells={0: "c"})]) for i in range(26)]
    *_, last = drawing.decision_boundaries(study)
    assert last.name == "decision_boundaries: 2 more pages" and last.reason.endswith("left out are t24; t25")
