"""Kernel text: the part of Python that kernels are written in, and how it becomes instructions.

A text is run once, from top to bottom, by the rules of Python. What is known by then (flags,
constants, which gradients are written) is decided and leaves nothing behind. What is in a register
emits an instruction: an `if` both its branches, a loop its body once. A function is emitted where
it is called.

Variables stand in memory of the kernel's own, which LLVM turns into registers. In a branch or a
loop a variable keeps the type that it has. Python's integers and floats are int64 and float64,
unless their partner in an operation has another type.
"""

from __future__ import annotations

import ast
import linecache
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from inspect import signature
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

from llvmlite import ir

from onepass.runtime.cpu import disk
from onepass.runtime.cpu.registers import (
    BITS32,
    BITS64,
    Pointer,
    Register,
    constant,
    in_type,
    truth,
    where,
    wider,
)

_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class TextError(TypeError):
    """A kernel's text that means nothing."""


class Slot(NamedTuple):
    """Where a variable stands."""

    address: Any
    type: ir.Type


class Loop(NamedTuple):
    """Where `continue` and `break` go."""

    again: ir.Block
    behind: ir.Block


class Text:
    """A kernel's text: what its names stand for."""

    def __init__(self, source: str, words: Mapping[str, Any], path: Path | None = None) -> None:
        self.names = executed(source, words, path)
        functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        self.functions = {node.name: node for node in functions}

    def emit(self, builder: Any, arguments: Sequence[Any]) -> None:
        """The instructions of its kernel."""
        kernel = self.names["kernel"]
        bound = signature(kernel).bind(*arguments)
        Body(self, builder, self.functions[kernel.__name__], bound.arguments).emit()


def executed(source: str, words: Mapping[str, Any], path: Path | None = None) -> dict[str, Any]:
    """What the names of a text stand for, where its own words stand for these."""
    file = str(path) if path else f"<onepass {disk.key(source)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = dict(words)
    exec(compile(source, file, "exec"), names)
    return names


def is_over(builder: Any) -> bool:
    """Whether the block that it stands in goes elsewhere already."""
    return builder.block.is_terminated


class Body:
    """A function's body, emitted where it is called."""

    def __init__(
        self, text: Text, builder: Any, node: ast.FunctionDef, arguments: dict[str, Any]
    ) -> None:
        self._text, self._build, self._node = text, builder, node
        self._names: dict[str, Any] = {}  # a Slot, or what is known
        self._loops: list[Loop] = []
        self._depth = 0  # of branches that may not be taken
        self._end: ir.Block | None = None  # where early returns go
        self._results: list[Slot] = []
        self._result: Any = None
        assigned = _assigned(node)
        for name, value in arguments.items():
            if name in assigned:
                self._assign(name, value)
            else:
                self._names[name] = value

    def emit(self) -> Any:
        """The instructions of its body; what it returns."""
        self._run(self._node.body)
        if self._end is None:
            return self._result
        self._go(self._end)
        self._build.position_at_end(self._end)
        results = [self._load(slot) for slot in self._results]
        return results[0] if len(results) == 1 else tuple(results)

    # Statements

    def _run(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            if is_over(self._build):
                return
            try:
                _meaning(_STATEMENTS, statement)(self, statement)
            except TextError:
                raise
            except (TypeError, NameError) as error:
                line = ast.unparse(statement).splitlines()[0]
                raise TextError(f"{error}, in `{line}`") from error

    def _expression(self, statement: ast.Expr) -> None:
        self._value(statement.value)

    def _assignment(self, statement: ast.Assign) -> None:
        (target,) = statement.targets
        value = self._value(statement.value)
        if isinstance(target, ast.Tuple):
            for name, each in zip(target.elts, value, strict=True):
                self._assign(_name(name), each)
        else:
            self._assign(_name(target), value)

    def _pass(self, _: ast.Pass) -> None:
        pass

    def _if(self, statement: ast.If) -> None:
        test = self._value(statement.test)
        if not isinstance(test, Register):
            self._run(statement.body if test else statement.orelse)
            return
        then, otherwise, behind = (self._block() for _ in range(3))
        self._build.cbranch(truth(test).value, then, otherwise)
        for block, body in ((then, statement.body), (otherwise, statement.orelse)):
            self._branch(block, body, behind)
        self._build.position_at_end(behind)

    def _while(self, statement: ast.While) -> None:
        again, body, behind = (self._block() for _ in range(3))
        self._go(again)
        self._build.position_at_end(again)
        test = self._value(statement.test)
        if isinstance(test, Register):
            self._build.cbranch(truth(test).value, body, behind)
        else:
            self._go(body if test else behind)
        self._loops.append(Loop(again, behind))
        self._branch(body, statement.body, again)
        self._loops.pop()
        self._build.position_at_end(behind)

    def _for(self, statement: ast.For) -> None:
        start, stop, step = self._range(statement.iter)
        count = self._slot(BITS64)
        self._store(count, start)
        again, body, following, behind = (self._block() for _ in range(4))
        self._go(again)
        self._build.position_at_end(again)
        self._build.cbranch((self._load(count) < stop).value, body, behind)
        self._build.position_at_end(body)
        self._assign(_name(statement.target), self._load(count))
        self._loops.append(Loop(following, behind))
        self._branch(body, statement.body, following)
        self._loops.pop()
        self._build.position_at_end(following)
        following_count = self._build.add(self._load(count).value, step.value, flags=("nsw",))
        self._build.store(following_count, count.address)
        self._go(again)
        self._build.position_at_end(behind)

    def _break(self, _: ast.Break) -> None:
        self._go(self._loops[-1].behind)

    def _continue(self, _: ast.Continue) -> None:
        self._go(self._loops[-1].again)

    def _return(self, statement: ast.Return) -> None:
        result = None if statement.value is None else self._value(statement.value)
        if self._end is None and statement is self._node.body[-1]:
            self._result = result
            return
        results = result if isinstance(result, tuple) else (result,)
        if self._end is None:
            self._end = self._block()
            self._results = [self._slot(self._register(each).type) for each in results]
        for slot, each in zip(self._results, results, strict=True):
            self._store(slot, each)
        self._go(self._end)

    def _range(self, call: ast.expr) -> tuple[Register, Register, Register]:
        """Where a loop starts and stops, and its step, which is above 0."""
        assert isinstance(call, ast.Call)
        limits = [self._register(self._value(each)).convert(BITS64) for each in call.args]
        start, *rest = limits if len(limits) > 1 else (constant(self._build, 0), *limits)
        stop, step = rest if len(rest) > 1 else (*rest, constant(self._build, 1))
        return start, stop, step

    # Variables

    def _assign(self, name: str, value: Any) -> None:
        """Pointers are known; numbers, which a loop may change, stand in memory."""
        if isinstance(value, Pointer):
            if self._depth:
                raise TypeError(f"`{name}` may or may not be another pointer")
            self._names[name] = value
            return
        slot = self._names.get(name)
        if not (self._depth and isinstance(slot, Slot)):
            slot = self._names[name] = self._slot(self._register(value).type)
        self._store(slot, value)

    def _slot(self, kind: ir.Type) -> Slot:
        with self._build.goto_entry_block():
            return Slot(self._build.alloca(kind), kind)

    def _store(self, slot: Slot, value: Any) -> None:
        kind = value.type if isinstance(value, Register) else slot.type
        if kind != slot.type and (kind, slot.type) != (BITS32, BITS64):
            raise TypeError(f"{kind} does not become {slot.type}")
        self._build.store(in_type(self._build, value, slot.type).value, slot.address)

    def _load(self, slot: Slot) -> Register:
        return Register(self._build, self._build.load(slot.address))

    def _register(self, value: Any) -> Register:
        return value if isinstance(value, Register) else constant(self._build, value)

    # Blocks

    def _block(self) -> ir.Block:
        return self._build.append_basic_block()

    def _go(self, block: ir.Block) -> None:
        if not is_over(self._build):
            self._build.branch(block)

    def _branch(self, block: ir.Block, body: Sequence[ast.stmt], behind: ir.Block) -> None:
        """What runs only sometimes, and where it goes from there."""
        self._build.position_at_end(block)
        self._depth += 1
        self._run(body)
        self._depth -= 1
        self._go(behind)

    def _choice(
        self, test: Register, then: Callable[[], Any], otherwise: Callable[[], Any]
    ) -> Register:
        """One of two values, of which only that one is computed."""
        blocks, behind = (self._block(), self._block()), self._block()
        self._build.cbranch(truth(test).value, *blocks)
        ends, values = [], []
        for block, value in zip(blocks, (then, otherwise), strict=True):
            self._build.position_at_end(block)
            values.append(value())
            ends.append(self._build.block)
        slot = self._slot(self._common_type(values))
        for end, value in zip(ends, values, strict=True):
            self._build.position_at_end(end)
            self._store(slot, value)
            self._build.branch(behind)
        self._build.position_at_end(behind)
        return self._load(slot)

    def _common_type(self, values: Sequence[Any]) -> ir.Type:
        """That of registers, or else of Python's numbers."""
        registers = [each for each in values if isinstance(each, Register)]
        return reduce(wider, [self._register(each).type for each in registers or values])

    # Expressions

    def _value(self, node: ast.expr) -> Any:
        return _meaning(_EXPRESSIONS, node)(self, node)

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _name(self, node: ast.Name) -> Any:
        for names in (self._names, self._text.names, _BUILT_IN):
            if node.id in names:
                value = names[node.id]
                return self._load(value) if isinstance(value, Slot) else value
        raise NameError(f"`{node.id}` has no meaning")

    def _tuple(self, node: ast.Tuple) -> Any:
        return tuple(map(self._value, node.elts))

    def _arithmetic(self, node: ast.BinOp) -> Any:
        return _meaning(_BINARY, node.op)(self._value(node.left), self._value(node.right))

    def _unary(self, node: ast.UnaryOp) -> Any:
        value = self._value(node.operand)
        if isinstance(node.op, ast.USub):
            return -value
        return self._text.names["logical_not"](value)

    def _comparison(self, node: ast.Compare) -> Any:
        values = list(map(self._value, (node.left, *node.comparators)))
        pairs = zip(node.ops, values[:-1], values[1:], strict=True)
        first, *others = [_meaning(_COMPARISONS, op)(a, b) for op, a, b in pairs]
        for each in others:
            first = self._text.names["logical_and"](first, each)
        return first

    def _logic(self, node: ast.BoolOp) -> Any:
        first, *others = node.values
        ends_with = isinstance(node.op, ast.Or)  # what decides, without the others
        value = self._value(first)
        if not others:
            return value
        rest = ast.BoolOp(node.op, others)
        if not isinstance(value, Register):
            return value if value is ends_with else self._value(rest)
        sides = (lambda: self._value(rest)), (lambda: ends_with)
        return self._choice(value, *(reversed(sides) if ends_with else sides))

    def _conditional(self, node: ast.IfExp) -> Any:
        test = self._value(node.test)
        if not isinstance(test, Register):
            return self._value(node.body if test else node.orelse)
        return self._choice(test, lambda: self._value(node.body), lambda: self._value(node.orelse))

    def _call(self, node: ast.Call) -> Any:
        function = self._value(node.func)
        arguments = [self._value(each) for each in node.args]
        named = {str(each.arg): self._value(each.value) for each in node.keywords}
        if not isinstance(function, FunctionType) or function.__name__ not in self._text.functions:
            return function(*arguments, **named)
        bound = signature(function).bind(*arguments, **named)
        bound.apply_defaults()
        callee = self._text.functions[function.__name__]
        return Body(self._text, self._build, callee, bound.arguments).emit()


_STATEMENTS: dict[type, Callable[[Body, Any], None]] = {
    ast.Expr: Body._expression,
    ast.Assign: Body._assignment,
    ast.Pass: Body._pass,
    ast.If: Body._if,
    ast.While: Body._while,
    ast.For: Body._for,
    ast.Break: Body._break,
    ast.Continue: Body._continue,
    ast.Return: Body._return,
}
_EXPRESSIONS: dict[type, Callable[[Body, Any], Any]] = {
    ast.Constant: Body._constant,
    ast.Name: Body._name,
    ast.Tuple: Body._tuple,
    ast.BinOp: Body._arithmetic,
    ast.UnaryOp: Body._unary,
    ast.Compare: Body._comparison,
    ast.BoolOp: Body._logic,
    ast.IfExp: Body._conditional,
    ast.Call: Body._call,
}


def _meaning(meanings: Mapping[type, Callable[..., Any]], node: ast.AST) -> Callable[..., Any]:
    try:
        return meanings[type(node)]
    except KeyError:
        raise TypeError(f"kernel text has no {type(node).__name__}") from None


def _name(target: ast.expr) -> str:
    assert isinstance(target, ast.Name)
    return target.id


def _assigned(node: ast.FunctionDef) -> set[str]:
    """The names that a function gives a value."""
    names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


def _larger(a: Any, b: Any) -> Any:
    """Python's max."""
    return where(b > a, b, a)


def _smaller(a: Any, b: Any) -> Any:
    return where(b < a, b, a)


_BUILT_IN = {"max": _larger, "min": _smaller}
