"""Reads what a Python source imports out of its syntax tree. Nothing of the source is imported or executed.

It knows names, not files: which of them are files of a job is for ``walk`` to find out.
"""

from __future__ import annotations

import ast
import enum
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

OLDEST_PYTHON: Final = (3, 11)
"""The oldest Python that a compute server runs jobs with."""

_IMPORTERS: Final = frozenset(
    {"importlib.import_module", "importlib.__import__", "builtins.__import__", "__import__"}
)
_COMPUTED: Final = frozenset(
    {
        "exec", "builtins.exec", "runpy.run_module", "runpy.run_path", "importlib.util.spec_from_file_location",
        "importlib.machinery.SourceFileLoader", "pkgutil.iter_modules", "pkgutil.walk_packages",
    }
)  # fmt: skip
_PATH_CALLS: Final = frozenset({"sys.path.insert", "sys.path.append", "sys.path.extend", "site.addsitedir"})
_CATCHING: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_EXITS: Final = frozenset({"sys.exit", "exit", "quit", "os._exit"})
_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[int, int], bool]]] = MappingProxyType(
    {
        ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
        ast.Gt: operator.gt, ast.GtE: operator.ge,
    }
)  # fmt: skip


class When(enum.IntEnum):
    """How certain an import is to run when its module is imported; the larger, the more certain."""

    GUARDED = 0
    """The code goes on without it: it catches ImportError."""
    PERHAPS = 1
    """It stands in a function or under a condition."""
    SURE = 2


@attrs.frozen
class Import:
    """One import: the module's dotted name, the leading dots as ``level``, and a from-import's ``names``.

    ``instead_of`` are the imports whose failure leads here, where it stands in an ``except ImportError``.
    """

    module: str
    line: int
    when: When = When.SURE
    level: int = 0
    names: tuple[str, ...] = ()
    instead_of: tuple[Import, ...] = ()


@attrs.frozen
class ModuleImports:
    """Everything that one module imports, in the order of its lines.

    ``computed`` are (line, call) of imports that no reader can see, ``path_changed`` is the first line that changes
    where Python looks, ``exports`` is what ``__all__`` lists.
    """

    imports: tuple[Import, ...]
    computed: tuple[tuple[int, str], ...] = ()
    path_changed: int | None = None
    exports: tuple[str, ...] = ()


class UnreadableSourceError(Exception):
    """The source is nested deeper than this interpreter can take apart."""


def read_imports(source: bytes, *, is_main: bool = False) -> ModuleImports:
    """Return the imports of a module; ``is_main`` when it is run as a script.

    Left out is what never runs in a job: under TYPE_CHECKING, under ``__name__ == "__main__"`` in a module that is
    imported, and under a test for a Python older than OLDEST_PYTHON. Raises SyntaxError, and UnreadableSourceError.
    """
    try:
        tree = _parsed(source)
        reader = _Reader(is_main, _aliases(tree))
        reader.read(tree)
    except (RecursionError, MemoryError):
        raise UnreadableSourceError from None
    return ModuleImports(
        imports=tuple(sorted(reader.imports, key=lambda found: found.line)),
        computed=tuple(sorted(reader.computed)),
        path_changed=min(reader.path_changes, default=None),
        exports=tuple(reader.exports),
    )


def _parsed(source: bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in somebody's string is no matter of ours
        try:
            return ast.parse(source)
        except ValueError as error:  # null bytes; from Python 3.12 a SyntaxError
            raise SyntaxError(str(error), ("", 1, None, None)) from None


def _aliases(tree: ast.Module) -> dict[str, str]:
    """What the names that imports bind stand for: ``from importlib import import_module as f`` binds f."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return aliases


@attrs.frozen
class _Context:
    """Under which circumstances a piece of code runs."""

    when: When = When.SURE
    instead_of: tuple[Import, ...] = ()

    def at_most(self, when: When) -> _Context:
        return attrs.evolve(self, when=min(self.when, when))


_Pieces = Iterator[tuple[ast.AST, _Context]]


class _Reader:
    """Goes through a tree with a stack of its own: no depth of nesting ends it."""

    def __init__(self, is_main: bool, aliases: Mapping[str, str]) -> None:
        self.imports: list[Import] = []
        self.computed: list[tuple[int, str]] = []
        self.path_changes: list[int] = []
        self.exports: list[str] = []
        self._is_main = is_main
        self._aliases = aliases

    def read(self, tree: ast.Module) -> None:
        pieces: list[tuple[ast.AST, _Context]] = [(tree, _Context())]
        while pieces:
            node, context = pieces.pop()
            self._note(node, context)
            pieces += self._inside(node, context)

    def _inside(self, node: ast.AST, context: _Context) -> _Pieces:
        """What may run inside ``node``, each piece with its circumstances."""
        match node:
            case ast.If(test, body, orelse):
                yield from self._branches(test, body, orelse, context)
            case ast.Try() | ast.TryStar():
                yield from self._attempt(node, context)
            case ast.With(items) if any(self._suppresses(item.context_expr) for item in items):
                yield from _each(ast.iter_child_nodes(node), context.at_most(When.GUARDED))
            case (
                ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() | ast.For() | ast.While() | ast.Match()
                | ast.IfExp() | ast.BoolOp()
            ):  # fmt: skip
                yield from _each(ast.iter_child_nodes(node), context.at_most(When.PERHAPS))
            case _:
                yield from _each(ast.iter_child_nodes(node), context)

    def _branches(
        self, test: ast.expr, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt], context: _Context
    ) -> _Pieces:
        holds = self._truth(test)
        yield test, context
        branch = context.at_most(When.PERHAPS) if holds is None else context
        if holds is not False:
            yield from _each(body, branch)
        if holds is not True:
            yield from _each(orelse, branch)

    def _attempt(self, node: ast.Try | ast.TryStar, context: _Context) -> _Pieces:
        guards = [
            handler for handler in node.handlers if self._goes_on(handler) and self._catches(handler.type)
        ]
        inside = context.at_most(When.GUARDED) if guards else context
        yield from _each([*node.body, *node.orelse], inside)
        tried = tuple(found for piece in node.body for found in _imported(piece))
        for handler in node.handlers:
            instead = tried if self._catches(handler.type) else ()
            fallback = attrs.evolve(context, instead_of=instead or context.instead_of)
            yield handler, fallback.at_most(When.PERHAPS)
        yield from _each(node.finalbody, context)

    def _note(self, node: ast.AST, context: _Context) -> None:
        match node:
            case ast.Import() | ast.ImportFrom():
                self.imports += [
                    attrs.evolve(found, when=context.when, instead_of=context.instead_of)
                    for found in _targets(node)
                ]
            case ast.Call():
                self._note_call(node, self._dotted(node.func), context)
            case ast.Assign(targets=targets, value=value):
                self._note_assignment(targets, value)
            case ast.AugAssign(target=target, value=value) | ast.AnnAssign(target=target, value=value):
                self._note_assignment([target], value)

    def _note_call(self, call: ast.Call, name: str, context: _Context) -> None:
        if name in _PATH_CALLS:
            self.path_changes.append(call.lineno)
        elif name in _IMPORTERS:
            found = _called_for(call, self._dotted)
            if found is None:
                self.computed.append((call.lineno, name))
            else:
                self.imports.append(attrs.evolve(found, when=context.when, instead_of=context.instead_of))
        elif name in _COMPUTED:
            self.computed.append((call.lineno, name))

    def _note_assignment(self, targets: Iterable[ast.expr], value: ast.expr | None) -> None:
        for target in targets:
            place = target.value if isinstance(target, ast.Subscript) else target
            if self._dotted(place) == "sys.path":
                self.path_changes.append(target.lineno)
            elif isinstance(place, ast.Name) and place.id == "__all__":
                self.exports += _texts(value)

    def _dotted(self, node: ast.expr) -> str:
        """The name that an expression such as ``il.import_module`` stands for; empty where it is no name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self._aliases.get(node.id, node.id), *reversed(parts)])

    def _catches(self, kinds: ast.expr | None) -> bool:
        """Whether an ``except`` clause, or the arguments of ``suppress``, catch a failed import."""
        if kinds is None:
            return True
        each = kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]
        return any(self._dotted(kind).removeprefix("builtins.") in _CATCHING for kind in each)

    def _goes_on(self, handler: ast.ExceptHandler) -> bool:
        """Whether the code survives an ``except``: one that always raises or exits is no way to do without."""
        for statement in handler.body:
            match statement:
                case ast.Raise():
                    return False
                case ast.Expr(ast.Call(func)) if self._dotted(func) in _EXITS:
                    return False
        return True

    def _suppresses(self, manager: ast.expr) -> bool:
        return (
            isinstance(manager, ast.Call)
            and self._dotted(manager.func) == "contextlib.suppress"
            and any(self._catches(kind) for kind in manager.args)
        )

    def _truth(self, test: ast.expr) -> bool | None:
        """Whether a condition holds in every job or in none; None where that depends."""
        match test:
            case ast.Constant(value):
                return bool(value)
            case ast.UnaryOp(ast.Not(), operand):
                holds = self._truth(operand)
                return None if holds is None else not holds
            case ast.BoolOp(op, values):
                decisive = isinstance(op, ast.Or)
                each = [self._truth(value) for value in values]
                if decisive in each:
                    return decisive
                return None if None in each else not decisive
            case ast.Compare(left, [op], [right]):
                return self._comparison(left, op, right)
            case ast.Name() | ast.Attribute() if self._dotted(test).rpartition(".")[2] == "TYPE_CHECKING":
                return False
        return None

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> bool | None:
        certain = {ast.GtE: True, ast.Lt: False}
        match left:
            case ast.Subscript(of, ast.Constant(0)) if self._dotted(of) == "sys.version_info":
                return _compared(OLDEST_PYTHON[0], op, right)
            case ast.Subscript(of, ast.Slice(None, ast.Constant(2), None)):
                left = of  # the oldest Python's first two numbers may equal what they are compared with
            case _:
                certain |= {ast.Gt: True, ast.LtE: False}
        match self._dotted(left), right:
            case "__name__", ast.Constant("__main__") if isinstance(op, ast.Eq):
                return self._is_main
            case "sys.version_info.major", _:
                return _compared(OLDEST_PYTHON[0], op, right)
            case "sys.version_info", ast.Tuple(parts) if not _newer(parts):
                return certain.get(type(op))
        return None


def _compared(number: int, op: ast.cmpop, right: ast.expr) -> bool | None:
    if type(op) in _COMPARE and isinstance(right, ast.Constant) and isinstance(right.value, int):
        return _COMPARE[type(op)](number, right.value)
    return None


def _newer(parts: Sequence[ast.expr]) -> bool:
    """Whether a version such as ``(3, 12)`` may be newer than the oldest Python that runs jobs."""
    numbers = [part.value if isinstance(part, ast.Constant) else None for part in parts[:2]]
    known = tuple(number for number in numbers if isinstance(number, int))
    return len(known) < len(numbers) or known > OLDEST_PYTHON or (known == OLDEST_PYTHON and len(parts) > 2)


def _each(nodes: Iterable[ast.AST], context: _Context) -> _Pieces:
    return ((node, context) for node in nodes)


def _imported(piece: ast.stmt) -> Iterator[Import]:
    for node in ast.walk(piece):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _targets(node)


def _targets(node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, node.lineno)
        return
    names = tuple(alias.name for alias in node.names)
    yield Import(node.module or "", node.lineno, level=node.level, names=names)


def _called_for(call: ast.Call, dotted: Callable[[ast.expr], str]) -> Import | None:
    """What ``import_module("literal")`` imports; None where the name is computed."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    match arguments:
        case [ast.Constant(str(name)), *_] if name and not name.startswith("."):
            return Import(name, call.lineno)
        case [ast.Constant(str(name)), package] if name.strip(".") and dotted(package) == "__package__":
            module = name.lstrip(".")
            return Import(module, call.lineno, level=len(name) - len(module))
    return None


def _texts(value: ast.expr | None) -> list[str]:
    """The texts of a literal list; what is computed has none."""
    if not isinstance(value, ast.List | ast.Tuple):
        return []
    return [
        each.value for each in value.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
