"""What files of training histories hold."""

from __future__ import annotations

from landscape.results.schema import Schema

SCHEMA = Schema(
    variables="""
    epoch(epoch) train_loss(epoch)? validation_loss(epoch)? train_accuracy(epoch)? validation_accuracy(epoch)?
    learning_rate(epoch)? test_loss()? test_accuracy()?
""",
)
