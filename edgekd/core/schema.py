"""A strict parser of plain data (TOML, JSON) into frozen dataclasses: unknown keys and wrong types are errors.

The annotation of a field is its schema: int, float, bool, str, Literal, tuple, Mapping, Optional and nested
dataclasses. Messages name the full key, the value found, and what was expected.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from edgekd.core.errors import RecipeError, nearest

T = TypeVar("T")


def parse(cls: type[T], table: Any, where: str) -> T:
    """Build ``cls`` from ``table``.

    Args:
        cls: A dataclass; fields without a default are required keys.
        table: Plain data, as a TOML or JSON reader returns it.
        where: The table's key path in messages ("distill.student").

    Raises:
        RecipeError: A key is unknown or missing, or a value has the wrong type.
    """
    if not isinstance(table, Mapping):
        raise RecipeError(f"{where} is {_found(table)}; a table was expected: [{where}]")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise RecipeError(
                f"unknown key {where}.{key}{nearest(key, fields)}; [{where}] takes {', '.join(fields) or 'no keys'}"
            )
    hints = _type_hints(cls)  # type: ignore[arg-type]
    values = {key: _value(hints[key], value, f"{where}.{key}") for key, value in table.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise RecipeError(f"{where}.{name} is missing; [{where}] needs it")
    try:
        return cls(**values)
    except RecipeError as err:  # from __post_init__: a section checks its own bounds
        raise RecipeError(f"{where}.{err}") from err


@functools.cache
def _type_hints(cls: type) -> dict[str, Any]:
    """Return a dataclass's annotations as types; each is a string that has to be compiled, so once a class."""
    return typing.get_type_hints(cls)


def to_plain(value: Any) -> Any:
    """Turn a dataclass back into plain data, for digests and manifests; tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _union(args, value, where)
    if origin is typing.Literal:
        if value not in args or isinstance(value, bool):
            hint = nearest(str(value), map(str, args))
            raise RecipeError(f"{where} = {_found(value)}{hint}; one of {', '.join(map(repr, args))} was expected")
        return value
    if origin is tuple:
        return _tuple(args, value, where)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise RecipeError(f"{where} = {_found(value)}; a table was expected")
        return {str(key): _value(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return parse(hint, value, where)  # type: ignore[arg-type]
    return _scalar(hint, value, where)


def _scalar(hint: type, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as err:
            raise RecipeError(f"{where} = {_found(value)} is too large for a number") from err
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise RecipeError(f"{where} = {_found(value)}; {_NAMES.get(hint, hint.__name__)} was expected")
    return value


def _union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    options = [option for option in args if option is not types.NoneType]
    if len(options) == 1 and value is not None:
        return _value(options[0], value, where)  # its own message says most
    for option in args:
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return parse(option, value, where)  # type: ignore[arg-type]
        try:
            return (
                _value(option, value, where) if option is not types.NoneType else _scalar(types.NoneType, value, where)
            )
        except RecipeError:
            continue
    names = " or ".join(_NAMES.get(option, getattr(option, "__name__", str(option))) for option in args)
    raise RecipeError(f"{where} = {_found(value)}; {names} was expected")


def _tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise RecipeError(f"{where} = {_found(value)}; a list was expected")
    if len(args) == 2 and args[1] is Ellipsis:
        if args[0] is int and all(type(item) is int for item in value):
            return tuple(value)  # fast path: results hold hundreds of thousands of latencies
        return tuple(_value(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(args):
        raise RecipeError(f"{where} has {len(value)} items, {len(args)} were expected")
    return tuple(_value(arg, item, f"{where}[{i}]") for i, (arg, item) in enumerate(zip(args, value, strict=True)))


def _found(value: Any) -> str:
    text = repr(value)
    return f"{text[:60]}… ({type(value).__name__})" if len(text) > 60 else f"{text} ({type(value).__name__})"


_NAMES: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
    types.NoneType: "nothing",
}
