"""Labels as folders of files: a folder for each label, and a file manager is all one needs."""

from gandt.folders.base import Folders
from gandt.folders.options import Options

__all__ = ["Folders", "Options"]
