"""Events, responses, tables."""

import numpy as np
import pytest

from medsr.errors import UsageError
from medsr.simulation.paradigm import (
    Event,
    events_tsv,
    haemodynamic_response,
    paradigm,
    parse_events_tsv,
    response,
    task_frequency,
)


def test_the_response_peaks_after_five_seconds_and_undershoots():
    t = np.arange(0, 40, 0.01)
    h = haemodynamic_response(t)
    assert t[h.argmax()] == pytest.approx(5, abs=0.1)
    assert 12 < t[h.argmin()] < 17 and h.min() < 0
    assert h.sum() * 0.01 == pytest.approx(5 / 6, abs=1e-3)
    assert not haemodynamic_response(np.array([-3.0, 0.0])).any()


def test_blocks_alternate():
    events = paradigm("blocks", 200.0, 20.0)
    assert events[0] == Event(20.0, 20.0) and events[1].onset == 60.0 and len(events) == 5
    assert task_frequency(events) == pytest.approx(1 / 40)
    course = response(events, np.arange(200.0))
    assert course.max() == pytest.approx(1, abs=0.01) and abs(course[:20]).max() == 0
    assert course[30] > 0.9


def test_events_are_drawn_from_the_seed():
    one, two = paradigm("events", 300.0, seed=1), paradigm("events", 300.0, seed=2)
    assert one == paradigm("events", 300.0, seed=1) != two
    gaps = np.diff([e.onset for e in one])
    assert gaps.min() >= 5.99 and gaps.max() <= 14.01 and 20 < len(one) < 50


def test_rest_has_no_response():
    assert paradigm("rest", 100.0) == () and not response((), np.arange(5.0)).any()
    assert task_frequency(()) is None


def test_the_scale_does_not_hang_on_the_times():
    events = paradigm("blocks", 100.0)
    assert response(events, np.array([25.0]))[0] == pytest.approx(response(events, np.arange(100.0))[25])


def test_tables_are_bids_and_read_back():
    events = paradigm("events", 100.0, seed=4)
    text = events_tsv(events)
    assert text.startswith("onset\tduration\ttrial_type\n")
    assert parse_events_tsv(text) == events
    assert parse_events_tsv("duration\tonset\n2\t5\n1\t3\n") == (Event(3, 1), Event(5, 2))
    for bad in ("", "a\tb\n", "onset\tduration\n1\n", "onset\tduration\nx\t1\n", "onset\tduration\nnan\t1\n"):
        with pytest.raises(UsageError):
            parse_events_tsv(bad)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UsageError):
        paradigm("sleep", 100.0)
    with pytest.raises(UsageError):
        paradigm("blocks", 100.0, 0.0)
