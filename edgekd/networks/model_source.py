"""``--model``: which network a lone checkpoint belongs to, and what its source says of its input.

::

    timm:NAME?num_classes=10            a file of ``model_sources/``, by the part before the colon
    torchvision:NAME
    path.py:function?width=64           a function, or a class, of a Python file
    package.module:function             of an installed package, or of one in the current folder
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

from torch import nn

from edgekd.core import family
from edgekd.core.errors import InputError
from edgekd.core.input_contract import InputContract
from edgekd.core.recipe import literal
from edgekd.networks.checkpoint import as_module, import_file

FAMILY = "networks.model_sources"
_FORMS = "timm:NAME, torchvision:NAME, path.py:function or package.module:function, each with ?argument=value"


@dataclass(frozen=True, slots=True)
class SourcedModel:
    """A network and what its source knows of it.

    Attributes:
        module: In eval mode, with fresh weights.
        input: What the source says of the input; all None where it says nothing.
        classes: Names of the classes in the order of the outputs; () where the source names none.
    """

    module: nn.Module
    input: InputContract = field(default_factory=InputContract)
    classes: tuple[str, ...] = ()


def build_model(text: str) -> SourcedModel:
    """Build the network that ``--model`` names, without weights.

    Raises:
        InputError: The text has another form, there is no such network, or it does not take the arguments.
        MissingDependency: The library is not installed.
    """
    name, _, query = text.partition("?")
    where, colon, target = name.rpartition(":")
    if not colon or not where or not target:
        raise InputError(f"--model {text!r}; one of {_FORMS} was expected")
    arguments = {key: literal(value) for key, value in parse_qsl(query, keep_blank_values=True)}
    if where in family.names(FAMILY):
        source = family.load(FAMILY, where)
        module = as_module(_called(lambda **given: source.build(target, given), arguments, text), text)
        return SourcedModel(
            module, source.input_contract(module, target, arguments), source.class_names(target, arguments)
        )
    build = _function(_module(where, text), target, text)
    try:
        inspect.signature(build).bind(**arguments)
    except TypeError as err:
        raise InputError(
            f"--model {text!r}: {target}{inspect.signature(build)} was given {arguments or 'no arguments'} ({err}); "
            "give its arguments as ?name=value"
        ) from err
    return SourcedModel(as_module(build(**arguments), text))


def _called(build: Callable[..., Any], arguments: Mapping[str, Any], text: str) -> Any:
    """Call a library's builder; what it raises at wrong arguments is the user's."""
    try:
        return build(**arguments)
    except (TypeError, ValueError, AssertionError, KeyError, RuntimeError) as err:
        raise InputError(f"--model {text!r} cannot be built ({' '.join(str(err).split())[:160]})") from err


def _module(where: str, text: str) -> ModuleType:
    if where.endswith(".py"):
        return import_file(Path(where), f"edgekd_model_{Path(where).stem}")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # a console script does not look there by itself; last, to shadow nothing
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as err:
        known = ", ".join(family.names(FAMILY))
        raise InputError(
            f"--model {text!r}: there is no module {err.name!r} and no library of that name among {known}; install it, "
            "or run edgekd where its file lies"
        ) from err


def _function(module: ModuleType, name: str, text: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if not callable(found):
        raise InputError(
            f"--model {text!r}: there is no {name!r} to call; a function or class that builds it was expected"
        )
    return found  # type: ignore[no-any-return]
