"""The option --timezone, checked before any server is started."""

import difflib
import zoneinfo


def check_time_zone(name: str) -> None:
    """Check that there is a time zone of this name. Raises ValueError, which names the nearest."""
    known = sorted(zoneinfo.available_timezones())
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or [one for one in known if one.endswith(name)]
    hint = f"did you mean {' or '.join(close)}?" if close else "it has a name like Europe/Berlin"
    raise ValueError(f"--timezone: there is no time zone {name!r}: {hint}")
