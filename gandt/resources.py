"""Where what gandt ships (templates, Lambdas, infra) lies: beside the package in a checkout, inside it in a wheel."""

from pathlib import Path

# gandt's own Lambdas by the names that a stack of gandt's backend, and gandt serve, give them
PRE_ANNOTATION, POST_ANNOTATION = "gandt-LabelingFunction-pre", "gandt-LabelingFunction-post"

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


def lambda_files() -> dict[str, str]:
    """Return the files of gandt's own Lambdas for labeling jobs, by the functions' names."""
    names = {PRE_ANNOTATION: "pre_annotation", POST_ANNOTATION: "post_annotation"}
    return {function: str(folder("lambdas") / name / "handler.py") for function, name in names.items()}
