"""Small modules in double precision, one for each of 181 differentiable operations, which parameters and samples both reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from operation_kinds import (
    OPERATIONS,
    add,
    layer,
    matrix,
    of_each,
    pointwise,
    positive,
    symmetric,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, rnn

__all__ = ["OPERATIONS"]

# Products
add("matmul", lambda x, w, u: torch.matmul(torch.matmul(x, w), u), (3,), (3, 4), (4, 2))
add("bmm", lambda x, w: torch.bmm(torch.tanh(x[:, :, None] * w), x[:, None, :] * w), (3,), (3, 3))
add("einsum", lambda x, w, u: torch.einsum("bi,ijk,bk->bj", x, w, x @ u), (3,), (3, 2, 4), (3, 4))
add("tensordot", lambda x, w: torch.tensordot(torch.tanh(x @ w[0]), w, dims=([1], [1])), (3,), (3, 3, 3))
add("bilinear", lambda x, w, u: F.bilinear(x @ u, torch.sin(x @ u), w), (3,), (2, 4, 4), (3, 4))
add("kron", lambda x, w, u: x @ torch.kron(w, torch.tanh(u)), (4,), (2, 2), (2, 3))
add("multi_dot", lambda x, w, u: torch.linalg.multi_dot([x, w, torch.tanh(u), w]), (3,), (3, 4), (4, 3))

# Convolutions and what moves pixels
add(
    "conv1d", lambda x, w, u: F.conv1d(torch.tanh(F.conv1d(x, w, padding=1)), u, stride=2), (2, 7), (3, 2, 3), (2, 3, 2)
)
add(
    "conv2d",
    lambda x, w, u: F.conv2d(torch.tanh(F.conv2d(x, w, padding=1)), u, stride=2),
    (2, 5, 5),
    (3, 2, 3, 3),
    (2, 3, 2, 2),
)
add(
    "conv3d",
    lambda x, w, u: F.conv3d(torch.tanh(F.conv3d(x, w, padding=1)), u),
    (1, 3, 3, 3),
    (2, 1, 3, 3, 3),
    (2, 2, 2, 2, 2),
)
add(
    "conv_transpose1d",
    lambda x, w: torch.tanh(F.conv_transpose1d(F.conv_transpose1d(x, w, stride=2).tanh(), w)),
    (2, 4),
    (2, 2, 3),
)
add(
    "conv_transpose2d",
    lambda x, w: torch.tanh(F.conv_transpose2d(F.conv_transpose2d(x, w, stride=2).tanh(), w)),
    (2, 3, 3),
    (2, 2, 2, 2),
)
add("unfold", lambda x, w: torch.tanh(w @ F.unfold(x * w[0, 0], 2)), (2, 4, 4), (3, 8))
add("fold", lambda x, w: torch.tanh(F.fold(torch.tanh(w @ x), (4, 4), 2)), (2, 9), (8, 2))
add("pixel_shuffle", lambda x, w: torch.tanh(F.pixel_shuffle(F.conv2d(x, w), 2)).square(), (2, 3, 3), (4, 2, 2, 2))
add(
    "grid_sample",
    lambda x, w, u: F.grid_sample(F.conv2d(x, u), torch.tanh(w).expand(len(x), -1, -1, -1), align_corners=False),
    (1, 4, 4),
    (2, 3, 2),
    (2, 1, 2, 2),
)
add(
    "affine_grid",
    lambda x, w, u: F.grid_sample(
        F.conv2d(x, u),
        F.affine_grid(w.expand(len(x), 2, 3), [len(x), 1, 3, 3], align_corners=False),
        align_corners=False,
    ),
    (1, 4, 4),
    (2, 3),
    (2, 1, 2, 2),
)
for mode in ("bilinear", "bicubic"):
    add(
        f"interpolate {mode}",
        lambda x, w, mode=mode: torch.tanh(F.interpolate(torch.tanh(F.conv2d(x, w)), size=(5, 4), mode=mode)),
        (2, 4, 4),
        (2, 2, 2, 2),
    )
for mode in ("reflect", "replicate"):
    add(
        f"pad {mode}",
        lambda x, w, mode=mode: torch.tanh(F.pad(torch.tanh(F.conv2d(x, w)), (1, 1, 1, 1), mode=mode)).square(),
        (2, 4, 4),
        (2, 2, 2, 2),
    )
add("avg_pool2d", lambda x, w: torch.tanh(F.avg_pool2d(F.conv2d(x, w).square(), 2)), (2, 5, 5), (3, 2, 2, 2))
add("max_pool2d", lambda x, w: torch.tanh(F.max_pool2d(F.conv2d(x, w).square(), 2)), (2, 5, 5), (3, 2, 2, 2))
add(
    "adaptive_avg_pool2d",
    lambda x, w: torch.tanh(F.adaptive_avg_pool2d(F.conv2d(x, w).square(), 2)),
    (2, 5, 5),
    (3, 2, 2, 2),
)
add(
    "adaptive_max_pool2d",
    lambda x, w: torch.tanh(F.adaptive_max_pool2d(F.conv2d(x, w).square(), 2)),
    (2, 5, 5),
    (3, 2, 2, 2),
)
add(
    "max_unpool2d",
    lambda x, w: torch.tanh(F.max_unpool2d(*F.max_pool2d(F.conv2d(x, w).square(), 2, return_indices=True), 2)),
    (2, 5, 5),
    (3, 2, 2, 2),
)
add("lp_pool2d", lambda x, w: torch.tanh(F.lp_pool2d(F.conv2d(x, w).square() + 0.1, 3, 2)), (2, 5, 5), (3, 2, 2, 2))

# Linear algebra
for name in ("inv", "det", "slogdet", "qr", "svdvals", "matrix_exp", "pinv"):
    function = getattr(torch.linalg, name)
    matrix(name, (lambda a, f=function: f(a)[1]) if name == "slogdet" else function)
matrix("svd", lambda a: [p.square() for p in torch.linalg.svd(a + torch.diag(torch.tensor([0.1, 0.7, 1.9])))])
matrix("spectral norm", lambda a: torch.linalg.matrix_norm(a, ord=2))
matrix("solve", lambda a: torch.linalg.solve(a, torch.tanh(a.mT)))
matrix("solve_triangular", lambda a: torch.linalg.solve_triangular(a.triu(), torch.tanh(a), upper=True))
matrix("lstsq", lambda a: torch.linalg.lstsq(a, torch.tanh(a.mT)).solution)
matrix("lu_solve", lambda a: torch.linalg.lu_solve(*torch.linalg.lu_factor(a), torch.tanh(a)))
symmetric("cholesky", torch.linalg.cholesky)
symmetric("cholesky_inverse", lambda a: torch.cholesky_inverse(torch.linalg.cholesky(a)))
symmetric("eigvalsh", torch.linalg.eigvalsh)
symmetric("eigh", lambda a: [p.square() for p in torch.linalg.eigh(a)])
add("slogdet of parameters", lambda x, w: torch.tanh(x @ w) + torch.linalg.slogdet(w + torch.eye(3))[1], (3,), (3, 3))

# Sums, products, orders
for name in (
    "cumsum",
    "cumprod",
    "logcumsumexp",
    "softmax",
    "log_softmax",
    "logsumexp",
    "prod",
    "std",
    "var",
    "amax",
    "norm",
    "diff",
):
    function = getattr(torch, name)
    needs = {"dim": -1} if name not in ("diff", "norm") else {"p": 2, "dim": -1} if name == "norm" else {}

    def reduced(a: Tensor, function: Any = function, needs: Any = needs, name: str = name) -> Tensor:
        found = function(torch.tanh(a) + (0.5 if name in ("prod", "cumprod") else 0), **needs)
        found = found[0] if isinstance(found, tuple) else found
        return found.reshape(len(a), -1) * a[:, :1]

    pointwise(name, reduced)
pointwise("prod with a zero", lambda a: torch.cat([a[:, :3], a[:, :1] * 0], 1).prod(1, keepdim=True) * a + a)
pointwise("normalize", lambda a: F.normalize(a))
pointwise("renorm", lambda a: torch.renorm(a, 2, 0, 0.7))
pointwise("sort", lambda a: torch.sort(a)[0].tanh() * a)
pointwise("topk", lambda a: torch.topk(a, 2)[0].tanh() * a[:, :2])
pointwise("maximum", lambda a: torch.maximum(a.tanh(), a.square()))
pointwise("trapezoid", lambda a: torch.trapezoid(a.tanh(), a.square())[:, None])

# Indices
ROWS = torch.tensor([0, 2, 1, 2, 0])
for reduce in ("sum", "prod", "mean", "amax"):
    add(
        f"scatter_reduce {reduce}",
        lambda x, w, r=reduce: torch.scatter_reduce(
            (x @ w)[:, :3], 1, ROWS.expand(len(x), 5), torch.tanh(x @ w) + 0.2, r
        ),
        (3,),
        (3, 5),
    )
add(
    "index_reduce",
    lambda x, w: torch.index_reduce((x @ w)[:, :3], 1, ROWS, torch.tanh(x @ w) + 0.2, "prod"),
    (3,),
    (3, 5),
)
add(
    "segment_reduce",
    lambda x, w: torch.segment_reduce((torch.tanh(x @ w) + 0.2).t(), "sum", lengths=torch.tensor([2, 3]), axis=0).t(),
    (3,),
    (3, 5),
)
add(
    "scatter_add",
    lambda x, w: torch.tanh((x @ w)[:, :3].scatter_add(1, ROWS.expand(len(x), 5), torch.tanh(x @ w))),
    (3,),
    (3, 5),
)
add("index_add", lambda x, w: torch.tanh((x @ w)[:, :3].index_add(1, ROWS, torch.tanh(x @ w))), (3,), (3, 5))
add("index_select", lambda x, w: torch.tanh((x @ w).index_select(1, ROWS)).square(), (3,), (3, 5))
add("indexing", lambda x, w: torch.tanh(w[[0, 1, 1]].t() @ x.t()[ROWS[:3]]).t().square(), (3,), (3, 5))
add("gather", lambda x, w: torch.tanh((x @ w).gather(1, ROWS.expand(len(x), 5))).square(), (3,), (3, 5))
add("masked_fill", lambda x, w: torch.tanh(x @ w).masked_fill(x[:, :1] > 0, 0.1).square(), (3,), (3, 5))
add("where", lambda x, w: torch.where(x[:, :1] > 0, torch.tanh(x @ w), (x @ w).square()), (3,), (3, 5))
add("embedding", lambda x, w, u: torch.tanh(F.embedding(ROWS, w))[: len(x)] * torch.tanh(x @ u), (3,), (3, 4), (3, 4))
for mode in ("sum", "mean", "max"):
    add(
        f"embedding_bag {mode}",
        lambda x, w, u, mode=mode: (
            torch.tanh(F.embedding_bag(ROWS.expand(len(x), 5), torch.tanh(w), mode=mode)) * torch.tanh(x @ u)
        ),
        (3,),
        (3, 4),
        (3, 4),
    )
MOVED: dict[str, Callable[[Tensor], Tensor]] = {
    "roll": lambda a: a.roll(1, 1),
    "flip": lambda a: a.flip(1),
    "tril": lambda a: a[:, :, None].mul(a[:, None]).tril(),
    "repeat_interleave": lambda a: a.repeat_interleave(2, 1),
    "stack": lambda a: torch.stack([a, torch.cat([a[:, 1:], a[:, :1]], 1)], 1),
    "diagonal": lambda a: a[:, :, None].mul(a[:, None]).diagonal(dim1=1, dim2=2),
}
for name, moved in MOVED.items():
    pointwise(name, lambda a, moved=moved: torch.tanh(moved(torch.tanh(a))).square())

# Functions of a number
SHAPED = (
    "gelu silu mish softplus elu selu celu hardswish hardtanh softshrink tanhshrink logsigmoid hardsigmoid rrelu glu"
)
of_each(pointwise, F, SHAPED, lambda f, a: f(a * 1.1) * a[:, :1])
pointwise("gelu tanh", lambda a: F.gelu(a, approximate="tanh"))
pointwise("prelu", lambda a: F.prelu(a, a[0].mean().reshape(1)) * a)
SMOOTH = "sigmoid tanh atan erf sin exp expm1 sinc i0 square abs relu"
of_each(pointwise, torch, SMOOTH, lambda f, a: f(a) * a + f(a[:, :1]))
of_each(positive, torch.special, "erfcx i1 log_ndtr bessel_j0", lambda f, a: f(a) * a)
of_each(positive, torch, "lgamma digamma log sqrt rsqrt reciprocal", lambda f, a: f(a).sin() * a)
pointwise("polygamma", lambda a: torch.polygamma(1, a.square() + 0.5) * a)
of_each(pointwise, torch, "acos erfinv", lambda f, a: f(0.9 * torch.tanh(a)) * a)
pointwise("logit", lambda a: torch.logit(torch.sigmoid(a) * 0.9) * a)
pointwise("clamp", lambda a: a.clamp(-0.5, 0.6) * a)
pointwise("logaddexp", lambda a: torch.logaddexp(a.flip(1), a) * a)
pointwise("pow", lambda a: (a.abs() + 0.5).pow(a.flip(1)) + a**3)
pointwise("lerp", lambda a: torch.lerp(a, a.flip(1), a.square()))
pointwise("addcmul", lambda a: torch.addcmul(a, a.flip(1), a.sin()))
pointwise("remainder", lambda a: torch.remainder(a, 0.7) * a)
pointwise("complex abs", lambda a: torch.complex(a, a.flip(1).sin()).abs())
pointwise("polar", lambda a: torch.view_as_real(torch.polar(a.square(), a) * torch.polar(a.exp(), a.sin())).flatten(1))
pointwise("rfft, irfft", lambda a: torch.fft.irfft(torch.fft.rfft(a).square() * torch.fft.rfft(a.sin())))
add(
    "stft",
    lambda x, w: torch.stft(torch.tanh(x @ w), 4, 2, window=torch.hann_window(4), return_complex=True).abs().square(),
    (3,),
    (3, 8),
)

# Distances and losses
for p in (1.0, 2.0, 3.0):
    add(f"cdist {p:g}", lambda x, w, p=p: torch.cdist(torch.tanh(x @ w), w, p=p), (3,), (3, 3))
pointwise("pairwise_distance", lambda a: F.pairwise_distance(a.tanh(), a.flip(1))[:, None])
pointwise("cosine_similarity", lambda a: F.cosine_similarity(a.tanh(), a.flip(1))[:, None] * a)
LOSSES = "smooth_l1_loss huber_loss mse_loss l1_loss soft_margin_loss poisson_nll_loss"
of_each(pointwise, F, LOSSES, lambda f, a: f(a.sin(), a.flip(1).detach().sign() * 0.3, reduction="none") * a)
pointwise("binary_cross_entropy", lambda a: F.binary_cross_entropy(a.sigmoid(), a.flip(1).sigmoid(), reduction="none"))
pointwise("bce with logits", lambda a: F.binary_cross_entropy_with_logits(a, a.flip(1).sigmoid(), reduction="none"))
pointwise(
    "cross_entropy",
    lambda a: (
        F.cross_entropy(
            a,
            ROWS[: len(a)],
            weight=torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=a.dtype),
            label_smoothing=0.1,
            reduction="none",
        )[:, None]
        * a
    ),
)
pointwise("multi_margin_loss", lambda a: F.multi_margin_loss(a.square(), ROWS[: len(a)], reduction="none")[:, None] * a)
add(
    "ctc_loss",
    lambda x, w: F.ctc_loss(
        (torch.tanh(x)[None] @ w).log_softmax(2),
        torch.ones(len(x), 2, dtype=torch.long),
        torch.full((len(x),), 6),
        torch.full((len(x),), 1),
        reduction="none",
    )[:, None],
    (3,),
    (6, 3, 4),
)

# Layers
layer("layer_norm", lambda: nn.Sequential(nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 2)), (4,))
layer("group_norm", lambda: nn.Sequential(nn.GroupNorm(2, 4), nn.Tanh()), (4, 3))
layer("instance_norm", lambda: nn.Sequential(nn.InstanceNorm1d(4, affine=True), nn.Tanh()), (4, 3))
layer("rms_norm", lambda: nn.Sequential(nn.RMSNorm(4), nn.Tanh()), (4,))
layer("batch_norm", lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh()), (4,))
layer(
    "batch_norm own statistics",
    lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.Tanh()),
    (4,),
)
layer(
    "batch_norm images",
    lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3, track_running_stats=False), nn.Tanh()),
    (2, 4, 4),
)
layer(
    "weight_norm parametrization", lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3)), nn.Tanh()), (4,)
)
layer(
    "weight_norm last dimension",
    lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3), dim=1), nn.Tanh()),
    (4,),
)
layer(
    "weight_norm convolution",
    lambda: nn.Sequential(parametrizations.weight_norm(nn.Conv2d(2, 3, 2)), nn.Tanh()),
    (2, 4, 4),
)
layer(
    "spectral_norm parametrization",
    lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 3)), nn.Tanh()),
    (4,),
)
for mapping in ("cayley", "matrix_exp", "householder"):
    layer(
        f"orthogonal {mapping}",
        lambda mapping=mapping: nn.Sequential(
            parametrizations.orthogonal(nn.Linear(4, 4), orthogonal_map=mapping), nn.Tanh()
        ),
        (4,),
    )
layer(
    "LSTM",
    lambda: nn.LSTM(3, 2, num_layers=2, batch_first=True, bidirectional=True),
    (4, 3),
    lambda x, made: made(x)[0],
)
layer("GRU", lambda: nn.GRU(3, 2, num_layers=2, batch_first=True), (4, 3), lambda x, made: made(x)[0])
layer("RNN", lambda: nn.RNN(3, 2, batch_first=True), (4, 3), lambda x, made: made(x)[0])
layer(
    "packed LSTM",
    lambda: nn.LSTM(3, 2, batch_first=True),
    (4, 3),
    lambda x, made: made(rnn.pack_padded_sequence(x, torch.tensor([4, 3, 3, 2, 1])[: len(x)], batch_first=True))[1][0][
        0
    ],
)
layer(
    "MultiheadAttention",
    lambda: nn.MultiheadAttention(4, 2, batch_first=True),
    (3, 4),
    lambda x, made: made(x, x, x)[0],
)
layer("TransformerEncoderLayer", lambda: nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), (3, 4))
add(
    "scaled_dot_product_attention",
    lambda x, w: F.scaled_dot_product_attention(x @ w, torch.tanh(x @ w), x, is_causal=True),
    (3, 4),
    (4, 4),
)
layer(
    "torch.func.jvp inside",
    lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh()),
    (4,),
    lambda x, made: sum(torch.func.jvp(made, (x,), (torch.ones_like(x),))),
)
layer(
    "torch.func.grad inside",
    lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh()),
    (4,),
    lambda x, made: torch.func.grad(lambda y: made(y).sum())(x) + x,
)
layer(
    "torch.func.jacrev inside",
    lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh()),
    (4,),
    lambda x, made: torch.func.vmap(torch.func.jacrev(made))(x),
)
layer(
    "autograd.grad inside",
    lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh()),
    (4,),
    lambda x, made: torch.autograd.grad(made(x).sum(), x, create_graph=True)[0],
)
