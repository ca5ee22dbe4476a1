"""Policies of BatchNorm and its running statistics, layer by layer against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import InputError
from landscape.objective.batch_norm import (
    POLICIES,
    RunningStatistics,
    applicable_policy,
    batch_norm_layers,
    moved_statistics,
    use_batch_statistics,
)


def net() -> nn.Sequential:
    """Two BatchNorms with statistics that are not the initial ones, and one without any."""
    linear = nn.Linear(2, 3)
    linear.weight.data.copy_(torch.arange(6.0).view(3, 2))
    nn.init.zeros_(linear.bias)
    layers = [nn.BatchNorm1d(2, momentum=0.3), linear, nn.BatchNorm1d(3, momentum=None)]
    module = nn.Sequential(*layers, nn.BatchNorm1d(3, track_running_stats=False)).double()
    for at, layer in enumerate(layers[::2]):
        assert isinstance(layer, nn.BatchNorm1d)
        layer.running_mean = torch.arange(1.0, layer.num_features + 1).double() + 10 * at
        layer.running_var = torch.arange(1.0, layer.num_features + 1).double() + 10 * at + 5
    return module.eval()


STATISTICS = [1.0, 2.0, 6.0, 7.0, 11.0, 12.0, 13.0, 16.0, 17.0, 18.0]


def inputs(index: int) -> Tensor:
    return torch.randn(6, 2, generator=torch.Generator().manual_seed(index), dtype=torch.float64)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_stays_where_every_batch_norm_or_none_keeps_statistics(policy: str) -> None:
    assert applicable_policy(policy, nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))) == policy
    assert applicable_policy(policy, nn.Linear(2, 2)) == policy
    assert applicable_policy(policy, lambda x: x) == policy  # type: ignore[arg-type]
    assert applicable_policy(policy, nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False))) == "batch"


@pytest.mark.parametrize("policy", POLICIES)
def test_where_some_keep_statistics_and_others_none_only_batch_is_possible(policy: str) -> None:
    if policy == "batch":
        assert applicable_policy(policy, net()) == "batch"
    else:
        with pytest.raises(InputError, match=rf"^module: 3 keeps no .* all be {policy}\. Choose batch_norm='batch'\.$"):
            applicable_policy(policy, net())


def test_an_unknown_policy_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"^batch_norm: .*Did you mean 'frozen'\?"):
        applicable_policy("frosen", net())


def test_by_its_batch_means_the_values_of_training_mode_in_evaluation_too() -> None:
    ours, theirs = net(), net().train()
    use_batch_statistics(ours)
    for layer in batch_norm_layers(ours).values():
        assert not layer.track_running_stats
        assert layer.running_mean is layer.running_var is layer.num_batches_tracked is None
    assert torch.equal(ours(inputs(0)), theirs(inputs(0)))


def test_running_statistics_are_views_of_one_vector_in_the_order_of_the_layers() -> None:
    module = net()
    values = module(inputs(0))
    statistics = RunningStatistics(module)
    assert statistics.layout.names == ("0.running_mean", "0.running_var", "2.running_mean", "2.running_var")
    assert statistics.vector.tolist() == STATISTICS
    assert statistics.variance_mask().tolist() == 2 * [False] + 2 * [True] + 3 * [False] + 3 * [True]
    assert torch.equal(module(inputs(0)), values)
    statistics.vector.fill_(4.0)
    assert module[0].running_mean.tolist() == module[0].running_var.tolist() == [4.0, 4.0]
    assert module[2].running_var.tolist() == [4.0, 4.0, 4.0]


def test_a_single_batch_norm_and_a_module_without_any_have_statistics_too() -> None:
    assert RunningStatistics(nn.BatchNorm1d(2)).layout.names == ("running_mean", "running_var")
    none = RunningStatistics(nn.Linear(2, 2))
    assert none.vector.shape == none.variance_mask().shape == (0,)
    assert RunningStatistics(nn.Linear(2, 2, device="meta")).vector.device.type == "meta"
    assert RunningStatistics(nn.ReLU()).vector.device.type == "cpu"
    assert RunningStatistics(nn.BatchNorm1d(2, device="meta")).variance_mask().device.type == "meta"


def test_reestimated_statistics_are_those_of_update_bn_and_the_layers_come_back_as_they_were() -> None:
    ours, theirs = net(), net()
    torch.optim.swa_utils.update_bn([inputs(i) for i in range(3)], theirs)
    statistics = RunningStatistics(ours)
    with pytest.raises(KeyboardInterrupt), statistics.reestimation():
        assert ours[0].training
        assert not ours[3].training
        for i in range(3):
            ours[:3](inputs(i))
        raise KeyboardInterrupt
    for name, view in statistics.layout.views(statistics.vector).items():
        torch.testing.assert_close(view, theirs.get_buffer(name), rtol=1e-12, atol=1e-12)
    assert [layer.momentum for layer in batch_norm_layers(ours).values()] == [0.3, None, 0.1]
    assert not any(layer.training for layer in batch_norm_layers(ours).values())


def test_statistics_move_linearly_and_no_variance_falls_below_the_least_of_the_checkpoints() -> None:
    start = torch.tensor([1.0, 4.0, 4.0, 4.0])
    changes = torch.tensor([[2.0, -3.0, 1.0, -1.0], [-1.0, 2.0, 1.0, -2.0]])
    variances = torch.tensor([False, True, True, True])
    between = moved_statistics(start, changes, torch.tensor([0.5, 0.25]), variances)
    assert between.tolist() == [1.75, 3.0, 4.75, 3.0]
    beyond = moved_statistics(start, changes, torch.tensor([2.0, -3.0]), variances)
    # Channel by channel, the checkpoints' variances are 4, 1, 6; then 4, 5, 5; then 4, 3, 2.
    assert beyond.tolist() == [8.0, 1.0, 4.0, 8.0]
