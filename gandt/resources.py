"""Where what gandt ships (templates, Lambdas, infra) lies: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the folder ``name`` (``"templates"``, ``"lambdas"`` or ``"infra"``).

    Raises
    ------
    FileNotFoundError
        When neither a checkout nor a wheel holds it: a broken installation.
    """
    for place in (_PACKAGE / "shipped" / name, _PACKAGE.parent / name):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"this installation of gandt lacks its folder {name!r}; install it again")
