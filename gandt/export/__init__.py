"""Labels in the forms that others read; which form is for what: docs/exports.md."""

from gandt.export.forms import FORMS, Exported, export

__all__ = ["FORMS", "Exported", "export"]
