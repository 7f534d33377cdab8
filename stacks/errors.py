"""The errors of this room: a stack cannot be applied, or a stack component cannot do what was asked."""


class StackError(Exception):
    """What is wrong with a stack or one of its components, where, and what to do about it."""


class NotAppliedError(StackError):
    """A stack was not applied to the store that is asked."""
