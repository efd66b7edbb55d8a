"""Workers' answers, read from any output of Ground Truth or of gandt's own labeling service."""

from gandt.answers.read import COLUMNS, JobOutput, read_answers, read_output

__all__ = ["COLUMNS", "JobOutput", "read_answers", "read_output"]
