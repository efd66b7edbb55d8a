"""Embedded storage: as much of S3 as labeling needs, in a folder that survives restarts.

``folder.py`` keeps buckets and objects, ``protocol.py`` speaks S3's REST protocol, ``signed.py`` checks presigned
addresses, ``server.py`` is the port. moto, which tests and ``gandt demo`` use, keeps everything in memory only.
"""

from gandt.service.objects.folder import ObjectFolder
from gandt.service.objects.server import embedded

__all__ = ["ObjectFolder", "embedded"]
