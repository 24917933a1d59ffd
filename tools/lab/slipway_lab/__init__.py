"""The hardware lab, for tests written in Python: see Lab and Host."""
from .errors import CannotRun, LabError, TimeLimit
from .lab import Host, Lab

__all__ = ["CannotRun", "Host", "Lab", "LabError", "TimeLimit"]
