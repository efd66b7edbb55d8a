"""The stack: plan it (a change set), act on the plan, take it away without ever taking data along."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gandt import storage
from gandt.arguments import checked
from gandt.deploy import bundle
from gandt.errors import InputError, ServiceError
from gandt.jobs.client import asked

_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
_NOTHING = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class Change:
    """One resource that a plan adds, changes or removes.

    ``replaced`` tells whether the change makes a new resource in place of the old one.
    """

    action: str
    resource: str
    kind: str
    replaced: bool


@dataclass(frozen=True)
class Plan:
    """A change set that waits.

    Attributes
    ----------
    stack, region, account : str
        What it is for.
    identifier : str
        The change set's ARN; empty when there is nothing to change.
    new : bool
        Whether the stack isn't there yet.
    changes : tuple of Change
    parameters : dict of str to str
        Those that this plan sets.
    notes : tuple of str
        What is worth knowing before acting.
    """

    stack: str
    region: str
    account: str
    identifier: str
    new: bool
    changes: tuple[Change, ...]
    parameters: dict[str, str]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, ready for JSON."""
        return {**asdict(self), "changes": [asdict(each) for each in self.changes]}


class Stack:
    """gandt's stack in one account and region.

    Parameters
    ----------
    name : str
        Of the CloudFormation stack.
    transform : callable, optional
        Changes the template before it is sent, where the service can't transform SAM itself.
    session : optional
        A boto3 session; by default as :func:`gandt.storage.use` was told.
    poll : float
        Seconds between two looks.

    Raises
    ------
    InputError
        When no region is known.
    """

    @checked
    def __init__(
        self,
        name: str = "gandt",
        *,
        transform: Callable[[str], str] = lambda template: template,
        session: Any = None,
        poll: float = 3.0,
    ) -> None:
        self.name, self._transform, self._poll = name, transform, poll
        session = session or storage.session()
        self.region = session.region_name
        if not self.region:
            raise InputError("no AWS region is known; give gandt --region, or set AWS_REGION")
        config = storage.client_config()
        self._cloudformation = session.client("cloudformation", config=config)
        self._s3 = session.client("s3", config=config)
        with asked("find out whose account this is"):
            self.account = session.client("sts", config=config).get_caller_identity()["Account"]
        self.code_bucket = f"{name.lower()}-code-{self.account}-{self.region}"

    def describe(self) -> dict[str, Any] | None:
        """Return what CloudFormation says of the stack; None when there is none."""
        with asked(f"look at the stack {self.name}"):
            try:
                found: dict[str, Any] = self._cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
            except self._cloudformation.exceptions.ClientError as error:
                if "does not exist" in str(error):
                    return None
                raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else found

    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs by name; empty when there is no stack."""
        found = self.describe() or {}
        return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs") or []}

    def plan(self, settings: Mapping[str, str] | None = None) -> Plan:
        """Make a change set and say what it would do; nothing else is touched.

        Parameters
        ----------
        settings : mapping, optional
            Parameters of the template. On an existing stack those left out keep their values.

        Raises
        ------
        InputError
            When a setting is no parameter, or the stack is in the middle of something.
        ServiceError
            When CloudFormation refuses.
        """
        given = bundle.chosen(settings or {})
        now = self.describe()
        new = now is None or now["StackStatus"] == "REVIEW_IN_PROGRESS"
        notes: list[str] = []
        if now and now["StackStatus"] == "ROLLBACK_COMPLETE":
            raise InputError(f"the stack {self.name} failed when it was made; gandt deploy --delete it first")
        if now and now["StackStatus"].endswith("_IN_PROGRESS") and not new:
            raise InputError(f"the stack {self.name} is {now['StackStatus']}; wait until that is over")
        if new and not given.get("ExistingBucket"):
            left = f"{given.get('Prefix', 'gandt')}-sagemaker-{self.account}-{self.region}"
            if self._is_there(left):
                given["ExistingBucket"] = left
                notes.append(f"the bucket {left} is there already, of an earlier stack: it is used as it is")
        template = self._transform(bundle.packaged(self.code_bucket)[0])
        old = {} if new or now is None else {each["ParameterKey"] for each in now.get("Parameters", [])}
        parameters = [
            {"ParameterKey": name, "ParameterValue": given[name]}
            if name in given
            else {"ParameterKey": name, "UsePreviousValue": True}
            for name in bundle.parameters()
            if name in given or name in old
        ]
        with asked(f"plan the stack {self.name}"):
            made = self._cloudformation.create_change_set(
                StackName=self.name,
                ChangeSetName=f"gandt-{uuid.uuid4().hex[:12]}",
                ChangeSetType="CREATE" if new else "UPDATE",
                TemplateBody=template,
                Parameters=parameters,
                Capabilities=_CAPABILITIES,
                Tags=[{"Key": "gandt", "Value": self.name}],
            )
            found = self._planned(made["Id"])
        common = {"stack": self.name, "region": self.region, "account": self.account, "parameters": given}
        if found["Status"] == "FAILED":
            self._discard(made["Id"], new)
            reason = found.get("StatusReason", "it says not why")
            if any(words in reason for words in _NOTHING):
                return Plan(identifier="", new=new, changes=(), notes=tuple(notes), **common)
            raise ServiceError(f"can't plan the stack {self.name}: {reason}")
        changes = tuple(_change(each["ResourceChange"]) for each in found["Changes"] if "ResourceChange" in each)
        return Plan(identifier=made["Id"], new=new, changes=changes, notes=tuple(notes), **common)

    def _planned(self, identifier: str) -> dict[str, Any]:
        while True:
            found: dict[str, Any] = self._cloudformation.describe_change_set(ChangeSetName=identifier)
            if found["Status"] in ("CREATE_COMPLETE", "FAILED"):
                break
            time.sleep(self._poll)
        token = found.get("NextToken")
        while token:
            more = self._cloudformation.describe_change_set(ChangeSetName=identifier, NextToken=token)
            found["Changes"] += more["Changes"]
            token = more.get("NextToken")
        return found

    def act(self, plan: Plan, *, said: Callable[[str], None] = lambda sentence: None) -> dict[str, str]:
        """Upload the code, execute a plan, wait, and return the stack's outputs.

        Raises
        ------
        ServiceError
            When it fails; CloudFormation has rolled it back, and the sentence names the first resource that failed.
        StorageError
            When the code can't be uploaded.
        """
        if not plan.identifier:
            return self.outputs()
        self._upload(said)
        seen = self._events(set())[1]
        with asked(f"change the stack {self.name}"):
            self._cloudformation.execute_change_set(ChangeSetName=plan.identifier)
        status, failures = self._wait(seen, said)
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            why = failures[0] if failures else "CloudFormation's console shows more"
            raise ServiceError(f"the stack {self.name} is {status}: {why}")
        return self.outputs()

    def discard(self, plan: Plan) -> None:
        """Forget a plan: nothing of it is left."""
        if plan.identifier:
            self._discard(plan.identifier, plan.new)

    def _discard(self, identifier: str, new: bool) -> None:
        with asked(f"forget the plan for the stack {self.name}"):
            self._cloudformation.delete_change_set(ChangeSetName=identifier)
            if new:  # a change set for a new stack leaves an empty one in review
                self._cloudformation.delete_stack(StackName=self.name)

    def _upload(self, said: Callable[[str], None]) -> None:
        code = bundle.packaged(self.code_bucket)[1]
        with storage.explained("write", f"s3://{self.code_bucket}"):
            if not self._is_there(self.code_bucket):
                where = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
                extra = {"CreateBucketConfiguration": where} if where else {}
                self._s3.create_bucket(Bucket=self.code_bucket, **extra)
                self._s3.put_public_access_block(
                    Bucket=self.code_bucket,
                    PublicAccessBlockConfiguration=dict.fromkeys(
                        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
                    ),
                )
                self._s3.put_bucket_versioning(Bucket=self.code_bucket, VersioningConfiguration={"Status": "Enabled"})
                said(f"made the bucket {self.code_bucket} for the Lambdas' code")
            for key, content in code.items():
                self._s3.put_object(Bucket=self.code_bucket, Key=key, Body=content)

    def _is_there(self, bucket: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._s3.head_bucket(Bucket=bucket)
            return True
        except ClientError as error:
            if storage.error_code(error) in ("404", "NoSuchBucket"):
                return False
            raise

    def _events(self, seen: set[str]) -> tuple[list[dict[str, Any]], set[str]]:
        """Return the stack's events that aren't in ``seen``, oldest first, and all there are."""
        with asked(f"follow the stack {self.name}"):
            found = self._cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return [event for event in reversed(found) if event["EventId"] not in seen], {each["EventId"] for each in found}

    def _wait(self, seen: set[str], said: Callable[[str], None], name: str | None = None) -> tuple[str, list[str]]:
        failures: list[str] = []
        while True:
            with asked(f"follow the stack {self.name}"):
                status: str = self._cloudformation.describe_stacks(StackName=name or self.name)["Stacks"][0][
                    "StackStatus"
                ]
            if not name:
                events, seen = self._events(seen)
                for event in events:
                    told = f"{event['ResourceStatus']}  {event['LogicalResourceId']}"
                    reason = event.get("ResourceStatusReason", "")
                    said(f"{told}  {reason}".rstrip())
                    if event["ResourceStatus"].endswith("_FAILED"):
                        failures.append(f"{event['LogicalResourceId']} {reason}")
            if not status.endswith("_IN_PROGRESS"):
                return status, failures
            time.sleep(self._poll)

    def delete(self, *, said: Callable[[str], None] = lambda sentence: None) -> dict[str, list[str]]:
        """Take the stack away; buckets go only when they are empty, and gandt's own code with them.

        Returns
        -------
        dict
            ``removed`` and ``kept``: the buckets.

        Raises
        ------
        InputError
            When there is no such stack.
        ServiceError
            When CloudFormation can't delete it.
        """
        found = self.describe()
        if found is None:
            raise InputError(f"there is no stack {self.name} in {self.region}; gandt --region looks elsewhere")
        with asked(f"delete the stack {self.name}"):
            pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.name)
            resources = [each for page in pages for each in page["StackResourceSummaries"]]
            self._cloudformation.delete_stack(StackName=self.name)
        status, _ = self._wait(set(), said, found["StackId"])
        if status != "DELETE_COMPLETE":
            raise ServiceError(f"the stack {self.name} is {status}; CloudFormation's console shows what it hangs on")
        buckets = [each["PhysicalResourceId"] for each in resources if each["ResourceType"] == "AWS::S3::Bucket"]
        result: dict[str, list[str]] = {"removed": [], "kept": []}
        with asked(f"delete the buckets of the stack {self.name}"):
            # the access logs last: deleting writes no log that would keep them
            for bucket in dict.fromkeys([*buckets, self.code_bucket]):
                if not self._is_there(bucket):
                    continue
                if bucket == self.code_bucket:
                    self._empty_of_code(bucket)
                held = self._s3.list_object_versions(Bucket=bucket, MaxKeys=1)
                empty = not (held.get("Versions") or held.get("DeleteMarkers"))
                if empty:
                    self._s3.delete_bucket(Bucket=bucket)  # S3 itself refuses a bucket that has filled meanwhile
                result["removed" if empty else "kept"].append(bucket)
        return result

    def _empty_of_code(self, bucket: str) -> None:
        """Delete what deploying uploaded: zips below gandt/, nothing else."""
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix="gandt/"):
            for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                if each["Key"].endswith(".zip"):
                    self._s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])


def _change(found: Mapping[str, Any]) -> Change:
    replaced = found.get("Replacement") in ("True", "Conditional")
    return Change(found["Action"], found["LogicalResourceId"], found["ResourceType"], replaced)
