"""What ``gandt doctor`` finds, and how it looks: every check asks AWS, and says what is wrong and what mends it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from gandt import storage
from gandt.errors import InputError
from gandt.jobs.client import why
from gandt.jobs.rights import Rights, rights_of_role, rights_of_user
from gandt.manifest.online import allows_get, cors_rules

COLUMNS = ["check", "subject", "state", "problem", "fix"]
STATES = ("broken", "warning", "unknown", "ok")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: ``state`` is broken, warning, unknown (it couldn't be seen) or ok."""

    check: str
    subject: str
    state: str
    problem: str = ""
    fix: str = ""


class Exam:
    """Findings about one account and region, and the clients that they are made with.

    Parameters
    ----------
    session
        A boto3 session with a region.
    sagemaker, s3 : optional
        boto3 clients to use instead of the session's.
    """

    def __init__(self, session: Any, *, sagemaker: Any = None, s3: Any = None) -> None:
        self.session, self.findings = session, list[Finding]()
        self._clients: dict[str, Any] = {"sagemaker": sagemaker, "s3": s3}
        self._rights: dict[str, Rights | None] = {}

    def client(self, service: str) -> Any:
        """Return the session's client of a service."""
        if self._clients.get(service) is None:
            made = self.session.client(service, config=storage.client_config())
            self._clients[service] = storage.s3_client() if service == "s3" else made
        return self._clients[service]

    @property
    def region(self) -> str:
        """The region that is looked at."""
        return str(self.session.region_name)

    def table(self) -> pd.DataFrame:
        """Return all findings, the worst first."""
        rows = [[getattr(each, name) for name in COLUMNS] for each in self.findings]
        table = pd.DataFrame(rows, columns=COLUMNS, dtype=str)
        return table.sort_values("state", key=lambda states: states.map(STATES.index), kind="stable", ignore_index=True)

    def ok(self, check: str, subject: str) -> None:
        """Note that all is well."""
        self.findings.append(Finding(check, subject, "ok"))

    def broken(self, check: str, subject: str, problem: str, fix: str) -> None:
        """Note what will fail."""
        self.findings.append(Finding(check, subject, "broken", problem, fix))

    def warn(self, check: str, subject: str, problem: str, fix: str) -> None:
        """Note what may surprise."""
        self.findings.append(Finding(check, subject, "warning", problem, fix))

    @contextmanager
    def looking(
        self, check: str, subject: str, right: str, *, missing: tuple[str, str] | None = None
    ) -> Iterator[None]:
        """Ask AWS inside the block; what is refused is unknown, what is absent is broken.

        Parameters
        ----------
        check, subject : str
            Of the finding, if there is one.
        right : str
            The action that looking needs.
        missing : tuple of (str, str), optional
            Problem and fix when the thing isn't there.
        """
        try:
            yield
        except Exception as error:
            if not type(error).__module__.startswith(("botocore", "boto3")):
                raise
            code = storage.error_code(error)
            if code in ("AccessDenied", "AccessDeniedException", "AccessDeniedFault", "403", "UnauthorizedOperation"):
                fix = f"allow {right} to whoever runs gandt doctor, or ask somebody who may look"
                self.findings.append(Finding(check, subject, "unknown", "it may not be looked at", fix))
            elif missing and code in _ABSENT:
                self.broken(check, subject, *missing)
            else:
                self.findings.append(Finding(check, subject, "unknown", why(error), "mend this first, then look again"))

    # ---------------------------------------------------------------- who may what

    @cached_property
    def caller(self) -> str:
        """ARN of who is asking; empty where that can't be told."""
        try:
            return str(self.client("sts").get_caller_identity()["Arn"])
        except Exception:  # the check of credentials says why
            return ""

    def rights(self, arn: str) -> Rights | None:
        """Return the rights of a role or user, None where they can't be read; the account's root may do all."""
        if arn not in self._rights:
            self._rights[arn] = None
            kind, _, name = arn.split(":", 5)[-1].partition("/")
            role = name.split("/")[0] if kind == "assumed-role" else name.rpartition("/")[2]
            with self.looking("rights", arn, "iam:GetRole, iam:ListRolePolicies, iam:GetPolicyVersion and their like"):
                if kind == "root":
                    self._rights[arn] = Rights(({"Effect": "Allow", "Action": "*", "Resource": "*"},))
                else:
                    read = rights_of_user if kind == "user" else rights_of_role
                    try:
                        self._rights[arn] = read(role, self.client("iam"))
                    except InputError as error:
                        self.findings.append(Finding("rights", arn, "unknown", str(error), "write that policy anew"))
        return self._rights[arn]

    def need(self, arn: str, action: str, resource: str, why_needed: str) -> str:
        """Check one right of a role or user; return what :meth:`Rights.allows` says, empty where it isn't known."""
        rights = self.rights(arn)
        if rights is None:
            return ""
        answer, who = rights.allows(action, resource), arn.rpartition(":")[2]
        if answer == "no":
            self.broken(
                "right", f"{who}: {action}", f"{who} may not {action} on {resource}, and {why_needed} needs it",
                f"add a statement that allows {action} on {resource} to a policy of {who}",
            )  # fmt: skip
        elif answer == "maybe":
            self.warn(
                "right", f"{who}: {action}", f"{who} may {action} on {resource} only under a condition",
                "see that the condition holds, or allow it without one",
            )  # fmt: skip
        else:
            self.ok("right", f"{who}: {action} on {resource}")
        return answer

    # ---------------------------------------------------------------- buckets

    def bucket(self, name: str, *, shown: bool = False, written: bool = False, role: str | None = None) -> None:
        """Check a bucket: there, in the region, with CORS if workers' browsers read it, encrypted, versioned."""
        s3, subject = self.client("s3"), f"s3://{name}"
        there = False
        absent = ("there is no such bucket", f"create it in {self.region}, or correct the address")
        with self.looking("bucket", subject, "s3:ListBucket", missing=absent):
            head = s3.head_bucket(Bucket=name)
            there = True
            home = head.get("BucketRegion") or s3.get_bucket_location(Bucket=name).get("LocationConstraint")
            if (home or "us-east-1") != self.region:
                self.broken(
                    "region", subject, f"the bucket is in {home or 'us-east-1'} and the job in {self.region}",
                    f"use a bucket in {self.region}, or create the job with --region {home or 'us-east-1'}",
                )  # fmt: skip
            else:
                self.ok("bucket", subject)
        if not there:
            return
        if shown:
            with self.looking("CORS", subject, "s3:GetBucketCORS"):
                if allows_get(cors_rules(name, s3)):
                    self.ok("CORS", subject)
                else:
                    self.broken(
                        "CORS", subject, "no CORS rule lets any origin GET its objects, so workers see no images",
                        f"run gandt manifest upload --cors, or put the rule of docs/aws.md on {subject}",
                    )  # fmt: skip
        self._encryption(name, subject, role)
        with self.looking("versions", subject, "s3:GetBucketVersioning"):
            if s3.get_bucket_versioning(Bucket=name).get("Status") == "Enabled":
                self.ok("versions", subject)
            elif written:
                self.warn(
                    "versions", subject, "versioning is off, so an overwritten or deleted output is gone",
                    f"aws s3api put-bucket-versioning --bucket {name} --versioning-configuration Status=Enabled",
                )  # fmt: skip
        with self.looking("public access", subject, "s3:GetBucketPolicyStatus"):
            try:
                public = s3.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"]
            except s3.exceptions.ClientError as error:
                if storage.error_code(error) != "NoSuchBucketPolicy":
                    raise
                public = False
            if public:
                self.warn(
                    "public access", subject, "its policy makes it public", "block public access unless that is meant"
                )

    def _encryption(self, name: str, subject: str, role: str | None) -> None:
        s3 = self.client("s3")
        with self.looking("encryption", subject, "s3:GetEncryptionConfiguration"):
            try:
                found = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
            except s3.exceptions.ClientError as error:
                if storage.error_code(error) != "ServerSideEncryptionConfigurationNotFoundError":
                    raise
                found = []
            rule = found[0].get("ApplyServerSideEncryptionByDefault", {}) if found else {}
            if not rule:
                self.warn(
                    "encryption", subject, "it has no default encryption of its own",
                    "set SSE-S3 or SSE-KMS as the bucket's default",
                )  # fmt: skip
                return
            key = rule.get("KMSMasterKeyID")
            if rule["SSEAlgorithm"].startswith("aws:kms") and key:
                self.key(key, role)
            else:
                self.ok("encryption", subject)

    def key(self, key: str, role: str | None) -> None:
        """Check a KMS key: there, enabled, in the region, and of use to the role."""
        absent = (f"there is no KMS key {key} in {self.region}", "name a key of this region, or restore it")
        with self.looking("KMS key", key, "kms:DescribeKey", missing=absent):
            found = self.client("kms").describe_key(KeyId=key)["KeyMetadata"]
            if found["KeyState"] != "Enabled":
                self.broken(
                    "KMS key", key, f"the key is {found['KeyState']}, so nothing can be read or written with it",
                    "enable it (aws kms enable-key), or cancel its deletion, or choose another key",
                )  # fmt: skip
                return
            self.ok("KMS key", key)
            if role and found.get("KeyManager") == "CUSTOMER":
                for action in ("kms:Decrypt", "kms:GenerateDataKey"):
                    self.need(role, action, found["Arn"], "reading and writing encrypted objects")


_ABSENT = (
    *("404", "NoSuchBucket", "NoSuchKey", "NoSuchEntity", "NotFoundException", "ResourceNotFoundException"),
    *("ResourceNotFound", "ValidationException", "ValidationError"),
)
