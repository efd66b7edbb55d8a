"""SageMaker's operations on worker templates: RenderUiTemplate, and templates kept by name (human task UIs)."""

import hashlib
import json
from typing import Any

from gandt import templates
from gandt.errors import ContractError
from gandt.service.api_base import ARN, ApiError, Operations, created_within, page, sort
from gandt.service.records import Record


class Templates(Operations):
    """Templates by name, and how they look."""

    def _RenderUiTemplate(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 (AWS's name)
        if ("UiTemplate" in request) == ("HumanTaskUiArn" in request):
            raise ApiError("ValidationException", "give exactly one of UiTemplate and HumanTaskUiArn")
        try:
            task_input = json.loads(request["Task"]["Input"])
        except (ValueError, RecursionError) as error:
            raise ApiError("ValidationException", f"Task.Input isn't JSON: {error}") from error
        if not isinstance(task_input, dict):
            raise ApiError("ValidationException", "Task.Input isn't a JSON object")
        if "UiTemplate" in request:
            text = request["UiTemplate"]["Content"]
        else:
            try:
                text = self._service.human_task_ui(request["HumanTaskUiArn"])
            except ContractError as error:
                raise ApiError("ResourceNotFound", str(error)) from error
        try:
            content = templates.render(text, task_input, grant=self._grant)
        except ContractError as error:
            return {"RenderedContent": "", "Errors": [{"Code": "RenderingError", "Message": str(error)}]}
        return {"RenderedContent": content, "Errors": []}

    def _CreateHumanTaskUi(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name, content = request["HumanTaskUiName"], request["UiTemplate"]["Content"]
        if not self._service.store.add_record("human-task-ui", name, content, self._service.clock()):
            raise ApiError("ResourceInUse", f"there is a human task UI {name} already")
        self._keep_tags(_arn(name), request)
        return {"HumanTaskUiArn": _arn(name)}

    def _DescribeHumanTaskUi(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        record = self._ui(request["HumanTaskUiName"])
        digest = hashlib.sha256(record.content.encode()).hexdigest()
        url = f"{self._service.store.setting('address') or ''}/human-task-ui/{record.key}"
        return {
            **_summary(record),
            "HumanTaskUiStatus": "Active",
            "UiTemplate": {"Url": url, "ContentSha256": digest},
        }

    def _ListHumanTaskUis(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        records = [
            record for record in self._service.store.records("human-task-ui") if created_within(record.created, request)
        ]
        sort(records, lambda record: record.created, request)
        rows, more = page(records, request)
        return {"HumanTaskUiSummaries": [_summary(record) for record in rows], **more}

    def _DeleteHumanTaskUi(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        record = self._ui(request["HumanTaskUiName"])
        self._service.store.delete_record("tags", _arn(record.key))
        self._service.store.delete_record("human-task-ui", record.key)
        return {}

    def _ui(self, name: str) -> Record:
        record = self._service.store.record("human-task-ui", name)
        if record is None:
            raise ApiError("ResourceNotFound", f"there is no human task UI {name}")
        return record


def _arn(name: str) -> str:
    return f"{ARN}human-task-ui/{name}"


def _summary(record: Record) -> dict[str, Any]:
    return {"HumanTaskUiName": record.key, "HumanTaskUiArn": _arn(record.key), "CreationTime": record.created}
