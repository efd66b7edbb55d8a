"""As much of AWS STS as Lambdas for Ground Truth call: AWS's own samples take the job's role before they read S3.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

import secrets
import time
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from starlette.responses import Response

from gandt.service.objects.answers import iso
from gandt.service.objects.body import S3Error

_ACCOUNT = "000000000000"


def temporary_key() -> tuple[str, str]:
    """Return access key id and secret for everybody who takes a role."""
    return f"ASIA{secrets.token_hex(8).upper()}", secrets.token_hex(20)


async def answer(request: Any, key: tuple[str, str]) -> Response:
    """Answer AssumeRole and GetCallerIdentity in STS's query protocol."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > 100_000:
            raise S3Error(400, "RequestEntityTooLarge", "the body is too long")
    given = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
    action = given.get("Action", "")
    if action == "AssumeRole":
        role, name = escape(given.get("RoleArn", "")), escape(given.get("RoleSessionName", ""))
        members = (
            f"<Credentials><AccessKeyId>{key[0]}</AccessKeyId><SecretAccessKey>{key[1]}</SecretAccessKey>"
            f"<SessionToken>embedded</SessionToken><Expiration>{iso(time.time() + 3600)}</Expiration></Credentials>"
            f"<AssumedRoleUser><Arn>{role}/{name}</Arn><AssumedRoleId>{key[0]}:{name}</AssumedRoleId></AssumedRoleUser>"
        )
    elif action == "GetCallerIdentity":
        arn = f"arn:aws:iam::{_ACCOUNT}:root"
        members = f"<Arn>{arn}</Arn><UserId>{_ACCOUNT}</UserId><Account>{_ACCOUNT}</Account>"
    else:
        raise S3Error(501, "NotImplemented", f"{action[:100] or 'POST'} isn't there in embedded storage")
    text = f"<{action}Result>{members}</{action}Result><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata>"
    space = "https://sts.amazonaws.com/doc/2011-06-15/"
    return Response(f'<{action}Response xmlns="{space}">{text}</{action}Response>', media_type="text/xml")
