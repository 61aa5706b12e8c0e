"""A pickle reader that can build data and nothing else.

A pickle is a program. This one is interpreted here, over the opcodes that `pickletools` decodes
and against the closed list of names in `inert`, so no class of the file's choosing is ever
imported, called or given attributes.

Why not a subclass of `pickle.Unpickler`: its C form sets attributes on whatever `find_class`
returned, and sizes its memo by an index in the file (13 bytes are enough to ask for 16 GB).
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from engine.weights.inert import (
    BUILDERS,
    NAMES_ONLY,
    Array,
    Builder,
    Dtype,
    Global,
    ScriptModule,
    TFNetwork,
    UnreadableError,
    hashable,
    shown,
)

_ENCODE = Global("_codecs", "encode")
_FROM_BYTES = Global("torch.storage", "_load_from_bytes")
_INTEGER_BITS = 1024  # torch's magic number has 80; a seed may be long


def unpickle(
    stream: BytesIO,
    persistent: Callable[[object], object] | None = None,
    from_bytes: Callable[[bytes], object] | None = None,
    further: Callable[[Global], Builder | None] | None = None,
) -> object:
    """Read one pickle at the stream's position: a tree of plain values and `inert` records.

    persistent: gives what a persistent id stands for (torch's storages).
    from_bytes: reads a storage that was saved inside the pickle, as NVIDIA's files have them.
    further: gives what stands for a name beside those on the closed list, if anything does.
    Raises UnreadableError, naming what the pickle wanted if that is not on the list.
    """
    machine = _Machine(stream, persistent, from_bytes, further)
    try:
        return machine.run()
    except (ValueError, IndexError, KeyError, struct.error) as error:
        # What pickletools says of truncated and garbled opcodes, and our stack and memo of
        # programs that take more than they put.
        raise UnreadableError(f"its pickle is damaged ({shown(str(error))})") from error


class _Machine:
    """The pickle machine: a stack, marks on it, and a memo."""

    def __init__(
        self,
        stream: BytesIO,
        persistent: Callable[[object], object] | None,
        from_bytes: Callable[[bytes], object] | None,
        further: Callable[[Global], Builder | None] | None,
    ) -> None:
        self.stream = stream
        self.persistent = persistent
        self.further = further
        self.builders: dict[Global, Builder] = {**BUILDERS, _ENCODE: self._encode}
        if from_bytes is not None:
            self.builders[_FROM_BYTES] = lambda args: from_bytes(self._spend(args[0]))
        # Bytes that may pass through the two builders that can make much out of little, when a
        # short loop of opcodes gives them the same argument again and again.
        self.allowance = len(stream.getbuffer())
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        for opcode, argument, _ in pickletools.genops(self.stream):
            if opcode.name == "STOP":
                return self._pop()
            if opcode.name in _LITERALS:
                self._literal(argument)
            elif opcode.name in _CONSTANTS:
                self.stack.append(_CONSTANTS[opcode.name])
            elif opcode.name in _OPERATIONS:
                _OPERATIONS[opcode.name](self, argument)
            else:
                raise UnreadableError(f"its pickle uses {opcode.name}, which no checkpoint needs")
        raise UnreadableError("its pickle has no end")

    # Stack and memo

    def _pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise UnreadableError("its pickle takes more than it put")
        return self.stack.pop()

    def _top(self, kind: type | None = None) -> Any:
        top = self._pop()
        self.stack.append(top)
        if kind is not None and type(top) is not kind:
            raise UnreadableError(
                f"its pickle fills a {type(top).__name__} as if it were a {kind.__name__}"
            )
        return top

    def _pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _literal(self, value: Any) -> None:
        if isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
            raise UnreadableError("its pickle has an absurdly large integer")
        self.stack.append(value)

    def _mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def _put(self, index: int) -> None:
        self.memo[index] = self._top()

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self._top()

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def _duplicate(self, _: Any) -> None:
        self.stack.append(self._top())

    # Containers

    def _tuple_of(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))

    def _append(self, _: Any) -> None:
        item = self._pop()
        self._top(list).append(item)

    def _appends(self, _: Any) -> None:
        items = self._pop_mark()
        self._top(list).extend(items)

    def _set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._top(dict)[hashable(key)] = value

    def _set_items(self, _: Any) -> None:
        items = self._pop_mark()
        self._top(dict).update(_pairs(items))

    def _add_items(self, _: Any) -> None:
        items = self._pop_mark()
        self._top(set).update(map(hashable, items))

    # Names

    def _global(self, argument: str) -> None:
        self._name(*argument.split(" ", 1))

    def _instance(self, argument: str) -> None:
        self._global(argument)  # refuses by name what is not on the list, and that is what matters
        raise UnreadableError("its pickle uses INST, which no checkpoint needs")

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        self._name(module, name)

    def _name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnreadableError("its pickle names something by what is not text")
        wanted = Global(module, name)
        if wanted not in self.builders and wanted not in NAMES_ONLY:
            builder = self.further(wanted) if self.further else None
            if builder is None:
                raise UnreadableError(
                    f"its pickle wants {wanted}, which is not on the list of what is read"
                )
            self.builders[wanted] = builder
        self.stack.append(wanted)

    def _call(self, _: Any) -> None:
        args, wanted = self._pop(), self._pop()
        if not isinstance(wanted, Global) or wanted not in self.builders or type(args) is not tuple:
            raise UnreadableError("its pickle calls something that cannot be called")
        try:
            self.stack.append(self.builders[wanted](args))
        except (TypeError, ValueError, IndexError) as error:
            raise UnreadableError(f"its pickle gives {wanted} the wrong arguments") from error

    def _build(self, _: Any) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, Array | Dtype | ScriptModule | TFNetwork):
            target.set_state(state)
        elif type(target) is not dict:  # the attributes of a dictionary are dropped
            raise UnreadableError(f"its pickle sets attributes of a {type(target).__name__}")

    def _persistent(self, identity: object) -> None:
        if self.persistent is None:
            raise UnreadableError("its pickle refers to something outside itself")
        self.stack.append(self.persistent(identity))

    def _spend(self, payload: object) -> Any:
        size = len(payload) if isinstance(payload, bytes | str) else 0
        if size == 0 or size > self.allowance:
            raise UnreadableError("its pickle unfolds to more than the file holds")
        self.allowance -= size
        return payload

    def _encode(self, args: tuple[Any, ...]) -> bytes:
        """_codecs.encode(text, "latin1"): how protocol 2 writes bytes."""
        text, codec = args
        if not isinstance(text, str) or codec != "latin1":
            raise UnreadableError("its pickle encodes something else than bytes")
        return (self._spend(text) if text else "").encode("latin-1")


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise UnreadableError("its pickle has a key without a value")
    return dict(zip(map(hashable, items[::2]), items[1::2], strict=True))


_LITERALS = frozenset(
    {"INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
    | {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_OPERATIONS: Mapping[str, Callable[[_Machine, Any], object]] = {
    "PROTO": lambda machine, version: None,
    "FRAME": lambda machine, size: None,
    "MARK": _Machine._mark,
    "POP": lambda machine, _: machine._pop(),
    "POP_MARK": lambda machine, _: machine._pop_mark(),
    "DUP": _Machine._duplicate,
    "PUT": _Machine._put,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._memoize,
    "GET": _Machine._get,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_SET": lambda machine, _: machine.stack.append(set()),
    "LIST": lambda machine, _: machine.stack.append(machine._pop_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine._pop_mark())),
    "DICT": lambda machine, _: machine.stack.append(_pairs(machine._pop_mark())),
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "ADDITEMS": _Machine._add_items,
    "GLOBAL": _Machine._global,
    "INST": _Machine._instance,
    "STACK_GLOBAL": _Machine._stack_global,
    "REDUCE": _Machine._call,
    "NEWOBJ": _Machine._call,
    "BUILD": _Machine._build,
    "PERSID": _Machine._persistent,
    "BINPERSID": lambda machine, _: machine._persistent(machine._pop()),
}
