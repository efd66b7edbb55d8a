"""What a role or user may do, read from its policies: so that a missing right is named before a job fails for it.

A part of IAM's own evaluation: identity policies and the permissions boundary, Allow and Deny, Not..., wildcards.
Conditions aren't judged (what is only allowed under one counts as ``"maybe"``), nor are organisations' policies and
the policies of buckets and keys.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from gandt.errors import InputError

Statement = Mapping[str, Any]


@dataclass(frozen=True)
class Rights:
    """The statements of an identity's policies, and of its permissions boundary where it has one.

    Attributes
    ----------
    statements : tuple of mapping
    boundary : tuple of mapping, optional
    """

    statements: tuple[Statement, ...]
    boundary: tuple[Statement, ...] | None = None

    def allows(self, action: str, resource: str) -> str:
        """Return ``"yes"``, ``"no"``, or ``"maybe"`` where it depends on a condition."""
        answers = [_judged(self.statements, action, resource)]
        if self.boundary is not None:
            answers.append(_judged(self.boundary, action, resource))
        return min(answers, key=("no", "maybe", "yes").index)


def _judged(statements: Iterable[Statement], action: str, resource: str) -> str:
    answer = "no"
    for statement in statements:
        if not _applies(statement, action, resource):
            continue
        if statement.get("Effect") == "Deny":
            if "Condition" not in statement:
                return "no"
        elif "Condition" not in statement:
            answer = "yes"
        elif answer == "no":
            answer = "maybe"
    return answer


def _applies(statement: Statement, action: str, resource: str) -> bool:
    if "NotAction" in statement:
        of_action = not any(_matches(each, action, True) for each in _list(statement["NotAction"]))
    else:
        of_action = any(_matches(each, action, True) for each in _list(statement.get("Action", [])))
    if "NotResource" in statement:
        return of_action and not any(_matches(each, resource) for each in _list(statement["NotResource"]))
    return of_action and any(_matches(each, resource) for each in _list(statement.get("Resource", "*")))


def _matches(pattern: str, text: str, any_case: bool = False) -> bool:
    return _regex(pattern, any_case).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _regex(pattern: str, any_case: bool) -> re.Pattern[str]:
    pattern = re.sub(r"\$\{[^}]*\}", "*", pattern)  # a policy variable may stand for anything
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL if any_case else re.DOTALL)


def _list(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def statements_of(document: Any) -> list[Statement]:
    """Return the statements of a policy document, a mapping or (URL-encoded) JSON."""
    if isinstance(document, str):
        try:
            document = json.loads(unquote(document))
        except ValueError as error:
            raise InputError(f"a policy isn't JSON ({error})") from error
    found = document.get("Statement", [])
    return found if isinstance(found, list) else [found]


def rights_of_role(name: str, iam: Any) -> Rights:
    """Read a role's rights.

    Raises
    ------
    botocore.exceptions.ClientError
        When there is no such role, or its policies may not be read.
    """
    role = iam.get_role(RoleName=name)["Role"]
    found: list[Statement] = []
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=name):
        for policy in page["PolicyNames"]:
            found += statements_of(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=name):
        for policy in page["AttachedPolicies"]:
            found += _managed(policy["PolicyArn"], iam)
    return Rights(tuple(found), _boundary(role, iam))


def rights_of_user(name: str, iam: Any) -> Rights:
    """Read a user's rights, his groups' among them; raises as :func:`rights_of_role` does."""
    user = iam.get_user(UserName=name)["User"]
    found: list[Statement] = []
    for page in iam.get_paginator("list_user_policies").paginate(UserName=name):
        for policy in page["PolicyNames"]:
            found += statements_of(iam.get_user_policy(UserName=name, PolicyName=policy)["PolicyDocument"])
    for page in iam.get_paginator("list_attached_user_policies").paginate(UserName=name):
        for policy in page["AttachedPolicies"]:
            found += _managed(policy["PolicyArn"], iam)
    for group in iam.list_groups_for_user(UserName=name)["Groups"]:
        for policy in iam.list_group_policies(GroupName=group["GroupName"])["PolicyNames"]:
            content = iam.get_group_policy(GroupName=group["GroupName"], PolicyName=policy)
            found += statements_of(content["PolicyDocument"])
        for policy in iam.list_attached_group_policies(GroupName=group["GroupName"])["AttachedPolicies"]:
            found += _managed(policy["PolicyArn"], iam)
    return Rights(tuple(found), _boundary(user, iam))


def _managed(arn: str, iam: Any) -> list[Statement]:
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return statements_of(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def _boundary(identity: Mapping[str, Any], iam: Any) -> tuple[Statement, ...] | None:
    arn = identity.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    return tuple(_managed(arn, iam)) if arn else None


def trusts(document: Any, service: str) -> bool:
    """Tell whether a role's trust policy lets a service of AWS (``sagemaker.amazonaws.com``) assume it."""
    for statement in statements_of(document):
        principal = statement.get("Principal", {})
        named = ["*"] if principal == "*" else _list(principal.get("Service", []))
        if statement.get("Effect") == "Allow" and (service in named or "*" in named):
            actions = _list(statement.get("Action", []))
            if any(_matches(action, "sts:AssumeRole", True) for action in actions):
                return True
    return False
