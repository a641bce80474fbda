"""Errors in one line, for messages and reports."""

USER_ERRORS = (ValueError, FileNotFoundError, NotADirectoryError, FileExistsError)  # wrong usage or bad input


def one_line(error: BaseException) -> str:
    """The message of an error on one line; its class name where it is empty."""
    return " ".join(str(error).split()) or type(error).__name__


def short_line(error: Exception) -> str:
    """As `one_line`, of 200 characters at most."""
    text = one_line(error)
    return text if len(text) <= 200 else text[:199] + "…"


def first_line(error: BaseException) -> str:
    """The first non-empty line of an error's message; its class name where there is none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def user_message(error: Exception) -> str:
    """The message of an error on one line, without Python's prefix of a system error, and with its notes.

    Names in it may be a stranger's: what would command a terminal is shown as an escape sequence.
    """
    text = one_line(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return printable("; ".join([text, *getattr(error, "__notes__", ())]))


def printable(text: str) -> str:
    """A text in which characters that would command a terminal are escape sequences of Python."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
