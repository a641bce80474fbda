"""What a job says about a destination that it cannot use."""

from collections.abc import Iterator
from contextlib import contextmanager

from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.storage.destination import Destination


def check_own(destination: Destination) -> None:
    """Check that a destination holds nothing but a job's outputs; it need not exist.

    Raises:
        NotADirectoryError, ValueError: it does not; the message says what to do.
        RuntimeError: it cannot be read.
    """
    with destination_errors(destination):
        if not (destination / RESERVED).names() and destination.names():
            raise ValueError(f"destination {destination} holds other files: choose a new or empty folder")


@contextmanager
def destination_errors(destination: Destination) -> Iterator[None]:
    """Turn an OSError of the destination into an error with a message for the user."""
    try:
        yield
    except NotADirectoryError as error:
        raise NotADirectoryError(f"destination {destination} is not a folder: choose another one") from error
    except BlockingIOError as error:
        since = f" ({error})" if error.errno is None else ""  # details of the destination
        raise RuntimeError(
            f"another job is running on {destination}{since}: wait until it ends, or choose another destination"
        ) from error
    except OSError as error:
        raise RuntimeError(f"destination {destination} cannot be written: {error.strerror or error}") from error
