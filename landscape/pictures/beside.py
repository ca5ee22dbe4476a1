"""A picture's full caption beside it, as plain text and for LaTeX."""

from __future__ import annotations

import re
from pathlib import Path

from landscape.pictures.style import PaperFigure

MARK = "written by landscape with"  # by which a caption that may be replaced is known
_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "\u00a0": "~", "−": r"\ensuremath{-}", "×": r"\ensuremath{\times}", "±": r"\ensuremath{\pm}",
    "∞": r"\ensuremath{\infty}", "∇": r"\ensuremath{\nabla}", "∂": r"\ensuremath{\partial}", "‖": r"\ensuremath{\Vert}",
    "≤": r"\ensuremath{\leq}", "≥": r"\ensuremath{\geq}", "≈": r"\ensuremath{\approx}", "·": r"\ensuremath{\cdot}",
    "→": r"\ensuremath{\to}", "★": r"\ensuremath{\star}", "…": r"\dots{}", "–": "--", "—": "---", "’": "'",
    "√": r"\ensuremath{\surd}", "‑": "-", "\u202f": r"\,",
}  # fmt: skip
_GREEK = dict(
    pair.split("=")
    for pair in (
        "α=alpha", "β=beta", "γ=gamma", "δ=delta", "ε=varepsilon", "ζ=zeta", "η=eta", "θ=theta", "ι=iota", "κ=kappa",
        "λ=lambda", "μ=mu", "ν=nu", "ξ=xi", "π=pi", "ρ=rho", "σ=sigma", "τ=tau", "υ=upsilon", "φ=varphi", "χ=chi", "ψ=psi",
        "ω=omega", "Γ=Gamma", "Δ=Delta", "Θ=Theta", "Λ=Lambda", "Ξ=Xi", "Π=Pi", "Σ=Sigma", "Φ=Phi", "Ψ=Psi", "Ω=Omega",
    )
)  # fmt: skip
_RAISED = dict(zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))


def caption_files(picture: Path, figure: PaperFigure) -> dict[Path, str]:
    r"""What stands in the ``.txt`` and the ``.tex`` beside a picture's file: ``figure.caption``.

    The LaTeX is a whole ``\caption``, to be put in by ``\input``. A file of such a name that somebody else wrote stays: the
    caption is then called ``NAME.caption.tex``.
    """
    texts = {
        ".txt": f"{figure.caption}\n\n({MARK} {picture.name})\n",
        ".tex": f"% {MARK} {tex_name(picture.name)}\n\\caption[{tex(figure.heading)}]{{{tex(figure.caption)}}}\n",
    }
    files = {}
    for suffix, text in texts.items() if figure.caption else ():
        path = picture.with_suffix(suffix)
        if path.exists() and not _ours(path):
            path = picture.with_suffix(f".caption{suffix}")
        files[path] = text
    return files


def tex(text: str) -> str:
    """Text for LaTeX: what would act is escaped, and the field's signs are its commands."""
    text = re.sub(f"[{''.join(_RAISED)}]+", lambda found: _power("^", found[0], _RAISED), text)
    text = re.sub(f"[{''.join(_LOWERED)}]+", lambda found: _power("_", found[0], _LOWERED), text)
    return "".join(_sign(letter) for letter in text)


def tex_name(name: str) -> str:
    """A file's name in a comment, which ends with its line."""
    return name.replace("\n", " ").replace("\r", " ")


# Raised and lowered figures keep these two marks until everything else is escaped.
_OPEN, _CLOSE = {"^": "\ue000", "_": "\ue001"}, "\ue002"


def _power(sign: str, digits: str, plain: dict[str, str]) -> str:
    return _OPEN[sign] + "".join(plain[digit] for digit in digits) + _CLOSE


def _sign(letter: str) -> str:
    if letter in _OPEN.values():
        return r"\ensuremath{" + ("^{" if letter == _OPEN["^"] else "_{")
    if letter == _CLOSE:
        return "}}"
    if letter in _GREEK:
        return rf"\ensuremath{{\{_GREEK[letter]}}}"
    return _TEX.get(letter, letter)


def _ours(path: Path) -> bool:
    try:
        return MARK in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
