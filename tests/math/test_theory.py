"""What the code cites exists: numbered statements and sources of mdcore/math/README.md."""

from __future__ import annotations

import re

import pytest
from fake_grids import ROOT

THEORY = (ROOT / "mdcore" / "math" / "README.md").read_text(encoding="utf-8")
NUMBERS = set(re.findall(r"^#* ?(\d(?:\.\d+)?)\b", THEORY, flags=re.M))
SOURCES = THEORY.partition("## Sources")[2]
CODE = sorted([*(ROOT / "mdcore").rglob("*.py"), *(ROOT / "grids").glob("*"), *(ROOT / "notebooks").glob("*.ipynb")])
CITED = r"\b([A-Z]\w+)(?:(?:,| &| et al\.) [A-Z]?[\w&, ]*?|(?: et al\.)?) \(?((?:18|19|20)\d\d)\b"


def cited_numbers(text: str) -> set[str]:
    lists = re.findall(r"\btheory ((?:\d(?:\.\d+)?(?:, | and )?)+)", text)
    return {number for listed in lists for number in re.findall(r"\d(?:\.\d+)?", listed)}


def cited_sources(text: str) -> set[tuple[str, str]]:
    return set(re.findall(CITED, text))


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_the_code_cites_exists(path):
    text = path.read_text(encoding="utf-8")
    assert cited_numbers(text) <= NUMBERS
    for name, year in cited_sources(text):
        assert re.search(rf"^- .*\b{name}\b.* {year}", SOURCES, flags=re.M), f"{name} {year}"
    assert "THEORY" not in text and "DESIGN" not in text, "a document that a user does not have"


def test_the_readme_cites_its_own_sources():
    for name, year in re.findall(r"\[(\w+)[\w&, ]*? (\d{4})", THEORY.partition("## Sources")[0]):
        assert re.search(rf"^- .*\b{name}\b.* {year}", SOURCES, flags=re.M), f"{name} {year}"


@pytest.mark.parametrize(
    ("text", "numbers", "sources"),
    [
        ("see theory 5.3 and 5.5.", {"5.3", "5.5"}, set()),
        ("(Ji & Telgarsky 2019)", set(), {("Ji", "2019")}),
        ("Sun et al. 2022, and theory 9", {"9"}, {("Sun", "2022")}),
        ("Ball, Carlen & Lieb 1994", set(), {("Ball", "1994")}),
    ],
)
def test_citations_are_found(text, numbers, sources):
    assert cited_numbers(text) == numbers
    assert cited_sources(text) == sources
