"""Decision boundaries, by hand: where points, lines and marks stand in a panel."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from mdcore.analysis.figures.drawings import decision_boundaries as drawing
from mdcore.analysis.figures.planar_data import PlanarData, baseline_name

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
    [([1.0, 2.0], (5.58, -2.79)), ([0.0, 3.0], (5.58, 0.0)), ([-2.0, 0.0], (0.0, 2.79)), ([1.0, 1.0], (2.79, -2.79))],
)
def test_a_boundary_goes_through_the_whole_panel_and_its_marks_stand_at_the_rim(w, mark):
    ax = Figure().subplots()
    ax.set(xlim=(-6, 6), ylim=(-3, 3))
    w = np.array(w)
    one, deep = (SimpleNamespace(potential_key="k", depth=depth) for depth in (1, 2))
    learned = [(one, np.array([5.0, 1.0]), "converged"), (deep, w, "converged")]
    shown = drawing.Boundaries("t", planar([[1, 1]], [1], p2=[3.0, 4.0]), learned, {"k": 2.0})
    drawing._lines(ax, SimpleNamespace(colours={"k": "0.2"}, markers={"k": "D"}), shown, "k")
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


@pytest.mark.parametrize(
    ("degrees", "text"), [(0.01, "0.01°"), (0.00999, "< 0.01°"), (10.0, "10°"), (9.44, "9.4°"), (99.6, "100°")]
)
def test_edges_of_short_angles(degrees, text):
    assert drawing.short_angle(degrees) == text


def test_names_of_baselines():
    assert baseline_name("SVM", "hard-margin", None) == "SVM, hard margin"
    assert baseline_name("SVM", "soft-margin", 0.5) == "SVM, soft margin with C = 0.5"
    assert baseline_name("logistic regression", "other", None) == "logistic regression, other"
