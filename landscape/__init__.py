"""landscape: train networks, measure the shape of their loss, store it with its uncertainty, show it.

Any model, any loss, any data, as an objective; measured; kept; drawn:

    objective = ls.Objective(model, loss, data)
    plane = ls.plane(objective, x=(-1, 1, 25), y=(-1, 1, 25))    # an xarray.Dataset with its provenance
    ls.save(plane, "plane.h5")
    ls.plot(plane).save("plane.png")                              # a file or several will do too: ls.plot("plane.h5")

What there is, by what it is for; help(ls.plane) says more of each:

    what is measured        Objective, Evaluation, Gradient, SymmetricOperator
    around a checkpoint     line, plane, surface, curvature, curvature_map, sharpness, noise_scale, critical_sharpness, basin_radius
    between checkpoints     path, align, trajectory; line and plane with to=
    in a training           watch (a loop of your own), fit with StepProbe, GradientFlow, StabilityProbe, CriticalSharpnessProbe;
                            landscape.loops.lightning and landscape.loops.transformers hold a LandscapeCallback each
    of what was measured    compare, difference, topology, plane_smoothness, plane_curvature, run_range
    files                   save, load, save_checkpoint, load_checkpoint, load_into
    pictures                plot, interactive
    training and data       fit, TrainingConfig, build_model, load_data, as_data
    is it what I mean?      testing.check_objective, testing.check_result

At a prompt and in a notebook a measurement shows its progress; Ctrl-C returns what there is, and resume= goes on with it.

The public names, grouped, are in the stub beside this file. Each is imported when it is first used, so that importing the package
costs nothing. The examples in their docstrings go on from here:

    >>> import numpy as np
    >>> import torch
    >>> import landscape as ls
    >>> _ = torch.manual_seed(0)
    >>> net, other = (torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)) for _ in "ab")
    >>> inputs = torch.randn(60, 2)
    >>> data = (inputs, (inputs.prod(1) > 0).long())
    >>> objective = ls.Objective(net, "cross_entropy", data, device="cpu")
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
