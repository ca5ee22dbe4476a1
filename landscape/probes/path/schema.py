"""What files of paths hold."""

from __future__ import annotations

from landscape.results.schema import Schema

SCHEMA = Schema(
    variables="""
    loss(path t) status(path t) barrier(path) barrier_standard_error(path) barrier_at(path) length(path)
    path(path):text t(t) loss_standard_error(path t) accuracy(path t)? accuracy_standard_error(path t)?
    end_distance(path)? moved_units()? alignment(alignment):text? similarity(alignment)?
""",
    together=("accuracy | accuracy_standard_error",),
)
