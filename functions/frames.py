"""Where an error came from, without its message, which may hold a caller's data."""

from __future__ import annotations


def frames_of(error: BaseException) -> list[str]:
    """Its frames from the outermost on, each as `file:line function`."""
    found, trace = [], error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        found.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return found
