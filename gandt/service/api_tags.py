"""SageMaker's operations on the tags of labeling jobs, workteams, workforces and human task UIs."""

from typing import Any

from gandt.service.api_base import ARN, ApiError, Operations, job_arn, page, team_arn

_MOST = 50  # tags of one resource


class Tags(Operations):
    """Tags, by the ARN of what carries them."""

    def _AddTags(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 (AWS's name)
        arn = self._tagged(request["ResourceArn"])
        tags = {**self._tags(arn), **{tag["Key"]: tag["Value"] for tag in request["Tags"]}}
        if len(tags) > _MOST:
            raise ApiError("ResourceLimitExceeded", f"a resource has {_MOST} tags at most; this would make {len(tags)}")
        return {"Tags": self._put_tags(arn, tags)}

    def _ListTags(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        rows, more = page(_listed(self._tags(self._tagged(request["ResourceArn"]))), {"MaxResults": 50, **request})
        return {"Tags": rows, **more}

    def _DeleteTags(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        arn = self._tagged(request["ResourceArn"])
        self._put_tags(arn, {key: value for key, value in self._tags(arn).items() if key not in request["TagKeys"]})
        return {}

    def _tagged(self, arn: str) -> str:
        """Return the ARN of a thing that there is, in our spelling; region and account are not looked at."""
        kind, _, name = arn.split(":", 5)[-1].partition("/")
        store, name = self._service.store, name.rpartition("/")[2]
        if kind == "labeling-job" and store.job(name) is not None:
            return job_arn(name)
        if kind == "workteam" and (teams := store.workteams(name)):
            return team_arn(teams[0].name)
        key = name.lower() if kind == "workforce" else name
        if kind in ("workforce", "human-task-ui") and (record := store.record(kind, key)) is not None:
            return f"{ARN}{kind}/" + (record.content["WorkforceName"] if kind == "workforce" else record.key)
        raise ApiError("ResourceNotFound", f"there is nothing with the ARN {arn}")

    def _tags(self, arn: str) -> dict[str, str]:
        record = self._service.store.record("tags", arn)
        return {tag["Key"]: tag["Value"] for tag in record.content} if record else {}

    def _put_tags(self, arn: str, tags: dict[str, str]) -> list[dict[str, str]]:
        rows = _listed(tags)
        self._service.store.put_record("tags", arn, rows, self._service.clock())
        return rows


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
