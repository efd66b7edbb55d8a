"""Where templates lie: gandt's own by name, anybody's by path or ``s3://`` address."""

from typing import Any

from gandt import resources, storage
from gandt.arguments import checked
from gandt.errors import InputError

SUFFIX = ".liquid.html"


def names() -> list[str]:
    """Return the names of gandt's own templates, sorted."""
    return sorted(path.name.removesuffix(SUFFIX) for path in resources.folder("templates").glob(f"*{SUFFIX}"))


@checked
def is_own(template: str) -> bool:
    """Tell whether ``template`` names one of gandt's own."""
    return template in names()


@checked
def read(template: str, *, s3: Any = None) -> str:
    """Return a template's text: one of gandt's own by name, else the file at a local path or ``s3://`` address.

    Raises
    ------
    InputError
        When it is a bare word that is no name of gandt's.
    StorageError
        When there is no such file, or it isn't UTF-8.
    """
    if is_own(template):
        return (resources.folder("templates") / f"{template}{SUFFIX}").read_text(encoding="utf-8")
    if "/" not in template and "." not in template:
        raise InputError(
            f"gandt has no template {template!r}; its own are {', '.join(names())}, and a file needs its path"
        )
    return storage.read_text(template, s3=s3)
