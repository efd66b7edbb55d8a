"""Worker templates: rendered as Ground Truth renders them, described by their header, checked before they cost money.

A template is one HTML file in Liquid. gandt's own lie in ``templates/``; each begins with a header, an HTML comment
``<!--gandt ... -->`` of TOML that declares its inputs (keys of ``task.input``) and its outputs (fields of the answer).
"""

from gandt.templates.check import check
from gandt.templates.header import Header, Input, Output, header
from gandt.templates.page import Problem
from gandt.templates.places import is_own, names, read
from gandt.templates.render import render
from gandt.templates.tasks import manifest_inputs, pick_line, sample_input, signed, task_file

__all__ = [
    "Header",
    "Input",
    "Output",
    "Problem",
    "check",
    "header",
    "is_own",
    "manifest_inputs",
    "names",
    "pick_line",
    "read",
    "render",
    "sample_input",
    "signed",
    "task_file",
]
