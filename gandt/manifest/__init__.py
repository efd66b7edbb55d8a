"""Ground Truth's manifests: build, upload, check and read them."""

from gandt.manifest.build import Manifest, build_manifest
from gandt.manifest.check import check_manifest
from gandt.manifest.labels import read_labels
from gandt.manifest.sources import items_of
from gandt.manifest.upload import upload_images

__all__ = ["Manifest", "build_manifest", "check_manifest", "items_of", "read_labels", "upload_images"]
