"""Says whether a module defines what a study names, and takes what it is called with, as far as its source tells.

Nothing is imported: what the syntax tree does not show, such as what a decorator makes of a function, is let through.
"""

import ast
import difflib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from greenopt.identity.sources import Source, located, module_roots


class Call(NamedTuple):
    """How a function is called.

    Attributes:
        positional: what its first arguments are, in their order.
        named: parameters of [space], which are given by name.
        without: said of a further argument that has no default.
    """

    positional: Sequence[str]
    named: Sequence[str]
    without: str


def definition_problem(module: str, name: str, folder: str | None, call: Call | None = None) -> str | None:
    """Return why a module cannot give a function or a class, as far as its source tells; None where it may.

    Args:
        module: its dotted name; it can be found.
        name: what it is to define.
        folder: the study's folder; see `module_roots`.
        call: how it is called, where that is to be looked at.
    """
    source = located(module, module_roots(folder))
    if source is None or source.file.suffix != ".py":
        return None
    try:
        tree = ast.parse(source.file.read_bytes())
    except SyntaxError as error:
        return f"{source.file}: line {error.lineno}: {error.msg}"
    except (OSError, ValueError, RecursionError):
        return None
    defined = _defined(tree.body)
    if name not in defined and defined.isdisjoint(("*", "__getattr__")):
        close = difflib.get_close_matches(name, sorted(defined), n=1)
        hint = f"; did you mean {module}:{close[0]}?" if close else ""
        return f"{source.file.name} defines no {name}{hint}"
    function = _function(tree.body, name)
    return None if function is None else _function_problem(function, source, call)


def _function(body: Sequence[ast.stmt], name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return a function that is defined once, at the top of a module, and as it stands there."""
    found = [each for each in body if name in _defined([each])]
    if len(found) != 1 or not isinstance(found[0], ast.FunctionDef | ast.AsyncFunctionDef) or found[0].decorator_list:
        return None
    return found[0]


def _function_problem(
    function: ast.FunctionDef | ast.AsyncFunctionDef, source: Source, call: Call | None
) -> str | None:
    where = f"{source.file.name}: line {function.lineno}: {function.name}"
    if isinstance(function, ast.AsyncFunctionDef):
        return f"{where} is an async function, which would return before its work is done; define it without async"
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own_nodes(function)):
        return f"{where} yields, so that it would return before its work is done; return its result"
    problem = None if call is None else _call_problem(function.args, call)
    return None if problem is None else f"{where} {problem}"


def _own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Yield what belongs to a function itself, not to one that is defined in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)


def _call_problem(taken: ast.arguments, call: Call) -> str | None:
    ordered = [argument.arg for argument in (*taken.posonlyargs, *taken.args)]
    count = len(call.positional)
    if len(ordered) < count and taken.vararg is None:
        return f"is called with {' and '.join(call.positional)}, and takes {_counted(ordered)}"
    by_name = [name for name in ordered[count:] if name not in {each.arg for each in taken.posonlyargs}]
    by_name += [argument.arg for argument in taken.kwonlyargs]
    for name in call.named:
        if name in ordered[:count]:
            return f"gets {name} already; rename the parameter of [space]"
        if name not in by_name and taken.kwarg is None:
            close = difflib.get_close_matches(name, by_name, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            return f"takes no {name}, which is a parameter of [space]{hint}"
    without = ordered[count : len(ordered) - len(taken.defaults)]
    without += [each.arg for each, by in zip(taken.kwonlyargs, taken.kw_defaults, strict=True) if by is None]
    missing = [name for name in without if name not in call.named]
    return f"needs {', '.join(missing)} too, {call.without}" if missing else None


def _counted(names: Sequence[str]) -> str:
    return f"{', '.join(names)} alone" if names else "nothing"


def _defined(body: Sequence[ast.stmt]) -> set[str]:
    """Return the names that statements of a module define; `*` where they cannot all be seen."""
    found: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(statement.name)
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.alias):
                found.add((node.asname or node.name).partition(".")[0])
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name):
                # A call of globals() or exec may define anything.
                found |= {"*"} if node.id in ("globals", "exec", "setattr") else set()
                found |= {node.id} if isinstance(node.ctx, ast.Store) else set()
    return found
