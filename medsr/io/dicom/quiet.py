"""Keeping what pydicom says to itself.

Its warnings and log lines quote the values they complain of, and those may name a patient.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = ("pydicom", "highdicom")


@contextmanager
def quiet() -> Iterator[None]:
    """No warning and no log line of the DICOM libraries leaves this block."""
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    before = [(logger.propagate, list(logger.handlers)) for logger in loggers]
    for logger in loggers:
        logger.propagate = False
        logger.handlers = [logging.NullHandler()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, (propagate, handlers) in zip(loggers, before, strict=True):
            logger.propagate, logger.handlers = propagate, handlers
