"""Submit the processing job to SageMaker with boto3: what it will cost, the request, how far it is."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gandt import storage
from gandt.embedding.sources import list_source
from gandt.errors import ContractError, InputError, ServiceError
from gandt.jobs.client import asked
from gandt.jobs.request import merged, model_problems
from gandt.processing.fleet import Work

ENTRYPOINT = ("python3", "-m", "gandt.processing")
ENDED = ("Completed", "Failed", "Stopped")
# vCPUs, and dollars an hour for SageMaker Processing in us-east-1, as remembered from AWS's public price list in
# November 2026: look yours up (https://aws.amazon.com/sagemaker/ai/pricing/) and give --hourly
INSTANCES = {
    "ml.g4dn.xlarge": (4, 0.736),
    "ml.g4dn.2xlarge": (8, 0.94),
    "ml.g4dn.4xlarge": (16, 1.505),
    "ml.g5.xlarge": (4, 1.408),
    "ml.g5.2xlarge": (8, 1.515),
    "ml.g5.4xlarge": (16, 2.03),
    "ml.g6.xlarge": (4, 1.006),
    "ml.g6.2xlarge": (8, 1.222),
    "ml.g6.4xlarge": (16, 1.654),
    "ml.c7i.4xlarge": (16, 0.857),
    "ml.m5.4xlarge": (16, 0.922),
}
# the default, and what else will do where the first has no capacity: all with 8 vCPUs and a GPU
PREFERRED = ("ml.g6.2xlarge", "ml.g5.2xlarge", "ml.g4dn.2xlarge")
# Decoding limits: 33 ms for 12 megapixels and core (docs/embedding.md), 5 ms for a small photograph
_DECODE, _DECODE_MEGAPIXEL = 0.004, 0.0024
# until the container runs: instances, image, model
START = 300.0
_CAPACITY = ("ResourceLimitExceeded", "CapacityError")


@dataclass(frozen=True)
class Estimate:
    """What a job will cost, before it is submitted.

    Attributes
    ----------
    images : int
    instance : str
    instances : int
    hours : float
        On the clock, start included.
    hourly : float
        Dollars for one instance.
    dollars : float
    """

    images: int
    instance: str
    instances: int
    hours: float
    hourly: float
    dollars: float


def estimate(
    images: int,
    *,
    instance: str = PREFERRED[0],
    instances: int = 1,
    megapixels: float = 1.0,
    rate: float | None = None,
    hourly: float | None = None,
) -> Estimate:
    """Say how long a job will take and what it will cost; decoding limits it, not the GPU.

    Parameters
    ----------
    images : int
    instance, instances : str, int
        Type and number.
    megapixels : float
        Of a usual image.
    rate : float, optional
        Images a second of one instance, where you have measured it.
    hourly : float, optional
        Dollars an hour of one instance, where you know it better.

    Raises
    ------
    InputError
        When the instance is none that gandt has numbers for, and ``rate`` or ``hourly`` isn't given.
    """
    cores, price = INSTANCES.get(instance, (0, 0.0))
    if (rate is None or hourly is None) and not cores:
        raise InputError(
            f"gandt has no price for {instance}; give --hourly and --rate, or one of {', '.join(INSTANCES)}"
        )
    speed = rate if rate is not None else cores / (_DECODE + _DECODE_MEGAPIXEL * megapixels)
    paid = hourly if hourly is not None else price
    hours = (START + images / instances / speed) / 3600
    return Estimate(images, instance, instances, round(hours, 2), paid, round(hours * instances * paid, 2))


def count(source: str, *, column: str | None = None, s3: Any = None) -> int:
    """Return how many images a source lists.

    Raises
    ------
    InputError, StorageError
        When it lists none, or can't be listed.
    """
    return len(list_source(source, column=column, s3=s3))


def build_request(
    name: str,
    task: Work,
    *,
    image: str,
    role: str,
    instances: int = 1,
    types: Sequence[str] = PREFERRED,
    volume: int = 100,
    hours: float = 24.0,
    kms_key: str | None = None,
    subnets: Sequence[str] = (),
    security_groups: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the CreateProcessingJob request.

    Parameters
    ----------
    name : str
        Of the job.
    task : Work
        What to do; every address in it must be on S3.
    image : str
        ECR address of the image made from infra/Dockerfile.
    role : str
        ARN of the role that the job runs under.
    instances : int
        1 to 100.
    types : sequence of str
        Instance types, the first that has capacity is taken (5 at most).
    volume : int
        GB of disk: an instance's share of the vectors, and for the last one all of them, twice.
    hours : float
        Most hours on the clock.
    kms_key : str, optional
        For the instances' disks.
    subnets, security_groups : sequence of str
        A VPC.
    settings : mapping, optional
        Further members of the request, nested as in the API; they come last and win.

    Raises
    ------
    ContractError
        When the request breaks the API's rules, or names a place on your disk.
    """
    for place in (task.source, task.store, task.candidates):
        if place and not storage.is_s3(place):
            raise ContractError(f"processing job {name}: {place} isn't on S3, where the instances could reach it")
    preferences = [{"InstanceType": kind, "InstanceCount": instances} for kind in types]
    cluster: dict[str, Any] = {"VolumeSizeInGB": volume}
    if len(preferences) > 1:
        cluster["InstancePreferences"] = preferences
    else:
        cluster |= preferences[0] if preferences else {}
    if kms_key:
        cluster["VolumeKmsKeyId"] = kms_key
    request: dict[str, Any] = {
        "ProcessingJobName": name,
        "RoleArn": role,
        "AppSpecification": {
            "ImageUri": image,
            "ContainerEntrypoint": list(ENTRYPOINT),
            "ContainerArguments": arguments(task),
        },
        "ProcessingResources": {"ClusterConfig": cluster},
        "StoppingCondition": {"MaxRuntimeInSeconds": int(hours * 3600)},
        "Environment": {"AWS_MAX_ATTEMPTS": "8"},
    }
    if subnets:
        vpc = {"Subnets": list(subnets), "SecurityGroupIds": list(security_groups)}
        request["NetworkConfig"] = {"VpcConfig": vpc, "EnableInterContainerTrafficEncryption": False}
    request = merged(request, settings or {})
    problems = model_problems(request, "CreateProcessingJob")
    if problems:
        raise ContractError(f"processing job {name}: {'; '.join(problems)}")
    return request


def arguments(task: Work) -> list[str]:
    """Return the container's arguments for a task."""
    words = [task.source, task.store]
    for name, value in {**task.options, **task.filtering}.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    for seeds in task.seeds:
        words += ["--seeds", seeds]
    return [*words, "--candidates", task.candidates] if task.candidates else words


def submit(request: Mapping[str, Any], *, sagemaker: Any) -> str:
    """Create the job; return its ARN. Where the account may have none of the first type, the next is tried.

    SageMaker itself passes over types without capacity; a quota of zero refuses the whole request.

    Raises
    ------
    InputError
        When there is a job of this name.
    ServiceError
        When SageMaker refuses.
    """
    name = request["ProcessingJobName"]
    left = dict(request)
    with asked(f"submit processing job {name}"):
        while True:
            try:
                return str(sagemaker.create_processing_job(**left)["ProcessingJobArn"])
            except sagemaker.exceptions.ClientError as error:
                code, text = storage.error_code(error), str(error)
                if code == "ResourceInUse" or "already exists" in text:
                    raise InputError(f"there is a processing job {name} already; choose another name") from error
                shorter = _without_first(left) if code in _CAPACITY else None
                if shorter is None:
                    raise
                left = shorter


def _without_first(request: Mapping[str, Any]) -> dict[str, Any] | None:
    cluster = dict(request["ProcessingResources"]["ClusterConfig"])
    preferences = cluster.pop("InstancePreferences", [])[1:]
    if not preferences:
        return None
    cluster |= {"InstancePreferences": preferences} if len(preferences) > 1 else preferences[0]
    return {**request, "ProcessingResources": {"ClusterConfig": cluster}}


@dataclass(frozen=True)
class JobState:
    """A processing job as it stands; ``done`` of ``instances`` shards have ended, ``parts`` have been written."""

    name: str
    status: str
    instance: str
    instances: int
    done: int
    parts: int
    seconds: float
    message: str
    store: str

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status in ENDED

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


def state(name: str, *, sagemaker: Any, s3: Any = None) -> JobState:
    """Say how a processing job stands, from SageMaker and from the parts on S3.

    Raises
    ------
    InputError
        When there is no such job, or it is none of gandt's.
    ServiceError
        When SageMaker refuses.
    """
    with asked(f"look at processing job {name}"):
        try:
            found = sagemaker.describe_processing_job(ProcessingJobName=name)
        except sagemaker.exceptions.ClientError as error:
            if storage.error_code(error) in ("ResourceNotFound", "ValidationException"):
                raise InputError(f"there is no processing job {name!r} in this account and region") from error
            raise
    words = found["AppSpecification"].get("ContainerArguments", [])
    if len(words) < 2 or not storage.is_s3(words[1]):
        raise InputError(f"processing job {name} is none of gandt's: it names no store")
    task = Work(words[0], words[1])
    cluster = found.get("ProcessingResources", {}).get("ClusterConfig", {})
    first = (cluster.get("InstancePreferences") or [{}])[0]
    kind = cluster.get("SelectedInstanceType") or cluster.get("InstanceType") or first.get("InstanceType", "")
    number = cluster.get("SelectedInstanceCount") or cluster.get("InstanceCount") or first.get("InstanceCount", 1)
    places = list(storage.list_uris(task.shards() + "/", s3=s3))
    done = storage.join(task.shards(), "done", name) + "/"
    member = re.compile(rf"/\d+of{number}/items-[^/]*\.parquet$")
    begun = found.get("ProcessingStartTime") or found.get("CreationTime")
    end = found.get("ProcessingEndTime")
    seconds = ((end.timestamp() if end else time.time()) - begun.timestamp()) if begun else 0.0
    return JobState(
        name=name,
        status=found["ProcessingJobStatus"],
        instance=kind,
        instances=number,
        done=sum(place.startswith(done) for place in places),
        parts=sum(bool(member.search(place)) for place in places),
        seconds=round(seconds, 1),
        message=found.get("ExitMessage") or found.get("FailureReason", ""),
        store=task.store,
    )


def wait(
    name: str,
    *,
    sagemaker: Any,
    s3: Any = None,
    poll: float = 20.0,
    shown: Callable[[JobState], None] = lambda state: None,
) -> JobState:
    """Wait until a processing job has ended.

    Raises
    ------
    ServiceError
        When it failed; with its exit message.
    """
    while True:
        now = state(name, sagemaker=sagemaker, s3=s3)
        shown(now)
        if now.status == "Failed":
            raise ServiceError(f"processing job {name} failed: {now.message or 'its log says why'}")
        if now.ended:
            return now
        time.sleep(poll)
