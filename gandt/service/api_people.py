"""SageMaker's operations on workteams and workforces.

How people sign in is gandt's own (``gandt workers invite``), so that what requests say of Cognito and OpenID Connect
is kept and shown, but asks nobody. A workforce's SourceIpConfig is applied (gandt/service/portal.py).
"""

import ipaddress
from typing import Any

from gandt.service.api_base import ARN, ApiError, Operations, page, sort, team_arn
from gandt.service.records import Record
from gandt.service.store import Workteam

_TEAM = ("WorkteamName", "MemberDefinitions", "Description", "NotificationConfiguration", "WorkerAccessConfiguration")
_FORCE = ("WorkforceName", "SourceIpConfig", "CognitoConfig", "OidcConfig", "WorkforceVpcConfig", "IpAddressType")


class People(Operations):
    """Workteams and workforces."""

    def _CreateWorkteam(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 (AWS's name)
        store = self._service.store
        if "WorkforceName" in request:
            self._force(request["WorkforceName"])
        if not store.put_workteam(_untagged(request), self._service.clock()):
            raise ApiError("ResourceInUse", f"there is a workteam {request['WorkteamName']} already")
        arn = team_arn(request["WorkteamName"])
        self._keep_tags(arn, request)
        return {"WorkteamArn": arn}

    def _DescribeWorkteam(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"Workteam": self._described_team(self._team(request["WorkteamName"]))}

    def _UpdateWorkteam(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        team = self._team(request["WorkteamName"])
        changed = {**team.request, **request, "WorkteamName": team.name}
        self._service.store.change_workteam(changed, self._service.clock())
        return {"Workteam": self._described_team(self._team(team.name))}

    def _ListWorkteams(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        part = request.get("NameContains", "").lower()
        teams = [team for team in self._service.store.workteams() if part in team.name.lower()]
        by_name = request.get("SortBy", "CreateDate") == "Name"
        sort(teams, lambda team: team.name.lower() if by_name else team.created, request)
        rows, more = page(teams, request)
        return {"Workteams": [self._described_team(team) for team in rows], **more}

    def _DeleteWorkteam(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        team = self._team(request["WorkteamName"])
        if any(not job.ended for job in self._service.store.jobs(team.name)):
            raise ApiError(
                "ValidationException", f"workteam {team.name} has labeling jobs in progress; stop them first"
            )
        self._service.store.delete_record("tags", team_arn(team.name))
        return {"Success": self._service.store.delete_workteam(team.name)}

    def _ListSubscribedWorkteams(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"SubscribedWorkteams": []}  # vendors sell on AWS Marketplace alone

    def _DescribeSubscribedWorkteam(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        raise ApiError("ValidationException", f"there is no subscribed workteam {request['WorkteamArn']}")

    def _team(self, name: str, code: str = "ValidationException") -> Workteam:
        teams = self._service.store.workteams(name)
        if not teams:
            raise ApiError(code, f"there is no workteam {name}")
        return teams[0]

    def _described_team(self, team: Workteam) -> dict[str, Any]:
        described = {
            **{name: team.request[name] for name in _TEAM if name in team.request},
            "WorkteamArn": team_arn(team.name),
            "CreateDate": team.created,
            "LastUpdatedDate": team.modified,
        }
        for force in self._service.store.records("workforce"):
            described["WorkforceArn"] = _force_arn(force.content["WorkforceName"])
        return described

    # ------------------------------------------------------------------ workforces: one at most, as in a region of AWS

    def _CreateWorkforce(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if ("CognitoConfig" in request) == ("OidcConfig" in request):
            raise ApiError("ValidationException", "a workforce needs exactly one of CognitoConfig and OidcConfig")
        _check_ranges(request)
        store, name = self._service.store, request["WorkforceName"]
        there = store.records("workforce")
        if there or not store.add_record("workforce", name.lower(), _without_secret(request), self._service.clock()):
            taken = there[0].content["WorkforceName"] if there else name
            raise ApiError("ResourceInUse", f"there is a workforce already, {taken}; an account has one in a region")
        self._keep_tags(_force_arn(name), request)
        return {"WorkforceArn": _force_arn(name)}

    def _DescribeWorkforce(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"Workforce": _described_force(self._force(request["WorkforceName"]))}

    def _UpdateWorkforce(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        force = self._force(request["WorkforceName"])
        _check_ranges(request)
        if "OidcConfig" in request and "CognitoConfig" in force.content:
            raise ApiError("ValidationException", "a workforce of Cognito can't take an OidcConfig; make a new one")
        name = force.content["WorkforceName"]
        changed = {**force.content, **_without_secret(request), "WorkforceName": name}
        self._service.store.put_record("workforce", force.key, changed, self._service.clock())
        return {"Workforce": _described_force(self._force(name))}

    def _ListWorkforces(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        part = request.get("NameContains", "").lower()
        forces = [force for force in self._service.store.records("workforce") if part in force.key]
        rows, more = page(forces, request)
        return {"Workforces": [_described_force(force) for force in rows], **more}

    def _DeleteWorkforce(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        force = self._force(request["WorkforceName"])
        teams = [team.name for team in self._service.store.workteams()]
        if teams:
            raise ApiError(
                "ValidationException",
                f"workforce {force.content['WorkforceName']} has workteams ({', '.join(teams[:5])}); delete them first",
            )
        self._service.store.delete_record("tags", _force_arn(force.content["WorkforceName"]))
        self._service.store.delete_record("workforce", force.key)
        return {}

    def _force(self, name: str) -> Record:
        force = self._service.store.record("workforce", name.lower())
        if force is None:
            raise ApiError("ValidationException", f"there is no workforce {name}")
        return force


def _check_ranges(request: dict[str, Any]) -> None:
    """Refuse a SourceIpConfig, which the portal applies, that holds what is no range of addresses."""
    for each in request.get("SourceIpConfig", {}).get("Cidrs", []):
        try:
            ipaddress.ip_network(each, strict=False)
        except ValueError as error:
            raise ApiError("ValidationException", f"SourceIpConfig.Cidrs: {error}") from error


def _force_arn(name: str) -> str:
    return f"{ARN}workforce/{name}"


def _untagged(request: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name != "Tags"}


def _without_secret(request: dict[str, Any]) -> dict[str, Any]:
    """Return the request without what is never shown again: nobody here needs the OpenID client's secret."""
    kept = _untagged(request)
    if "OidcConfig" in kept:
        kept["OidcConfig"] = {name: value for name, value in kept["OidcConfig"].items() if name != "ClientSecret"}
    return kept


def _described_force(force: Record) -> dict[str, Any]:
    return {
        **{name: force.content[name] for name in _FORCE if name in force.content},
        "WorkforceArn": _force_arn(force.content["WorkforceName"]),
        "Status": "Active",
        "CreateDate": force.created,
        "LastUpdatedDate": force.modified,
    }
