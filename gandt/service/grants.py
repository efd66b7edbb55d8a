"""What ``grant_read_access`` gives: addresses of this server that show one object of S3 until a certain time.

The address is the only right that it needs, so that a page in a sandboxed frame can show the object without a cookie;
nobody can make or change one without the key.
"""

import base64
import hashlib
import hmac
import json
import posixpath
import urllib.parse


class Grants:
    """Signs and checks such addresses.

    Parameters
    ----------
    key : str
        The secret that all of them are signed with.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def path(self, uri: str, expires: float) -> str:
        """Return the path under which this server shows the object at ``uri`` (``s3://``) until ``expires``."""
        text = json.dumps([uri, round(expires)]).encode()
        name = urllib.parse.quote(posixpath.basename(uri) or "object")
        return f"/object/{_text(text)}.{_text(self._signature(text))}/{name}"

    def uri(self, token: str, now: float) -> str | None:
        """Return the ``s3://`` address that a token in such a path grants, None if it is forged or expired."""
        try:
            text, signature = map(_bytes, token.split("."))
            if not hmac.compare_digest(signature, self._signature(text)):
                return None
            uri, expires = json.loads(text)
        except ValueError:
            return None
        return str(uri) if now < expires else None

    def _signature(self, text: bytes) -> bytes:
        return hmac.new(self._key, text, hashlib.sha256).digest()


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
