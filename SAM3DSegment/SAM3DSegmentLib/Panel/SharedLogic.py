"""One logic for all panels of the module: two that watch the same prompts would answer each of them twice."""

from SAM3DSegmentLib.Logic import SAM3DSegmentLogic

_logic: SAM3DSegmentLogic | None = None
_users = 0


def acquire() -> SAM3DSegmentLogic:
    """The logic, made for the first panel."""
    global _logic, _users  # noqa: PLW0603
    if _logic is None:
        _logic = SAM3DSegmentLogic()
    _users += 1
    return _logic


def release() -> None:
    """A panel is gone; with the last one the logic stops its worker."""
    global _logic, _users  # noqa: PLW0603
    _users -= 1
    if _users == 0 and _logic is not None:
        _logic.close()
        _logic = None
