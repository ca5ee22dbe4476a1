"""What files of comparisons hold."""

from __future__ import annotations

from landscape.results.schema import Schema

SCHEMA = Schema(
    variables="""
    value(measure setting replicate) mean(measure setting) low(measure setting) high(measure setting)
    n(measure setting) dead(setting) replication(measure):text scale(measure):text measure(measure):text
    setting(setting):text sentence(measure pair):text? long_name(measure):text? measure_units(measure):text?
    pair(pair):text?
""",
    notes=list,
)
