"""Every error gandt raises on purpose.

::

    GandtError                  anything a user can mend; the command line prints its sentence and exits 1
    ├── InputError              a file, folder, table or option holds what gandt can't use
    ├── StorageError            a path or s3:// address can't be read or written
    ├── ContractError           a manifest, event, answer or template breaks Ground Truth's contract
    ├── FunctionError           a Lambda raised, timed out or returned what the contract doesn't allow
    ├── ServiceError            AWS or a labeling service refuses, or can't be reached
    └── MissingExtraError       a feature needs a package that isn't installed

A :class:`GandtWarning` says what was guessed, dropped or left out where the work went on.

One sentence each: the thing, the reason, the fix. An argument of a wrong type is an
InputError, too (gandt/arguments.py); a missing or unknown one, as any other mistake in a program, Python's own error.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class GandtError(Exception):
    """Something a user can mend; ``str(error)`` is the whole sentence."""


class InputError(GandtError):
    """A file, folder, table or option holds what gandt can't use."""


class StorageError(GandtError):
    """A path or ``s3://`` address can't be read or written."""


class ContractError(GandtError):
    """A manifest, event, answer or template breaks Ground Truth's contract."""


class FunctionError(GandtError):
    """A Lambda raised, timed out, or returned what the contract doesn't allow.

    ``traceback`` holds the Lambda's own traceback, empty where there is none.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class ServiceError(GandtError):
    """AWS or a labeling service refuses, or can't be reached."""


class MissingExtraError(GandtError):
    """A feature needs a package that isn't installed."""


class GandtWarning(UserWarning):
    """Something that a user should know though all went on; the command line prints its sentence."""


@contextmanager
def extra(name: str, feature: str) -> Iterator[None]:
    """Turn an ``ImportError`` inside the block into a sentence that names the extra to install.

    Parameters
    ----------
    name : str
        The extra in setup.py, e.g. ``"local"``.
    feature : str
        What the user asked for, e.g. ``"gandt demo"``.

    Raises
    ------
    MissingExtraError
        When an import inside the block fails because a package is absent.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{feature} needs the package {error.name!r}, which isn't installed; run: pip install 'gandt[{name}]'"
        ) from error
