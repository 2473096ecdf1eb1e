"""Why evidence is not taken."""


class Refused(Exception):
    """Evidence that is not what it has to be; the text says why."""


def demand(holds: bool, reason: str) -> None:
    """Refuses for this reason what does not hold."""
    if not holds:
        raise Refused(reason)
