"""Worker templates: rendered as Ground Truth renders them, described by their header, checked before they cost money.

A template is one HTML file in Liquid. gandt's own lie in ``templates/``; each begins with a header, an HTML comment
``<!--gandt ... -->`` of TOML that declares its inputs (keys of ``task.input``) and its outputs (fields of the answer).
"""

from gandt.templates.check import Problem, check
from gandt.templates.header import Header, Input, Output, header
from gandt.templates.places import is_own, names, read
from gandt.templates.render import render
from gandt.templates.tasks import manifest_inputs, sample_input

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
    "read",
    "render",
    "sample_input",
]
