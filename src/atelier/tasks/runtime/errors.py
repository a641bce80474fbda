"""Errors in one line, for messages and reports."""


def one_line(error: BaseException) -> str:
    """What an error says, on one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def short_line(error: Exception) -> str:
    """What an error says, on one line of 200 characters at most; its kind where it says nothing."""
    text = one_line(error)
    return text if len(text) <= 200 else text[:199] + "…"


def first_line(error: BaseException) -> str:
    """The first line of what an error says that is not empty; its kind where there is none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def user_message(error: Exception) -> str:
    """The message of an error, without the words Python puts around a system error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return one_line(error)
