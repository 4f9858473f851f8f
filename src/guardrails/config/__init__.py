"""``guardrails.yaml``: what a governor is built from. A section of the file is a module here."""

from guardrails.config.file import FILE_NAME, VARIABLE, Config, find_file

__all__ = ["FILE_NAME", "VARIABLE", "Config", "find_file"]
