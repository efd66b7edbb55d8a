"""Ground Truth's manifests: build, upload, check, read and combine them."""

from gandt.manifest import combine
from gandt.manifest.build import Manifest, build_manifest, build_pairs
from gandt.manifest.check import check_manifest
from gandt.manifest.labels import read_labels
from gandt.manifest.lines import read_lines
from gandt.manifest.sources import extra_of, items_of, pairs_of, where_of
from gandt.manifest.upload import Upload, set_cors, upload, upload_images

__all__ = [
    "Manifest",
    "Upload",
    "build_manifest",
    "build_pairs",
    "check_manifest",
    "combine",
    "extra_of",
    "items_of",
    "pairs_of",
    "read_labels",
    "read_lines",
    "set_cors",
    "upload",
    "upload_images",
    "where_of",
]
