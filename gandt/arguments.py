"""Arguments of public functions, held against their annotations.

:func:`checked` is for functions that users call: an argument of a wrong type becomes one sentence that names the
function, the parameter, the type wanted and the type given, and not a traceback from deep inside. What is obviously
meant is taken: a :class:`~pathlib.Path` for a text, a column or an array for a sequence, the path of an embedding
store for the store (anything with an ``open``). The annotation alone says what is wanted; nothing is stated twice. A
missing or unknown argument stays Python's own ``TypeError``.
"""

import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

from gandt.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

# clients of boto3 have no type of their own before they are made: known by the parameter's name and by what they do
_CLIENTS = {"s3": ("a boto3 S3 client", "get_object"), "sagemaker": ("a boto3 SageMaker client", "list_labeling_jobs")}
_FROM_NUMPY = ("ndarray", "Series", "Index")


class _WrongTypeError(Exception):
    """``given`` (words) stands where another type was wanted."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function refuse arguments whose type isn't the annotated one.

    Elements of sequences and mappings are looked at too; iterators aren't, as that would use them up. A DataFrame in
    which two columns have one name is refused, by that name.

    Raises
    ------
    InputError
        From the decorated function, before anything in it runs.
    """
    signature, title = inspect.signature(function), function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        hints = _hints(function)
        for name, value in bound.arguments.items():
            hint, place = hints.get(name, Any), f"{title}: {name}"
            if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                for each, inner in value.items():
                    value[each] = _taken(inner, hint, f"{title}: {each}", each)
            elif signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(_taken(inner, hint, place, name) for inner in value)
            else:
                bound.arguments[name] = _taken(value, hint, place, name)
        return function(*bound.args, **bound.kwargs)

    return call


def require_columns(table: Any, name: str, *columns: str) -> None:
    """Refuse a table that lacks a column.

    Parameters
    ----------
    table : DataFrame
    name : str
        What it holds, such as ``labels``.

    Raises
    ------
    InputError
        Names the first one that isn't there, and those that are.
    """
    for column in columns:
        if column not in table.columns:
            has = ", ".join(map(str, table.columns)) or "none"
            raise InputError(f"the table of {name} lacks the column {column}; it has {has}")


@functools.cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(inspect.unwrap(function))


def _taken(value: Any, hint: Any, place: str, name: str) -> Any:
    """Return the argument as the function gets it."""
    if hint is Any and name in _CLIENTS:
        wanted, method = _CLIENTS[name]
        if value is not None and not hasattr(value, method):
            raise InputError(f"{place} must be {wanted} or None, not {_kind(value)}")
        return value
    try:
        found = _fit(value, hint)
    except _WrongTypeError as error:
        raise InputError(f"{place} must be {_words(hint)}, not {error.given}") from None
    if _is(value, "DataFrame") and not value.columns.is_unique:
        twice = value.columns[value.columns.duplicated()][0]
        raise InputError(f"{place} is a table with several columns {twice!r}; keep one of them, or rename them")
    return found


def _fit(value: Any, hint: Any) -> Any:
    """Return ``value`` as ``hint`` wants it: mostly itself.

    Raises
    ------
    _WrongTypeError
        When it isn't of that type.
    """
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (Any, object) or isinstance(hint, (TypeVar, str)):
        return value
    if origin in (typing.Union, types.UnionType):
        return _fit_one_of(value, inner)
    if origin is typing.Literal:
        good = value in inner
    elif origin in (None, types.NoneType):
        good = value is None
    elif origin is bool:
        good = isinstance(value, bool) or _is(value, "bool")
    elif origin in (int, float):
        good = isinstance(value, Integral if origin is int else Real) and not isinstance(value, bool)
    elif origin is str and isinstance(value, os.PathLike):
        return os.fsdecode(value)
    elif origin is Callable:
        good = callable(value)
    elif origin in (Mapping, dict):
        return _fit_mapping(value, *(inner or (Any, Any)))
    elif origin in (Sequence, Collection, Iterable, list, tuple):
        return _fit_row(value, origin, inner)
    elif _is_class(origin, "ndarray"):
        return _fit_array(value)
    elif getattr(origin, "_is_protocol", False):
        runtime = getattr(origin, "_is_runtime_protocol", False)
        good = callable(value) if "__call__" in vars(origin) else not runtime or isinstance(value, origin)
    elif inspect.isclass(origin):
        if isinstance(value, (str, os.PathLike)) and not isinstance(value, origin) and hasattr(origin, "open"):
            return origin.open(os.fspath(value))
        good = isinstance(value, origin)
    else:
        return value
    if not good:
        raise _WrongTypeError(_kind(value))
    return value


def _fit_one_of(value: Any, hints: Sequence[Any]) -> Any:
    said = _kind(value)
    for hint in hints:
        try:
            return _fit(value, hint)
        except _WrongTypeError as error:
            said = error.given if " with " in error.given else said  # it was of this kind, but for an element
    raise _WrongTypeError(said)


def _fit_mapping(value: Any, key: Any, inner: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _WrongTypeError(_kind(value))
    try:
        found = {_fit(name, key): _fit(each, inner) for name, each in value.items()}
    except _WrongTypeError as error:
        raise _WrongTypeError(f"{_kind(value)} with {error.given}") from None
    same = all(name in found and found[name] is each for name, each in value.items())
    return value if same else found


def _fit_row(value: Any, origin: Any, inner: Sequence[Any]) -> Any:
    """Check a sequence, a collection or an iterable, and its elements where looking doesn't use them up."""
    if _is(value, *_FROM_NUMPY):
        if getattr(value, "ndim", 1) != 1:
            raise _WrongTypeError(f"{_kind(value)} of {value.ndim} dimensions")
        value = value.tolist()
    texts = isinstance(value, (str, bytes)) or _is(value, "DataFrame")
    tuple_ = inner if origin is tuple and inner and inner[-1] is not Ellipsis else ()
    if texts or not isinstance(value, origin) or (tuple_ and len(value) != len(tuple_)):
        raise _WrongTypeError(_kind(value))
    if not isinstance(value, (list, tuple, Set, Mapping)) or not inner or inner[0] in (Any, object):
        return value
    if not tuple_ and {*map(type, value)} <= _plain(inner[0]):
        return value
    hints = tuple_ or (inner[0],) * len(value)
    try:
        found = [_fit(each, hint) for each, hint in zip(value, hints, strict=True)]
    except _WrongTypeError as error:
        raise _WrongTypeError(f"{_kind(value)} with {error.given}") from None
    return value if all(one is other for one, other in zip(found, value, strict=True)) else found


def _plain(hint: Any) -> set[type]:
    """Return the types whose values surely fit, whatever they are: for long lists."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return set().union(*map(_plain, typing.get_args(hint)))
    known: dict[Any, set[type]] = {str: {str}, int: {int}, float: {int, float}, bool: {bool}}
    return known.get(hint, set())


def _fit_array(value: Any) -> Any:
    """Return an array of numbers."""
    import numpy as np

    try:
        found = np.asarray(value)
    except (ValueError, TypeError):  # rows of unequal length
        raise _WrongTypeError(f"{_kind(value)} that makes no array") from None
    if not found.ndim or found.dtype.kind not in "biuf" or _is(value, "DataFrame"):
        raise _WrongTypeError(_kind(value) if not found.ndim else f"{_kind(value)} with elements of {found.dtype}")
    return found


def _is(value: Any, *names: str) -> bool:
    """Tell whether a value is of one of these types of numpy or pandas, which needn't be loaded to tell."""
    return any(_is_class(kind, *names) for kind in type(value).__mro__)


def _is_class(kind: Any, *names: str) -> bool:
    return getattr(kind, "__name__", "") in names and getattr(kind, "__module__", "").startswith(("numpy", "pandas"))


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _words(hint: Any) -> str:
    """Name a type for people."""
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_words, inner)))
    if origin is typing.Literal:
        return " or ".join(map(repr, inner))
    if origin in (None, types.NoneType):
        return "None"
    if origin in (Mapping, dict):
        return "a mapping" + (f" of {_words(inner[0])} to {_words(inner[1])}" if inner and inner[1] is not Any else "")
    if origin in (Sequence, Collection, Iterable, list, tuple):
        name = "an iterable" if origin is Iterable else f"a {origin.__name__.lower()}"
        return name + (f" of {_words(inner[0])}" if inner and inner[0] not in (Any, object) else "")
    if origin is Callable or ("__call__" in vars(origin) and getattr(origin, "_is_protocol", False)):
        return "a function"
    if _is_class(origin, "ndarray"):
        return "an array of numbers"
    name = str(getattr(origin, "__name__", origin))
    return f"{name} or its path" if inspect.isclass(origin) and hasattr(origin, "open") else name
