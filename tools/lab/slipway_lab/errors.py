"""Why a lab did not do what was asked; each says so in a sentence that a person can act on."""

STATUS_CANNOT_RUN = 77  # what CTest takes for "skipped"
STATUS_TIME_LIMIT = 124
STATUS_LAB_FAILED = 125


class LabError(Exception):
    """The lab itself failed: a machine did not boot, or died."""
    status = STATUS_LAB_FAILED


class CannotRun(LabError):
    """Something that the lab needs is missing on this computer."""
    status = STATUS_CANNOT_RUN


class TimeLimit(LabError):
    """The time that the lab may take is over, or a wait for something took longer than it may."""
    status = STATUS_TIME_LIMIT
