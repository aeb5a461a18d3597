"""Names for readers, made from the identity and unique within a run. They are never used as keys."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mdcore.config.cell import data_key, dataset_label, potential_key, potential_label, without_place, word, words_of
from mdcore.problems.sources import SOURCES

_WORDS = {"test_fraction": "test fraction"}  # of parameters


def unique_names(candidates: dict[str, list[str]]) -> dict[str, str]:
    """{key: name}: of each key's names, shortest first, the first that no other key has among its names of that rank.

    Where there is none, the last name and a short hash of the key.
    """
    ranks = max(map(len, candidates.values()), default=0)
    counts = [Counter(names[min(rank, len(names) - 1)] for names in candidates.values()) for rank in range(ranks)]
    chosen = {
        key: next((name for name, count in zip(names, counts, strict=False) if count[name] == 1), None)
        for key, names in candidates.items()
    }
    taken = Counter(chosen.values())
    hashes = {key: hashlib.sha256(key.encode()).hexdigest()[:6] for key in chosen}
    return {
        key: name if name is not None and taken[name] == 1 else f"{candidates[key][-1]}-{hashes[key]}"
        for key, name in chosen.items()
    }


def potential_labels(configs: Iterable[dict[str, Any]]) -> dict[str, str]:
    """{potential key: label such as lp1.5 or mine.Mix-a2}."""
    return unique_names({potential_key(c): [potential_label(c["potential"])] for c in configs})


def potential_words(configs: Iterable[dict[str, Any]]) -> dict[str, str]:
    """{potential key: words such as "lp, p = 1.5" or "Mix, a = 2"}; the file of a plug-in where it is needed."""
    potentials = {potential_key(c): c["potential"] for c in configs}
    return unique_names({key: [words_of(entry), words_of(entry, file=True)] for key, entry in potentials.items()})


def family_key(config: dict[str, Any]) -> str:
    """Data sets of one family differ in parameters only."""
    dataset = without_place(config)["dataset"]
    titled = SOURCES[dataset["name"]].titled if dataset["name"] in SOURCES else ()
    family = {key: dataset.get(key) for key in ("name", *titled)}
    return data_key({"dataset": family, "digits": config.get("digits"), "pca": config.get("pca")})


def _title(config: dict[str, Any], file: bool = False) -> str:
    """ "MNIST 3 vs 5, PCA 50"; "Planted, d = 2"; a data set of the user's own by its function, or file:function."""
    name: str = config["dataset"]["name"]
    if name in SOURCES:
        return SOURCES[name].title(config)
    return name if file else name.rsplit(":", 1)[-1]


def family_words(configs: Iterable[dict[str, Any]]) -> dict[str, str]:
    """{family key: title of its data}: parameters are not said."""
    return unique_names({family_key(c): [_title(c), _title(c, file=True)] for c in configs})


def _differing(configs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """{data key: parameters in which it differs from others of its family}."""
    by_family: dict[str, dict[str, dict[str, Any]]] = {}
    for c in configs:
        by_family.setdefault(family_key(c), {})[data_key(c)] = without_place(c)["dataset"]
    out: dict[str, dict[str, Any]] = {}
    for members in by_family.values():
        source = SOURCES.get(next(iter(members.values()))["name"])
        unsaid = ("name", *source.titled) if source else ("name",)
        names = sorted({key for data in members.values() for key in data if key not in unsaid})
        moving = [n for n in names if len({(n in data, word(data.get(n))) for data in members.values()}) > 1]
        out |= {key: {n: data[n] for n in moving if n in data} for key, data in members.items()}
    return out


def data_labels(configs: list[dict[str, Any]]) -> dict[str, str]:
    """{data key: label such as mnist-3v5-pca50}, with parameters where a run has several of one family."""
    differing = _differing(configs)
    labels: dict[str, list[str]] = {}
    for c in configs:
        label, more = dataset_label(c), differing[data_key(c)]
        labels[data_key(c)] = [label, label + "".join(f"-{key}{word(value)}" for key, value in more.items())]
    return unique_names(labels)


def data_words(configs: list[dict[str, Any]]) -> dict[str, str]:
    """{data key: title of the data with the parameters in which it differs from others of its family}."""
    differing, family = _differing(configs), family_words(configs)
    titles: dict[str, list[str]] = {}
    for c in configs:
        more = (f"{_WORDS.get(key, key)} = {word(value)}" for key, value in differing[data_key(c)].items())
        titles[data_key(c)] = [", ".join([family[family_key(c)], *more])]
    return unique_names(titles)
