"""What the lab refuses or fails to do."""


class LabError(Exception):
    """The lab could not do what was asked; the message says on what, why and the way out."""
