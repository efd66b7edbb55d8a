"""From what a person has (a local manifest, a template's name, a workteam's name) to a CreateLabelingJob request.

Local files get addresses that hold a hash of their content, so that the same files give the same request again.
Everything is checked first; :meth:`Prepared.send` uploads.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from gandt import categories as rules
from gandt import manifest as manifests
from gandt import resources, storage, templates
from gandt.arguments import checked
from gandt.errors import ContractError, InputError
from gandt.images import EXTENSIONS
from gandt.jobs.client import asked
from gandt.jobs.request import build_request, check_request, merged, refuse_public
from gandt.manifest.build import dumps
from gandt.manifest.lines import line_items, named, page_entries
from gandt.manifest.questions import check_category_file

FOLDER = "gandt-input"  # below the output: what create uploads
_LOCAL_ACCOUNT = "000000000000"
# names of the stack's outputs (infra/template.yaml) → options they stand for
_STACK = {
    "RoleArn": "role",
    "PreHumanTaskLambdaArn": "pre_lambda",
    "AnnotationConsolidationLambdaArn": "post_lambda",
}


@dataclass
class Prepared:
    """A request, and the local files that it names by the addresses they will have.

    Attributes
    ----------
    request : dict
        For :func:`gandt.jobs.create`.
    files : dict of str to bytes
        Address → content.
    warnings : list of str
        What is worth a look, from the checks of manifest and template.
    """

    request: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def send(self, *, s3: Any = None) -> None:
        """Upload the files.

        Raises
        ------
        StorageError
            When S3 refuses.
        """
        for uri, content in self.files.items():
            storage.write_bytes(uri, content, s3=s3)


@checked
def prepare(
    name: str,
    *,
    manifest: str | None,
    template: str | None,
    output: str,
    workteam: str | None = None,
    role: str | None = None,
    pre_lambda: str | None = None,
    post_lambda: str | None = None,
    categories: str | Sequence[str] | None = None,
    stack: str | None = None,
    local: bool = False,
    check: bool = True,
    upload: bool = True,
    sagemaker: Any,
    s3: Any = None,
    **options: Any,
) -> Prepared:
    """Build and check the request of a labeling job.

    Parameters
    ----------
    name : str
        The job's.
    manifest : str, optional
        Address, or a local file; images that a local one names by local paths are uploaded too.
    template : str, optional
        One of gandt's own by name, an address or a local file.
    output : str
        ``s3://`` folder; local files go into its folder ``gandt-input``.
    workteam, role, pre_lambda, post_lambda : str, optional
        ARNs or names. The workteam may be left out where there is just one.
    categories : str or sequence of str, optional
        Label category file, local or an address; or the categories themselves.
    stack : str, optional
        CloudFormation stack of gandt's backend, for the role and the Lambdas that aren't given.
    local : bool
        The job goes to a gandt serve, which needs no role, has no account, and brings gandt's Lambdas, which gandt's
        own templates then use by default; if its S3 is on this machine, the output's bucket is made.
    check : bool
        Read manifest, template and label category file, and refuse what Ground Truth would, and questions that nobody
        can answer.
    upload : bool
        Whether images of a local manifest may be uploaded already (a dry run doesn't).
    sagemaker, s3
        boto3 clients.
    **options
        Of :func:`gandt.jobs.build_request`.

    Raises
    ------
    InputError, ContractError, StorageError, ServiceError
        For what is missing, wrong, unreadable or refused.
    """
    storage.split_s3(output)
    if local and upload:
        _make_bucket(output, s3 or storage.default_s3())
    team = _workteam(workteam, sagemaker)
    refuse_public({"LabelingJobName": name, "HumanTaskConfig": {"WorkteamArn": team}})
    region, account = _home(team)
    given: dict[str, Any] = {"role": role, "pre_lambda": pre_lambda, "post_lambda": post_lambda}
    if stack:
        given = {**_stack(stack, region), **{key: value for key, value in given.items() if value}}
    elif local and not role:
        given["role"] = f"arn:aws:iam::{_LOCAL_ACCOUNT}:role/gandt"
    if local and template is not None and templates.is_own(template):
        given["pre_lambda"] = given["pre_lambda"] or resources.PRE_ANNOTATION
        given["post_lambda"] = given["post_lambda"] or resources.POST_ANNOTATION
    if not given["role"]:
        raise InputError("a labeling job needs a role: give --role NAME, or --stack with the stack of gandt's backend")
    for key, value in given.items():
        if value and not value.startswith("arn:"):
            kind = f"iam::{account}:role/" if key == "role" else f"lambda:{region}:{account}:function:"
            given[key] = f"arn:{team.split(':')[1]}:{kind}{value}"

    prepared = Prepared({})
    places: dict[str, str | None] = {"manifest": manifest, "template": template, "categories": None}
    if isinstance(categories, str):
        places["categories"] = categories
    elif categories:
        names, _ = rules.checked(categories)
        content = {"document-version": "2018-11-28", "labels": [{"label": name} for name in names]}
        places["categories"] = _put(prepared, output, "labels.json", json.dumps(content).encode())
    if manifest is not None and not storage.is_s3(manifest):
        text, images = _local_manifest(manifest, output, s3=s3, upload=upload)
        places["manifest"] = _put(prepared, output, PurePosixPath(manifest).name, text)
        if images and not upload:
            told = f"{manifest} names {images:,} local images; they and its final address come when they are uploaded"
            prepared.warnings.append(told)
    if template is not None and not storage.is_s3(template):
        label = f"{template}.liquid.html" if templates.is_own(template) else PurePosixPath(template).name
        places["template"] = _put(prepared, output, label, templates.read(template).encode())
    if isinstance(categories, str) and not storage.is_s3(categories):
        where = _put(prepared, output, PurePosixPath(categories).name, storage.read_bytes(categories))
        places["categories"] = where
    named: dict[str, Any] = {**places, **given, **options}
    prepared.request = build_request(name, output=output, workteam=team, **named)
    if check:
        _check(prepared, manifest, template, s3, upload)
    return prepared


def read_request(
    path: str,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    check: bool = False,
    s3: Any = None,
) -> Prepared:
    """Read a whole CreateLabelingJob request from a JSON file, under another name and with other settings if given.

    With ``check`` its manifest, template and label category file are read, as :func:`prepare` does.

    Raises
    ------
    StorageError
        When the file can't be read.
    InputError
        When it isn't a JSON object.
    ContractError
        When the request breaks the contract, or the job would fail.
    """
    try:
        request = json.loads(storage.read_text(path))
    except ValueError as error:
        raise InputError(f"the request {path} isn't JSON: {error}") from error
    if not isinstance(request, dict):
        raise InputError(f"the request {path} isn't a JSON object; write one as gandt job create --dry-run prints it")
    request = merged(request, settings or {}) | ({"LabelingJobName": name} if name else {})
    refuse_public(request)
    check_request(request)
    prepared = Prepared(request)
    if check:
        source = request["InputConfig"]["DataSource"].get("S3DataSource", {}).get("ManifestS3Uri")
        _check(prepared, source, request["HumanTaskConfig"]["UiConfig"].get("UiTemplateS3Uri"), s3, True)
    return prepared


def _make_bucket(uri: str, s3: Any) -> None:
    """Make the bucket of ``uri`` if it isn't there and this S3 is on this machine, where it is nobody else's name."""
    if not storage.is_near(s3.meta.endpoint_url):
        return
    bucket, _ = storage.split_s3(uri)
    with storage.explained("make the bucket", f"s3://{bucket}"):
        try:
            s3.head_bucket(Bucket=bucket)
        except s3.exceptions.ClientError as error:
            if storage.error_code(error) not in ("404", "NoSuchBucket"):
                raise
            s3.create_bucket(Bucket=bucket)


def _put(prepared: Prepared, output: str, name: str, content: bytes) -> str:
    uri = storage.join(output, FOLDER, hashlib.sha256(content).hexdigest()[:16], name)
    prepared.files[uri] = content
    return uri


def _workteam(given: str | None, sagemaker: Any) -> str:
    """Return a workteam's ARN from its ARN or name, or that of the only one there is."""
    if given and given.startswith("arn:"):
        return given
    if given:
        with asked(f"find the workteam {given}"):
            return str(sagemaker.describe_workteam(WorkteamName=given)["Workteam"]["WorkteamArn"])
    with asked("list workteams"):
        teams = sagemaker.list_workteams(MaxResults=100)["Workteams"]
    if len(teams) != 1:
        names = ", ".join(team["WorkteamName"] for team in teams[:10])
        have = f"there are {len(teams)} ({names})" if teams else "there is none yet"
        make = "" if teams else "; gandt workers invite NAME --workteam TEAM --new-team makes one at gandt serve"
        raise InputError(f"which workteam shall label? {have}: name one with --workteam{make}")
    return str(teams[0]["WorkteamArn"])


def _home(team: str) -> tuple[str, str]:
    parts = team.split(":")
    if len(parts) < 6:
        raise ContractError(f"the workteam {team!r} is no ARN; give its name or its whole ARN")
    return parts[3], parts[4]


def _stack(name: str, region: str) -> dict[str, str | None]:
    """Return role and Lambdas from the outputs of the stack of gandt's backend."""
    with asked(f"read the stack {name}"):
        client = storage.session().client("cloudformation", region_name=region, config=storage.client_config())
        found = client.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", [])
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found}
    if not set(_STACK) <= set(outputs):
        raise InputError(
            f"the stack {name} isn't one of gandt's backend: it has no output {min(set(_STACK) - set(outputs))}"
        )
    return {option: outputs[key] for key, option in _STACK.items()}


# ---------------------------------------------------------------- a local manifest


def _local_manifest(path: str, output: str, *, s3: Any, upload: bool) -> tuple[bytes, int]:
    """Return a manifest's content, and how many images it names by local paths: they are uploaded, and named anew."""
    lines = list(manifests.read_lines(path))
    base = Path(path).absolute().parent
    images = list(dict.fromkeys(image for line in lines for image in _local_images(line)))
    if not images:
        return storage.read_bytes(path), 0
    where = {image: _file(base, image) for image in images}
    for image, place in where.items():
        if not Path(place).is_file():
            raise InputError(f"{path} names {image}, which is neither an s3:// address nor a file beside the manifest")
    if upload:
        sent = manifests.upload_images(list(where.values()), storage.join(output, FOLDER, "images"), s3=s3)
        where = {image: sent[place] for image, place in where.items()}
    return "".join(dumps(_moved(line, where)) + "\n" for line in lines).encode(), len(images)


def _file(base: Path, image: str) -> str:
    """Return the path of a file that a manifest in the folder ``base`` names; file:// addresses may be escaped."""
    place = base / image.removeprefix("file://")
    if image.startswith("file://") and not place.is_file():
        place = base / unquote(image.removeprefix("file://"))
    return str(place)


def _local_images(line: Mapping[str, Any]) -> Iterator[str]:
    for entry in page_entries(dict(line)) or [dict(line)]:
        shown = [entry.get("source-ref"), *entry.get("positive_examples", []), *entry.get("negative_examples", [])]
        shown += [entry[side] for side in _pair(entry)]
        yield from (image for image in shown if isinstance(image, str) and "://" not in image.removeprefix("file://"))


def _pair(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of the two images of a pair, as ``gandt manifest build --pairs`` writes it; () of all else."""
    sides = [str(entry.get(side)) for side in ("left", "right")]
    images = all(PurePosixPath(side).suffix.lower() in EXTENSIONS for side in sides)
    return ("left", "right") if images and entry.get("source") == " ".join(sides) else ()


def _moved(line: dict[str, Any], where: Mapping[str, str]) -> dict[str, Any]:
    """Return the line with its images' addresses in place of local paths, which it keeps as its items' names."""

    def move(entry: dict[str, Any]) -> dict[str, Any]:
        new = dict(entry)
        for key in ("source-ref", *_pair(entry)):
            if isinstance(entry.get(key), str):
                new[key] = where.get(entry[key], entry[key])
        if _pair(entry):
            new["source"] = f"{new['left']} {new['right']}"
        for key in ("positive_examples", "negative_examples"):
            if isinstance(entry.get(key), list):
                new[key] = [where.get(image, image) if isinstance(image, str) else image for image in entry[key]]
        return new

    page = page_entries(line)
    return named({**line, "source": dumps([move(entry) for entry in page])} if page else move(line), line_items(line))


# ---------------------------------------------------------------- checks


@contextmanager
def _readable(uri: str, prepared: Prepared) -> Iterator[str]:
    """Give a place where a manifest can be read in its final form: on S3, or still here."""
    if uri not in prepared.files:
        yield uri
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a.manifest"
        place.write_bytes(prepared.files[uri])
        yield str(place)


def _check(prepared: Prepared, manifest: str | None, template: str | None, s3: Any, upload: bool) -> None:
    """Refuse what Ground Truth would refuse of manifest and template, and what nobody can answer; keep the warnings."""
    request = prepared.request
    categories = request.get("LabelCategoryConfigS3Uri")
    if categories is not None:
        with _readable(categories, prepared) as place:
            prepared.warnings += check_category_file(place, s3=s3)
    source = request["InputConfig"]["DataSource"].get("S3DataSource", {}).get("ManifestS3Uri")
    errors: list[str] = []
    final = manifest is not None and source is not None and (upload or storage.is_s3(manifest))
    with _readable(source, prepared) if final else nullcontext() as place:
        if place is not None:
            table = manifests.check_manifest(
                place, label_attribute=request["LabelAttributeName"], examples=upload, s3=s3
            )
            for row in table[table["severity"] != "note"].to_dict("records"):
                where = f"{manifest}, line {row['line']}" if row["line"] else manifest
                (errors if row["severity"] == "error" else prepared.warnings).append(f"{where}: {row['problem']}")
        if template is not None:
            uri = request["HumanTaskConfig"]["UiConfig"].get("UiTemplateS3Uri", template)
            text = prepared.files[uri].decode() if uri in prepared.files else templates.read(uri, s3=s3)
            # without a pre-annotation Lambda the lines are what the template gets; what another's makes isn't known
            pre = request["HumanTaskConfig"].get("PreHumanTaskLambdaArn")
            known = (pre is None or pre.endswith(f":{resources.PRE_ANNOTATION}")) and not errors and place is not None
            inputs = templates.manifest_inputs(place, as_it_is=pre is None, s3=s3) if known and place else ()
            for problem in templates.check(text, inputs=inputs):
                where = f"{template}, line {problem.line}" if problem.line else template
                told, severe = f"{where}: {problem.message}", problem.level == "error"
                if problem.rule == "input" and pre is None:
                    told += "; the pre-annotation Lambda makes it: name one with --pre"
                elif problem.rule == "input" and "task.input.labels" in problem.message:
                    told += ": the job fails unless LABELS of the pre-annotation Lambda has them"
                    severe = False
                (errors if severe else prepared.warnings).append(told)
    if errors:
        more = f" (and {len(errors) - 3:,} more)" if len(errors) > 3 else ""
        raise ContractError(
            f"labeling job {request['LabelingJobName']} would fail: {'; '.join(errors[:3])}{more}; "
            "gandt manifest check and gandt template check tell all, --no-check sends it all the same"
        )
