"""What is uploaded: the Lambdas' folders as zips, and the template that names them.

A zip's bytes depend on its files alone (no times, no owners), so that its name, which holds its hash, changes only
when the code does, and the same code deployed again changes nothing.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from gandt import resources
from gandt.errors import InputError

TEMPLATE = "template.yaml"
# CloudFormation takes templates up to this size in the request itself
MAX_TEMPLATE = 51_200
_CODE = re.compile(r"CodeUri: \.\./lambdas/(\w+)")
_MACHINE = re.compile(r"DefinitionUri: ([\w.]+\.json)")


def bundle(folder: Path) -> bytes:
    """Return a Lambda's folder as a zip: its Python files, always the same bytes for the same files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.py")):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return content.getvalue()


def source() -> str:
    """Return the SAM template as it is shipped."""
    return (resources.folder("infra") / TEMPLATE).read_text(encoding="utf-8")


def parameters() -> dict[str, str]:
    """Return the template's parameters with what each is for."""
    block = source().partition("\nParameters:\n")[2].partition("\nConditions:\n")[0]
    found = re.findall(r"^  (\w+):\n(?:    .*\n)*?    Description: (.*)$", block, re.MULTILINE)
    return dict(found)


def packaged(bucket: str) -> tuple[str, dict[str, bytes]]:
    """Return the template with the addresses of its code, and the code by its key.

    Parameters
    ----------
    bucket : str
        Where the code will lie.

    Returns
    -------
    template : str
        SAM, in YAML.
    code : dict of str to bytes
        Key → zip.

    Raises
    ------
    InputError
        When the template has outgrown what CloudFormation takes.
    """
    code: dict[str, bytes] = {}

    def upload(found: re.Match[str]) -> str:
        content = bundle(resources.folder("lambdas") / found[1])
        key = f"gandt/{found[1]}-{hashlib.sha256(content).hexdigest()[:16]}.zip"
        code[key] = content
        return f"CodeUri: s3://{bucket}/{key}"

    def inline(found: re.Match[str]) -> str:
        machine = json.loads((resources.folder("infra") / found[1]).read_text(encoding="utf-8"))
        return f"Definition: {json.dumps(machine)}"  # JSON is YAML

    text = _MACHINE.sub(inline, _CODE.sub(upload, source()))
    text = re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE)
    if len(text.encode()) > MAX_TEMPLATE:
        raise InputError(f"the template has {len(text.encode()):,} bytes; CloudFormation takes {MAX_TEMPLATE:,}")
    return text, code


def chosen(settings: Mapping[str, str]) -> dict[str, str]:
    """Return settings that are parameters of the template.

    Raises
    ------
    InputError
        When one is none of them.
    """
    known = parameters()
    for name in settings:
        if name not in known:
            raise InputError(f"the template has no parameter {name!r}; it has {', '.join(known)}")
    return dict(settings)
