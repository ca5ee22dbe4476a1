"""What files of probed steps, and of ranges over runs, hold."""

from __future__ import annotations

from landscape.results.schema import Schema

SCHEMA = Schema(
    variables="""
    step(step) along(along):text eta(eta) loss(step) loss_minimum(step along) loss_maximum(step along)
    gradient_distance_minimum(step along) gradient_distance_maximum(step along) effective_beta(step along)
    loss_variation(step along)? gradient_predictiveness(step along)? lipschitz_loss(step along)?
    lipschitz_gradient(step along)? direction_norm(step along)? gradient_predictiveness_normalized(step
    along)? effective_beta_normalized(step along)? lipschitz_loss_normalized(step along)?
    lipschitz_gradient_normalized(step along)? parameter_norm(step)? gradient_norm(step)? epoch(step)?
    learning_rate(step)? loss_along(step along eta)? gradient_distance(step along eta)?
    gradient_norm_along(step along eta)? relative_predictiveness(step along)? function_change(step along)?
    relative_gradient_norm(step)? relative_gradient_distance(step along eta)? function_distance(step along eta)?
""",
)
RUN_RANGE = Schema(
    variables="""
    step(step) loss_minimum(step) loss_maximum(step) gradient_norm_minimum(step) gradient_norm_maximum(step)
""",
)
