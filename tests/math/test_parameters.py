"""Parameters as they are declared: ranges with both ends, and the words of messages."""

import math

import pytest

from mdcore.math.parameters import Choice, Flag, Integer, Names, Number, Text, first_of, nearest, nearest_key, one_of

NEXT = math.nextafter(1.0, 2.0)


def test_names_in_messages():
    assert one_of(["a"]) == "a" and one_of(iter(["a", "b", "c"])) == "one of a, b, c"
    assert first_of(["a", "b", "c"]) == "a, b, c" and first_of(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert first_of(["a", "b", "c"], 2) == "a, b and 1 more"


@pytest.mark.parametrize(
    ("given", "keys", "meant"),
    [
        ("EPOCH", ["epochs", "depth"], "epochs"),
        ("xyz", ["epochs", "depth"], ""),
        ("ab" * 100 + "z" * 300, ["ab" * 100], "ab" * 100),  # what is too long is cut
        ("dapth", ["depths", "depth"], "depth"),
        ("eta", ["epochs", "step.eta", "other.eta"], "other.eta"),
        ("steps.eta", ["step.eta", "a.b.eta"], "a.b.eta"),
        ("a.b.rate", ["x.rate", "eta"], "x.rate"),
        ("Epochs", ["epochs", "a.Epochs"], "epochs"),  # in other letters
        ("step.eta", ["step.eta", "x.eta"], "step.eta"),
        ("b.c", ["x.b", "y.c"], "y.c"),
    ],
)
def test_the_key_that_was_meant(given, keys, meant):
    assert nearest_key(given, keys) == (f"; did you mean '{meant}'?" if meant else "")
    assert nearest("lpp", ["quadratic", "LP"]) == "; did you mean 'LP'?"


@pytest.mark.parametrize(
    ("number", "inside", "outside", "expected"),
    [
        (Number(above=1.0), [NEXT, 1e300], [1.0, 0.0, math.inf, math.nan], "a number > 1"),
        (Number(least=1.0), [1.0], [0.5], "a number ≥ 1"),
        (Number(below=1.0), [0.5, -1e300], [1.0, NEXT, -math.inf], "a number < 1"),
        (Number(above=0.0, most=1.0), [1.0, 0.5], [NEXT, 0.0], "a number > 0, at most 1"),
        (Number(least=0.0, below=1e6), [0.0], [-1e-300, 1e6], "a number ≥ 0, < 1e6"),
        (Number(words="a length", most=2.0), [2.0], [2.5], "a length"),
        (Number(), [0.0], [math.nan], "a number"),
    ],
)
def test_ranges_have_their_ends(number, inside, outside, expected):
    assert number.expected == expected
    assert [number.check("lp", "p", value) for value in inside] == inside
    for value in outside:
        message = f"lp: p = {value}; expected a finite number{expected.removeprefix('a number')}"
        with pytest.raises(ValueError) as error:
            number.check("lp", "p", value)
        assert str(error.value) == message


def test_what_is_expected_of_other_parameters():
    assert Integer(2, 9).expected == "an integer ≥ 2"
    assert Integer(1, 9, null="all").expected == "an integer ≥ 1 or null (all)"
    assert Choice(("a", "b")).expected == "one of a, b" and Flag().expected == "true or false"
    assert Text("a path").expected == Names("a path").expected == "a path"
    number = Number()
    assert number.example == 1 and not number.per_layer and not number.null and number.default is ...
