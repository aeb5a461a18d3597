"""What a mutant is: the places of a module that cosmic-ray changes, and the ways to put a mutant into a process."""

from __future__ import annotations

import ast
import difflib
import gc
import hashlib
import importlib.machinery
import importlib.util
import re
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType

from cosmic_ray import mutating, plugins
from cosmic_ray.ast import ast_nodes, get_ast

HERE = Path(__file__).resolve().parent
CONFIG = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))
TESTS = HERE.parent
SOURCES = TESTS.parent / CONFIG["package"]
LOOKS, TUNED = (set(CONFIG[name].split()) for name in ("looks", "tuned"))


class Essence(ast.NodeTransformer):
    """A module without annotations, looks and what is tuned: a mutant that changes nothing else is none."""

    def visit(self, node):
        for name in {"annotation", "returns"} & set(node._fields):
            setattr(node, name, ast.Constant(0) if isinstance(node, ast.AnnAssign) else None)
        if isinstance(node, ast.Call):
            node.keywords = [k for k in node.keywords if k.arg not in LOOKS]
            if isinstance(node.func, ast.Name) and node.func.id in LOOKS:
                node.args, node.keywords = [], []
        if isinstance(node, ast.Dict):  # but alpha, which is a parameter of a potential too
            keys = [key.value if isinstance(key, ast.Constant) else "" for key in node.keys]
            kept = [i for i, key in enumerate(keys) if key not in LOOKS - {"alpha"}]
            node.keys, node.values = [node.keys[i] for i in kept], [node.values[i] for i in kept]
        if isinstance(node, ast.Assign) and TUNED & {
            x.id for t in node.targets for x in ast.walk(t) if "id" in x._fields
        }:
            node.value = ast.Constant(0)
        return super().visit(node)


def subject_of(name: str) -> str | None:
    """The tests that concern a module such as math/metrics; None where mutants.toml has none."""
    return next((words for pattern, words in CONFIG["tests"].items() if re.fullmatch(pattern, name)), None)


def path_of(name: str) -> Path:
    return SOURCES / f"{name}.py"


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCES).with_suffix(""))


@cache
def text_of(name: str) -> str:
    """The code of a module as it was when it was first asked for."""
    return path_of(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def mutants_of(name: str) -> list[tuple[str, str, int]]:
    """(module, operator, occurrence) of every place of a module that an operator changes."""
    nodes, found = list(ast_nodes(get_ast(text_of(name)))), []
    for kind in filter(re.compile(CONFIG["operators"].replace("\\\n", "")).fullmatch, plugins.operator_names()):
        operator = plugins.get_operator(kind)()
        found += [(name, kind, i) for i in range(sum(len(list(operator.mutation_positions(node))) for node in nodes))]
    return found


def mutated(name: str, kind: str, occurrence: int) -> str | None:
    """The code of a mutant; None where it is no other program, or none at all."""
    new = mutating.mutate_code(text_of(name), plugins.get_operator(kind)(), occurrence)
    try:
        return new if essence(new) != essence_of(name) else None
    except SyntaxError:
        return None


def essence(code: str) -> str:
    return ast.dump(Essence().visit(ast.parse(code)))


@cache
def essence_of(name: str) -> str:
    return essence(text_of(name))


def difference(name: str, code: str) -> tuple[int, str, str]:
    """(line, was, becomes) of a mutant."""
    old, new = text_of(name).splitlines(), code.splitlines()
    lines = [x for x in list(difflib.unified_diff(old, new, lineterm="", n=0))[2:] if x[0] in "+-"]
    sides = ("\n".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    return next(i for i, (a, b) in enumerate(zip(old, new), 1) if a != b), *sides


def statement(name: str, line: int) -> set[int]:
    """The lines of the innermost statement that holds `line`, without those of its body; empty outside functions."""
    around = [
        x for x in ast.walk(ast.parse(text_of(name))) if isinstance(x, ast.stmt) and x.lineno <= line <= x.end_lineno
    ]
    functions = [x for x in around if isinstance(x, ast.FunctionDef) and x.body[0].lineno <= line]
    if not functions:
        return set()
    inner = min(around, key=lambda x: x.end_lineno - x.lineno)
    body = getattr(inner, "body", None)
    return {line, *range(inner.lineno, body[0].lineno if body else inner.end_lineno + 1)}


class InMemory(importlib.machinery.SourceFileLoader):
    """Finds the module `name`, and loads it from `code`."""

    def __init__(self, name: str, code: str):
        path = path_of(name)
        parts = path.relative_to(SOURCES.parent).with_suffix("").parts
        self.module, self.text = ".".join(parts[:-1] if parts[-1] == "__init__" else parts), code
        super().__init__(self.module, str(path))

    def get_code(self, fullname):
        return compile(self.text, self.path, "exec", dont_inherit=True)

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.module else None


def plant(name: str, code: str, living: dict[CodeType, list[FunctionType]]) -> bool:
    """Give living functions the code of a mutant; False where some of what it changes runs at import only."""
    old, new = (compile(x, str(path_of(name)), "exec", dont_inherit=True) for x in (text_of(name), code))
    return _give(old, new, living, False)


def _give(old, new, living, reached) -> bool:
    if old == new:
        return True
    for function in living.get(old, []):
        function.__code__ = new
    inner = [[x for x in code.co_consts if isinstance(x, CodeType)] for code in (old, new)]
    outer = [(c.co_code, c.co_names, [repr(x) for x in c.co_consts if not isinstance(x, CodeType)]) for c in (old, new)]
    reached = reached or old in living
    alike = (reached or outer[0] == outer[1]) and len(inner[0]) == len(inner[1])
    return alike and all(_give(*pair, living, reached) for pair in zip(*inner))


def living_functions() -> dict[CodeType, list[FunctionType]]:
    """The functions of the package that exist in this process."""
    living = defaultdict(list)
    for x in gc.get_objects():
        if type(x) is FunctionType and x.__code__.co_filename.startswith(f"{SOURCES}/"):
            living[x.__code__].append(x)
    return living
