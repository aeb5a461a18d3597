"""Hypothesis strategies for grid files: valid by construction, nearly valid, mangled; and for overrides."""

from __future__ import annotations

import copy
import json
import math

import yaml
from hypothesis import strategies as st

VALID = list(
    yaml.safe_load_all("""
question: Does depth matter?
fixed:
  dataset: {name: mnist, source: bundled}
  epochs: 20
  step: {rule: adaptive}
vary:
  digits: [[0, 1], [3, 5]]
  pca: [50, null]
  potential: [quadratic, {lp: {p: 1.5}}, {lp: {p: 3}}]
  depth: [1, 2]
---
question: Which direction?
fixed:
  dataset: {name: synthetic, geometry: planted, dim: 2, n: 60, separation: 2.5, noise: 1}
  epochs: 10
  step: {rule: normalized, eta: 1, decay: 2}
  stop: {gap: 0.01}
  log_points: 20
  dtype: float32
vary: {potential: [scaled, {hypentropy: {beta: 0.1}}, {cosh: {beta: 1}}, {lp: {p: 3}}]}
zip: [{depth: [1, 2, 3], init.scale: [0, 0.3, 0.1]}, {seed: [0, 1]}]
only_if: {step.decay: {p: 3}, stop: {depth: [1, 2]}}
exclude: [{potential: scaled, depth: 3}, {p: 3, seed: 1}]
---
question: Layers
fixed: {epochs: 5, step.rule: constant, loss: exponential, width: 4, svm_C: 2, logreg_C: 0.5}
vary:
  dataset: [{name: synthetic, dim: 20}, {name: mnist, test_fraction: 0}]
  digits: [[1, 2]]
  step.eta: [0.1, 0.001]
zip:
- depth: [1, 2, 2]
  potential: [quadratic, {layer_scaled: {alpha: [1, 4]}}, [{lp: {p: 3}}, quadratic]]
only_if: {digits: {dataset: mnist}}
""")
)

WORDS = [
    "1e-3", "1_000", "yes", "lp", "quadratic", "quadratc", "mnist", "synthetic", "full", "depth", "a:b",
    "../x:Y", "0x10", ".nan", "~", "{", "p", "loss_scaled", "normalized", "adaptive", "planted", "",
    "x" * 300, "é\u2028", "- a",
]  # fmt: skip
NAMES = [
    "depth", "dataset", "dataset.dim", "dataset.name", "step", "step.eta", "step.decay", "init.scale",
    "init", "stop", "stop.gap", "potential", "seed", "digits", "pca", "width", "epochs", "metrics", "p",
    "lp", "fixed", "vary", "zip", "only_if", "exclude", "question", "depht", "<<", "name", "path",
    "dataset.path", "beta", "alpha", "dtype", "plugin_dir",
]  # fmt: skip
PIECES = [
    "&a", "*a", "!!python/name:os", "- ", ": ", "\t", "[" * 60, "{a: " * 60, "\n---\n", "? ", "|", ">",
    "%", "\0",
]  # fmt: skip
NUMBERS = [0.0, -0.0, -1.5, 0.5, 1.0, 2.0, 1e-300, 1e308, math.nan, math.inf, -math.inf, 10**30, 784]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 12), st.sampled_from(NUMBERS), st.sampled_from(WORDS), st.text(max_size=6)
)
KEYS = st.one_of(st.sampled_from(NAMES), st.text(max_size=4))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=5
)
POSITIVE = st.floats(1e-6, 1e3).map(lambda x: x + 0.0)
POTENTIALS = st.one_of(
    st.sampled_from(["quadratic", "scaled"]),
    st.floats(1.01, 9).filter(lambda p: p != 2).map(lambda p: {"lp": {"p": p}}),
    POSITIVE.map(lambda beta: {"hypentropy": {"beta": beta}}),
    POSITIVE.map(lambda beta: {"cosh": {"beta": beta}}),
)
FREE = {  # keys that may take any of these values, whatever the others are
    "seed": st.integers(0, 99),
    "epochs": st.integers(1, 10**6),
    "log_points": st.integers(2, 500),
    "loss": st.sampled_from(["logistic", "exponential"]),
    "dtype": st.sampled_from(["float64", "float32"]),
    "svm_C": POSITIVE,
    "logreg_C": POSITIVE,
    "width": st.integers(1, 64),
    "depth": st.integers(1, 4),
    "init.scale": POSITIVE,
    "init.distribution": st.sampled_from(["normal", "uniform"]),
    "step.eta": POSITIVE,
    "stop": st.one_of(st.none(), st.floats(1e-3, 0.9).map(lambda gap: {"gap": gap})),
    "potential": POTENTIALS,
}
SYNTHETIC = {
    "dataset.geometry": st.sampled_from(["planted", "gaussian"]),
    "dataset.dim": st.integers(2, 99),
    "dataset.n": st.integers(2, 99),
    "dataset.noise": POSITIVE,
}
IMAGES = {
    "digits": st.lists(st.integers(0, 9), min_size=2, max_size=2, unique=True),
    "pca": st.one_of(st.none(), st.integers(1, 200)),
    "dataset.test_fraction": st.floats(0, 0.7).map(lambda x: x + 0.0),
}


@st.composite
def valid_trees(draw):
    """A grid that is inside the specification by its construction."""
    name = draw(st.sampled_from(["synthetic", "mnist"]))
    keys = {**FREE, **(SYNTHETIC if name == "synthetic" else IMAGES)}
    needed = {"epochs", "potential"} | ({"digits"} if name == "mnist" else set())
    rule = draw(st.sampled_from(["constant", "normalized", "adaptive"]))
    question = draw(st.text("abc ?", min_size=1).filter(str.strip))
    tree = {"question": question, "fixed": {"dataset.name": name, "step.rule": rule}}
    sections = {key: draw(st.sampled_from(["fixed", "vary", "zip", "not"])) for key in keys}
    zipped = []
    for key, section in sections.items():
        if section == "vary" or (section == "zip" and len(zipped) < 2):
            values = draw(st.lists(keys[key], min_size=2, max_size=2, unique_by=json.dumps))
            if section == "vary" and len(tree.get("vary", {})) < 4:
                tree.setdefault("vary", {})[key] = values
                continue
            if section == "zip":
                zipped.append((key, values))
                continue
        if section != "not" or key in needed:
            tree["fixed"][key] = draw(keys[key])
    if zipped:
        tree["zip"] = [dict(zipped)]
    set_keys = [*tree["fixed"], *tree.get("vary", {}), *dict(zipped)]
    optional = [key for key in set_keys if key in keys and key not in needed and key != "depth"]
    if optional and "depth" in set_keys and draw(st.booleans()):
        tree["only_if"] = {draw(st.sampled_from(optional)): {"depth": draw(st.sampled_from([1, [2, 3]]))}}
    return tree


def paths(tree, path=()):
    """Every path into a tree of mappings and lists."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from paths(value, (*path, key))


@st.composite
def near_misses(draw, trees=None):
    """A valid tree with up to three parts renamed, replaced, removed, repeated, wrapped or added."""
    given_trees = st.sampled_from(trees or VALID)
    tree = copy.deepcopy(draw(given_trees if trees else st.one_of(given_trees, valid_trees())))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from([path for path in paths(tree) if path] or [()]))
        if not path:
            return draw(VALUES)
        parent = tree
        for key in path[:-1]:
            parent = parent[key]
        key, change = path[-1], draw(st.sampled_from(["rename", "replace", "remove", "repeat", "wrap", "add"]))
        if change == "replace":
            parent[key] = draw(VALUES)
        elif change == "wrap":
            parent[key] = draw(st.sampled_from([[parent[key]], {"a": parent[key]}, str(parent[key])]))
        elif change == "remove":
            del parent[key]
        elif isinstance(parent, dict):
            value = parent.pop(key) if change == "rename" else parent[key]
            parent[draw(KEYS)] = draw(VALUES) if change == "add" else value
        else:
            parent.insert(key, copy.deepcopy(parent[key]) if change == "repeat" else draw(VALUES))
    return tree


@st.composite
def mangled_text(draw):
    """The bytes of a grid file, valid or a near miss, cut, doubled or overwritten somewhere."""
    tree = draw(st.one_of(st.sampled_from(VALID), valid_trees(), near_misses()))
    text = yaml.safe_dump(tree, allow_unicode=True, default_flow_style=draw(st.booleans()), sort_keys=False)
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(text)))
        stop = min(len(text), start + draw(st.integers(0, 30)))
        doubled = text[start:stop] * 2
        middle = draw(st.one_of(st.sampled_from(["", doubled]), st.text(max_size=5), st.sampled_from(PIECES)))
        text = text[:start] + middle + text[stop:]
    return text.encode("utf-8", "surrogatepass")


GOOD_OVERRIDES = [
    "depth=[1, 2]", "depth=2", "epochs=3", "seed=[4, 5]", "svm_C=0.1", "potential=scaled", "init.scale=0.2",
    "dtype=float32", "potential=[[scaled, quadratic]]", "stop={gap: 0.1}", "stop=null",
    "step={rule: adaptive}", "step.eta=[0.1, 1]", "dataset={name: synthetic, dim: 3}", "dataset.noise=0.5",
    "digits=[3, 5]", "digits=[[3, 5], [0, 1]]", "width=[2, 3]",
]  # fmt: skip
OVERRIDES = st.lists(
    st.one_of(
        st.sampled_from(GOOD_OVERRIDES),
        st.text(max_size=20),
        st.tuples(KEYS, st.one_of(VALUES.map(json.dumps), st.text(max_size=8))).map("=".join),
    ),
    min_size=1,
    max_size=3,
)
