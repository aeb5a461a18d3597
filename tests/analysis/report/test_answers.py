"""The sentences of the answer, each from verdicts by hand: what is said of how many conditions, with what numbers."""

from types import SimpleNamespace

import pandas as pd
import pytest
from made_verdicts import verdict

from mdcore.analysis.data.directions import NO, OPEN, YES
from mdcore.analysis.report.findings import answer
from mdcore.analysis.report.findings.macros import with_numbers
from mdcore.analysis.report.findings.verdicts import Estimate

INF = float("inf")
ON = "on Gaussian (d = 20)"
SAME_END = "the deep and the linear run end within 1° of the same exact direction"
APART = "in every run, the limits of deep and linear mirror descent are proved to be more than 1° apart"
BOUNDS = "the bounds do not determine the directions of all"


def mean(value, n=3):
    return Estimate(value, value, value, n)


def deep(potential="quadratic", **more):
    return verdict(potential, 2, **more)


def shallow(potential="quadratic", reached=True, converged=True, **more):
    return verdict(potential, 1, reached=reached, converged=converged, **more)


def all_with_numbers(sentences):
    return [with_numbers(text) for text in sentences]


@pytest.mark.parametrize(
    ("changed", "head", "rest"),
    [
        ([NO], f"Depth does not change the limit direction in the 1 deep condition: {SAME_END}, as certified bounds "
         f"prove. This is l2 at L = 2 {ON}.", []),
        ([NO, NO], f"Depth does not change the limit direction in any of the 2 deep conditions: {SAME_END}, as "
         f"certified bounds prove. These are l2 and l3 at L = 2 {ON}.", []),
        ([YES], f"Depth changes the limit direction in the 1 deep condition: {APART} (l2 at L = 2 {ON}).", []),
        ([OPEN], f"Whether depth changes the limit direction is open: in the 1 deep condition (l2 at L = 2 {ON}), "
         f"{BOUNDS} deep and linear runs.", []),
        ([OPEN, OPEN], "Whether depth changes the limit direction is open: in any of the 2 deep conditions (l2 and l3 "
         f"at L = 2 {ON}), {BOUNDS} deep and linear runs.", []),
        ([NO, OPEN], f"Depth does not change the limit direction in 1 of 2 deep conditions: {SAME_END}, as certified "
         f"bounds prove. This is l2 at L = 2 {ON}.", ["1 of 2", "l3"]),
        ([YES, OPEN], f"Depth changes the limit direction in 1 of 2 deep conditions: {APART} (l2 at L = 2 {ON}).",
         ["1 of 2", "l3"]),
        ([YES, NO], f"Depth changes the limit direction in 1 of 2 deep conditions: {APART} (l2 at L = 2 {ON}). "
         "It does not in 1.", []),
        ([NO, YES, OPEN], f"Depth changes the limit direction in 1 of 3 deep conditions: {APART} (l3 at L = 2 {ON}). "
         "It does not in 1.", ["1 of 3", "l4"]),
    ],
)  # fmt: skip
def test_whether_depth_changes_the_limit(changed, head, rest):
    some = [deep(f"lp, p = {i + 2}", limit_changed=each) for i, each in enumerate(changed)]
    sentence, more = answer.depth_head(some)
    open_one = "Whether depth changes the limit direction remains open in {} deep conditions, where " + BOUNDS
    assert with_numbers(sentence) == head
    assert all_with_numbers(more) == ([f"{open_one.format(rest[0])} runs: {rest[1]} at L = 2 {ON}."] if rest else [])


def test_on_what_it_rests_that_the_limit_is_the_same():
    both = [deep(limit_changed=NO), deep("lp, p = 3", limit_changed=NO, overlap=True)]
    words = "as certified bounds prove and, on overlapping data, measurements show. These are"
    assert words in answer.depth_head(both)[0]
    assert "direction, the logistic minimiser, as measured, without a certificate." in answer.depth_head(both[1:])[0]


def test_how_far_apart_deep_and_linear_runs_are():
    some = [
        verdict(),
        deep(limit_changed=NO, linear_ends=mean(0.4), equal_loss=mean(3.0), path_changed=YES),
        deep("lp, p = 3", limit_changed=NO, linear_ends=mean(0.2), equal_loss=mean(2.0), path_changed=NO),
        deep("lp, p = 4", limit_changed=YES, linear_ends=mean(7.0), equal_loss=mean(9.0, 2)),
        deep("lp, p = 5", limit_changed=YES, used=0),
    ]
    at = f"for quadratic at L = 2 {ON}, by"
    (head, ends, paths), (unread,) = map(all_with_numbers, answer.depth_sentences(some))
    assert head.startswith("Depth changes the limit direction in 1 of 3 deep conditions")
    assert ends == (
        f"Where the limit is the same, deep and linear end points differ most {at} 0.40° (identical in all 3 runs)."
    )
    assert paths == (
        "The path to the limit does depend on depth: at equal loss R, the mean loss over the training points, deep and "
        f"linear predictors are more than 1° apart in every run of 1 of 2 deep conditions, most {at} 3.0° (identical "
        "in all 3 runs). This concerns the paths and not the limits: one of the two runs had reached that loss long "
        "before its end."
    )
    assert unread == (
        "Not compared at equal loss: 1 deep condition, in which some runs share no loss with their linear companions "
        f"at which both can be read (l4 at L = 2 {ON})."
    )
    (alone,), none = answer.depth_sentences([deep(linear="", equal_loss=mean(0.5), path_changed=NO)])
    assert none == [] and with_numbers(alone) == (
        f"At equal loss R, the mean loss over the training points, deep and linear predictors differ most {at} 0.50° "
        "(identical in all 3 runs)."
    )
    assert answer.depth_sentences([verdict(), deep(used=0)]) == ([], [])


@pytest.mark.parametrize(("far", "is_stated"), [(1e-6, True), (0.9e-6, False)])
def test_rounding_errors_are_no_distance(far, is_stated):
    sentences, _ = answer.depth_sentences([deep(limit_changed=NO, linear_ends=mean(far), equal_loss=mean(0.5))])
    assert any("end points differ" in text for text in sentences) == is_stated


REACH = "the exact max-margin direction of the potential's own norm, with every run within 1° of it:"
NEVER = "that every run ends within 1° of the max-margin direction of the potential's own norm."
LOST = "runs whose margin is not certified, or that failed or diverged; their end points are no limits."


@pytest.mark.parametrize(
    ("verdicts", "sentences"),
    [
        ([shallow()], [
            f"The 1 condition on separable data reaches {REACH} quadratic at L = 1 {ON}. The certified bound of the "
            "angle is at most 0.50° for quadratic."]),
        ([shallow(), shallow("lp, p = 3", bound=0.7)], [
            f"All 2 conditions on separable data reach {REACH} quadratic and l3 at L = 1 {ON}. The certified bound of "
            "the angle is at most 0.50° for quadratic and 0.70° for l3."]),
        ([shallow(), shallow("a", False, angle=mean(2.0)), shallow("b", False, angle=mean(3.0))], [
            f"1 of 3 conditions on separable data reaches {REACH} quadratic at L = 1 {ON}. The certified bound of the "
            "angle is at most 0.50° for quadratic.",
            f"In 2 conditions (a and b at L = 1 {ON}) the margins are certified but the directions are not, as the "
            f"bound of the angle is wider than 1°. The measured angle is largest for b at L = 1 {ON}, 3.0° (identical "
            "in all 3 runs)."]),
        ([shallow(), shallow("a"), shallow("b", False, False)], [
            f"2 of 3 conditions on separable data reach {REACH} quadratic and a at L = 1 {ON}. The certified bound of "
            "the angle is at most 0.50° for quadratic and 0.50° for a.",
            f"1 condition on separable data (b at L = 1 {ON}) has {LOST}"]),
        ([shallow("a", False, False)], [
            f"It is not proved in the 1 condition on separable data {NEVER}",
            f"1 condition on separable data (a at L = 1 {ON}) has {LOST}"]),
        ([shallow("a", False, False), shallow("b", False, False)], [
            f"It is not proved in any of the 2 conditions on separable data {NEVER}",
            f"2 conditions on separable data (a and b at L = 1 {ON}) have {LOST}"]),
        ([shallow("a", False, unique=False, limit_p=1.0, angle=mean(5.0)),
          shallow("b", False, unique=False, limit_p=INF, angle=mean(6.0)), shallow("c", False, angle=Estimate())], [
            f"It is not proved in any of the 3 conditions on separable data {NEVER}",
            f"In 1 condition (c at L = 1 {ON}) the margins are certified but the directions are not, as the bound of "
            "the angle is wider than 1°.",
            f"In 2 conditions (a and b at L = 1 {ON}) the margins are certified, but the l1 and l∞ max-margin "
            "direction is not known to be unique, so that no limit direction is determined. The angle to the optimum "
            f"that the solver found is largest for b at L = 1 {ON}, 6.0° (identical in all 3 runs)."]),
        ([shallow("a", False, unique=False, angle=Estimate())], [
            f"It is not proved in the 1 condition on separable data {NEVER}",
            f"In 1 condition (a at L = 1 {ON}) the margins are certified, but the l2 max-margin direction is not known "
            "to be unique, so that no limit direction is determined."]),
        ([shallow(used=0), verdict(separability="overlapping")], []),
    ],
)  # fmt: skip
def test_which_potentials_reach_their_own_direction(verdicts, sentences):
    assert all_with_numbers(text for part in answer.limit_sentences(verdicts) for text in part) == sentences


def test_the_widest_bounds_are_named():
    some = [shallow(f"p{i}", bound=0.1 * i) for i in range(1, 9)] + [shallow("p8", bound=0.05)]
    words = [f"{i / 10:.2f}° for p{i}" for i in range(3, 9)]
    head = "The certified bound of the angle is at most "
    assert with_numbers(answer._widest_bounds(some)) == head + (
        ", ".join(words[:-1]) + f" and {words[-1]} and smaller for the others."
    )
    assert with_numbers(answer._widest_bounds(some[2:])) == f"{head}{', '.join(words[:-1])} and {words[-1]}."


def test_what_is_said_of_overlapping_and_of_quasi_separable_data():
    def over(potential="quadratic", **more):
        return verdict(potential, 1, separability="overlapping", **more)

    some = [over(angle=mean(0.2)), over("a", reached=False, angle=mean(4.0), unique=False), over("b", used=0)]
    (text,) = answer.overlap_sentences([*some, verdict("c")])
    assert with_numbers(text) == (
        "On Gaussian (d = 20) the classes overlap, so that there is no margin. In 1 of 2 conditions there, every run "
        "ends within 1° of the logistic minimiser, as measured and without a certificate; the mean angle is largest "
        f"for a at L = 1 {ON}, 4.0° (identical in all 3 runs). In 1 of them the minimiser is not known to be the only "
        "one, so that no limit direction is determined."
    )
    (text,) = answer.overlap_sentences([over(angle=Estimate())])
    assert with_numbers(text) == "On Gaussian (d = 20) the classes overlap, so that there is no margin."
    assert answer.overlap_sentences([verdict(), over(used=0)]) == []
    quasi = [verdict(facet=f, separability="quasi-separable", used=u) for f, u in (("Y", 3), ("Z", 1), ("X", 0))]
    (text,) = answer.quasi_sentences([verdict(), *quasi])
    assert text.startswith("On Y and Z the data are quasi-separable: some") and answer.quasi_sentences(quasi[2:]) == []


PAIRS = ", on the same data and at the same depth"


@pytest.mark.parametrize(
    ("decisions", "far", "sentence"),
    [
        ([YES], 5.0, "Different potentials end in different directions: in the 1 comparison with quadratic" + PAIRS
         + f", the limits are proved in every run to be more than 1° apart: p0 at L = 1 {ON}."),
        ([OPEN, OPEN], 5.0, "Whether different potentials end in different directions is open: in none of 2 "
         f"comparisons with quadratic{PAIRS}, are the limits proved in every run to be more than 1° apart."),
        ([NO], 5.0, "Different potentials end in the same direction, within 1°, in the 1 comparison with quadratic"
         + PAIRS + f": p0 at L = 1 {ON}."),
        ([YES, NO], 5.0, "Different potentials end in different directions: in 1 of 2 comparisons with quadratic"
         f"{PAIRS}, the limits are proved in every run to be more than 1° apart: p0 at L = 1 {ON}. In 1, they are the "
         f"same within 1°: p1 at L = 1 {ON}."),
        ([OPEN, NO], 5.0, "Whether different potentials end in different directions is open: in none of 2 comparisons "
         f"with quadratic{PAIRS}, are the limits proved in every run to be more than 1° apart. In 1, they are the same "
         f"within 1°: p1 at L = 1 {ON}."),
        ([YES, OPEN, OPEN], 5.0, "Different potentials end in different directions: in 1 of 3 comparisons with "
         f"quadratic{PAIRS}, the limits are proved in every run to be more than 1° apart: p0 at L = 1 {ON}. 2 are "
         "open, as the bounds do not determine both directions."),
        ([NO], 1e-6, "Different potentials end in the same direction, within 1°, in the 1 comparison with quadratic"
         + PAIRS + f": p0 at L = 1 {ON}."),
        ([NO], 0.9e-6, "Different potentials end in the same direction, within 1°, in the 1 comparison with quadratic"
         + PAIRS + f": p0 at L = 1 {ON}."),
    ],
)  # fmt: skip
def test_whether_potentials_differ(monkeypatch, decisions, far, sentence):
    """Each against the quadratic one; the last is farthest apart."""
    some = [verdict(f"p{i}", 1) for i in range(len(decisions))]
    reference = verdict("quadratic", 1)
    monkeypatch.setattr(answer, "pairings", lambda _: [
        ("depth", some[0].condition, reference.condition),
        *[("potential", v.condition, reference.condition) for v in some]])  # fmt: skip
    monkeypatch.setattr(answer, "answers", lambda c, *_: [dict(zip([v.condition.id for v in some], decisions))[c.id]])
    monkeypatch.setattr(answer, "known_ends", lambda _: {})
    angle = "angle_reference_potential"
    numbers = {v.condition.id: far * (i + 1) for i, v in enumerate(some)}
    rows = [{"mean": far, "ci_low": far, "ci_high": far, "n": 3} for far in numbers.values()]
    summary = pd.DataFrame(rows).add_prefix(f"{angle}_").assign(condition_id=list(numbers))
    (text,) = answer.potential_sentences(None, pd.DataFrame({"cell_id": []}), summary, [*some, reference])
    head, _, tail = with_numbers(text).partition(" The end points are farthest apart for ")
    assert head == sentence and bool(tail) == (far >= 1e-6)
    if far == 5.0:
        degrees = f"{5.0 * len(decisions):.{1 if len(decisions) < 2 else 0}f}°"
        assert tail.startswith(f"p{len(decisions) - 1} at L = 1 {ON}: {degrees.rstrip('°')}") and tail.endswith(
            " from quadratic."
        )
    summary[f"{angle}_n"] = 0
    assert answer.potential_sentences(None, pd.DataFrame({"cell_id": []}), summary, [*some, reference]) == []


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("Does depth matter?", True),
        ("Which norm, at which depth?", False),
        ("Does depth change the norm?", True),
        ("Do layers matter?", True),
        ("How deep? And p = 3?", True),
        ("Is l1.5 or a deep network better?", False),
        ("Anything?", False),
        ("", False),
    ],
)
def test_what_the_question_asks_first(question, first):
    assert answer.depth_is_asked_first(question) == first


def run_of(question="", status=("converged",)):
    return SimpleNamespace(question=question, cells=[None] * len(status), status=dict(enumerate(status)))


@pytest.mark.parametrize(
    ("question", "order"),
    [
        ("Does depth matter?", "depth limits others"),
        ("Do potentials differ?", "others limits depth"),
        ("What?", "limits others depth"),
    ],
)
def test_what_is_asked_is_answered_first_and_what_is_open_last(monkeypatch, question, order):
    monkeypatch.setattr(answer, "depth_sentences", lambda _: (["depth"], ["depth open"]))
    monkeypatch.setattr(answer, "limit_sentences", lambda _: (["limits"], ["limits open"]))
    monkeypatch.setattr(answer, "potential_sentences", lambda *_: ["others"])
    monkeypatch.setattr(answer, "overlap_sentences", lambda _: ["overlap"])
    monkeypatch.setattr(answer, "quasi_sentences", lambda _: ["quasi"])
    sentences = answer.answer(run_of(question), [deep(limit_changed=NO)], None, None)
    assert sentences == [*order.split(), "overlap", "depth open", "limits open", "quasi"]


def of(question, verdicts, status=("converged",)):
    empty = pd.DataFrame({"condition_id": [], "cell_id": []})
    results = run_of(question, status)
    results.facets, results.conditions = [], []
    return all_with_numbers(answer.answer(results, verdicts, empty, empty))


def test_what_the_grid_cannot_answer_is_said(monkeypatch):
    monkeypatch.setattr(answer, "pairings", lambda _: [])
    asked = "Does depth matter?"
    begin = "Whether depth changes the limit direction cannot be said: "
    assert of(asked, [shallow()])[0] == f"{begin}the grid has no depth above 1."
    lonely = deep(linear="", converged=True)
    assert of(asked, [lonely])[0] == f"{begin}no deep run has a linear companion to compare it with."
    assert of(asked, [deep(limit_changed=OPEN, converged=True)])[0].startswith(
        "Whether depth changes the limit direction is"
    )
    assert of("", [shallow()])[0].startswith("The 1 condition on separable data")
    unsaid = verdict(separability="unknown", overlap=False)
    assert of("", [unsaid]) == [
        "The runs have ended, but none left a number that answers the question; see the tables below."
    ]
    assert of("", []) == ["The run has no cells, so there is no answer."]
    lost = [verdict("a", used=0, counts={"missing": 1, "failed": 2}), verdict("b", used=0, counts={"failed": 1})]
    assert of("", lost) == ["There is no answer: no run came through (3 failed and 1 not run). See below why."]


def test_a_run_that_goes_on_is_preliminary(monkeypatch):
    monkeypatch.setattr(answer, "pairings", lambda _: [])
    first, *_ = of("", [shallow()], ["converged"] * 2 + ["missing"])
    assert first.startswith("Preliminary, with 2 of 3 runs: the 1 condition on separable data reaches")
    assert f"quadratic at depth L = 1 {ON}" in first
    assert not of("", [shallow()])[0].startswith("Preliminary")
    first, *_ = of("", [shallow(), shallow("a", facet="Z")])
    assert "quadratic at depth L = 1 on Gaussian (d = 20); a at L = 1 on Z" in first
