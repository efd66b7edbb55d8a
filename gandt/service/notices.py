"""What the service tells others: a job's end, work for a workteam, an object that was labeled.

A job's change of state goes to a webhook as EventBridge shapes it; a workteam's NotificationTopicArn hears of new work,
a streaming job's OutputConfig.SnsTopicArn of every labeled object. Notices are kept until they are delivered, and sent
again after failures and restarts, so that a receiver may meet one twice (by its ``id``).

https://docs.aws.amazon.com/sagemaker/latest/dg/sms-monitor-cloud-watch.html
"""

import json
import logging
import threading
import urllib.request
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from gandt import storage
from gandt.errors import InputError
from gandt.service.store import Store

_log = logging.getLogger(__name__)
_KIND = "notice"
_PAUSES = (0.0, 1.0, 5.0, 30.0, 300.0)  # seconds before each attempt; the last one from then on
_TRIES = 300  # about a day, after which a notice is given up


class Notices:
    """Keeps and delivers notices.

    Parameters
    ----------
    store : Store
        Where they are kept.
    webhook : str, optional
        ``http(s)://`` address that events are posted to.

    Raises
    ------
    InputError
        When the webhook is no such address.
    """

    def __init__(self, store: Store, webhook: str | None = None) -> None:
        if webhook and (urlsplit(webhook).scheme not in ("http", "https") or not urlsplit(webhook).hostname):
            raise InputError(f"--webhook {webhook!r} is no address; write it as https://example.org/hook")
        self._store, self._webhook = store, webhook
        self._wake, self._ending = threading.Event(), False
        self._thread = threading.Thread(target=self._deliver_all, name="notices", daemon=True)

    def start(self) -> None:
        """Begin to deliver, first what was left."""
        self._thread.start()

    def end(self) -> None:
        """Stop delivering; what is left waits for the next start."""
        self._ending = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def state_changed(self, arn: str, status: str, now: float) -> None:
        """Tell the webhook that a job ended."""
        if self._webhook:
            self._keep(event(arn, status, now), now)

    def published(self, topic: str, subject: str, message: Mapping[str, Any], now: float) -> None:
        """Tell a topic something."""
        self._keep({"topic": topic, "subject": subject, "message": dict(message)}, now)

    def _keep(self, content: Mapping[str, Any], now: float) -> None:
        self._store.add_record(_KIND, str(uuid.uuid4()), dict(content), now)
        self._wake.set()

    def _deliver_all(self) -> None:
        failures: dict[str, int] = {}
        while not self._ending:
            self._wake.clear()
            left = self._store.records(_KIND)
            for record in left:
                if self._ending:
                    return
                try:
                    self._deliver(record.key, record.content)
                except Exception as error:  # whatever the network has for us
                    failures[record.key] = failures.get(record.key, 0) + 1
                    _log.warning("a notice can't be delivered: %s", error)
                    if failures[record.key] < _TRIES:
                        continue
                self._store.delete_record(_KIND, record.key)
            least = min((failures.get(record.key, 0) for record in left), default=0)
            waits = any(record.key in failures for record in self._store.records(_KIND))
            self._wake.wait(_PAUSES[min(least, len(_PAUSES) - 1)] if waits else None)

    def _deliver(self, key: str, content: dict[str, Any]) -> None:
        if "topic" in content:
            client = storage.session().client("sns", region_name=content["topic"].split(":")[3])
            text = json.dumps(content["message"])
            client.publish(TopicArn=content["topic"], Subject=content["subject"][:100], Message=text)
        elif self._webhook:
            body = json.dumps({**content, "id": key}).encode()
            asked = urllib.request.Request(self._webhook, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(asked, timeout=10):
                pass


def event(arn: str, status: str, now: float) -> dict[str, Any]:
    """Return EventBridge's event about a job's state, all but its id."""
    return {
        "version": "0",
        "detail-type": "SageMaker Ground Truth Labeling Job State Change",
        "source": "aws.sagemaker",
        "account": arn.split(":")[4],
        "time": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": arn.split(":")[3],
        "resources": [arn],
        "detail": {"LabelingJobStatus": status},
    }
