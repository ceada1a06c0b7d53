"""The mutants of a module: its text with one small change each.

The changes are mutmut's (a library of mutation operators over libcst); only where they are applied
is decided here, and that is everywhere but in imports, annotations, decorators and `__all__`. The
runner that mutmut has switches mutants on and off inside undecorated functions. It would leave
alone what this project is about: the primitives with their hand-derived gradients, and its tables.
"""

import ast
import difflib
import hashlib
from collections.abc import Iterator
from itertools import chain

import libcst as cst
from ledger import Mutant
from libcst.metadata import MetadataWrapper, WhitespaceInclusivePositionProvider
from mutmut.mutation.mutators import mutation_operators

Found = list[tuple[cst.CSTNode, cst.CSTNode]]


class _Changes(cst.CSTVisitor):
    """All (node, what it becomes) of a module. Of the ways to spell a string wrongly one is
    enough."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Found = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                changed = list(operator(node))
                most = 1 if isinstance(node, cst.BaseString) else None
                self.found += [(node, new) for new in changed[:most]]
        return True


def mutants(module: str, text: str) -> Iterator[Mutant]:
    """Every mutant of a module (its path and its text), in the order of the text. What is no
    Python, or the same program, or a mutant that was there before, is left out."""
    wrapper = MetadataWrapper(cst.parse_module(text))
    spans = wrapper.resolve(WhitespaceInclusivePositionProvider)
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def span(node: cst.CSTNode) -> tuple[int, int]:
        start, end = spans[node].start, spans[node].end
        return lines[start.line - 1] + start.column, lines[end.line - 1] + end.column

    for statement in wrapper.module.body:
        first, last = span(statement)
        place, seen = _place(statement), {_program(text[first:last])}
        visitor = _Changes()
        if place != "__all__":
            statement.visit(visitor)
        for node, new in visitor.found:
            start, end = span(node)
            changed = text[first:start] + wrapper.module.code_for_node(new) + text[end:last]
            program = _program(changed)
            if program is None or program in seen:
                continue
            seen.add(program)
            was, becomes = _difference(text[first:last], changed)
            key = hashlib.sha256(f"{module}\n{changed}".encode()).hexdigest()[:16]
            whole = text[:first] + changed + text[last:]
            yield Mutant(module, place, was, becomes, whole, key)


def _place(statement: cst.CSTNode) -> str:
    """The name that a statement at a module's top defines, or the function that it calls."""
    if isinstance(statement, cst.FunctionDef | cst.ClassDef):
        return statement.name.value
    small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else statement
    if isinstance(small, cst.Assign):
        small = small.targets[0].target
    elif isinstance(small, cst.AnnAssign):
        small = small.target
    elif isinstance(small, cst.Expr) and isinstance(small.value, cst.Call):
        small = small.value.func
    return cst.Module([]).code_for_node(small).strip().split("\n")[0][:40]


def _program(text: str) -> str | None:
    """What Python reads in a statement; None when it cannot."""
    try:
        tree = ast.parse(text.strip())
        compile(tree, "mutant", "exec")
    except (SyntaxError, ValueError):
        return None
    return ast.dump(tree)


def _difference(old: str, new: str) -> tuple[str, str]:
    """The lines that were and that became, without indentation and comments' alignment."""
    before, after = ([line.strip() for line in text.splitlines()] for text in (old, new))
    edits = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    parts = [(before[a:b], after[c:d]) for tag, a, b, c, d in edits if tag != "equal"]
    was, becomes = zip(*parts, strict=True)
    return "\n".join(chain(*was)), "\n".join(chain(*becomes))
