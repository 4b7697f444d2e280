"""Models of two towers by name, and how a weights file says which one it holds."""

import dataclasses
from typing import Any

from siamjax.metric.model import PseudoSiamese, Siamese, Towers
from siamjax.metric.towers import TOWERS, Tower, tower

FAMILIES: dict[str, type[Siamese] | type[PseudoSiamese]] = {
    "siamese": Siamese,
    "pseudo-siamese": PseudoSiamese,
}


def siamese(tower: Tower | str, **settings: Any) -> Siamese:
    """Give a Siamese network, one tower with shared weights for both inputs.

    Args:
        tower: a configuration, or the name of a kind in `siamjax.metric.towers.TOWERS` with its
            defaults.
        settings: loss, distance and their constants, the fields of `Siamese`.

    Raises:
        ValueError: no such kind, or settings that do not fit.
    """
    return Siamese(_tower(tower), **settings)


def pseudo_siamese(a: Tower | str, b: Tower | str, **settings: Any) -> PseudoSiamese:
    """Give a pseudo-Siamese network: two towers with weights of their own, one embedding.

    Args:
        a: the tower of side a, as for `siamese`.
        b: that of side b; embeddings of the same width.
        settings: loss, distance and their constants, the fields of `PseudoSiamese`.

    Raises:
        ValueError: no such kind, or settings that do not fit.
    """
    return PseudoSiamese(_tower(a), _tower(b), **settings)


def describe(model: Towers) -> tuple[str, dict[str, Any]]:
    """Give a model's family and configuration, JSON-ready: what `build` takes."""
    for family, kind in FAMILIES.items():
        if type(model) is kind:
            fields = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
            return family, {
                name: _describe_tower(value) if isinstance(value, Tower) else value
                for name, value in fields.items()
            }
    raise ValueError(f"model: expected one of {sorted(FAMILIES)}, got {type(model).__name__}")


def build(family: str, config: dict[str, Any]) -> Siamese | PseudoSiamese:
    """Make the model that `describe` described.

    Raises:
        ValueError: unknown family or tower, or settings that it does not have.
    """
    if family not in FAMILIES:
        raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, got {family!r}")
    kind = FAMILIES[family]
    settings: dict[str, Any] = {
        name: _build_tower(value) if isinstance(value, dict) else value
        for name, value in config.items()
    }
    _check(kind, family, settings)
    return kind(**settings)


def title(model: Towers) -> str:
    """Give a model's name for messages: its family and its towers' kinds."""
    family, _ = describe(model)
    kinds = (_describe_tower(tower)["kind"] for tower in model.towers.values())
    return f"{family} ({', '.join(kinds)})"


def _tower(given: Tower | str) -> Tower:
    return tower(given) if isinstance(given, str) else given


def _describe_tower(given: Tower) -> dict[str, Any]:
    for kind, made in TOWERS.items():
        if type(given) is made:
            return {"kind": kind, **dataclasses.asdict(given)}
    raise ValueError(f"tower: expected one of {sorted(TOWERS)}, got {type(given).__name__}")


def _build_tower(config: dict[str, Any]) -> Tower:
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in config.items()
    }
    kind = settings.pop("kind")
    if kind in TOWERS:
        _check(TOWERS[kind], f"tower {kind!r}", settings)
    return tower(kind, **settings)


def _check(kind: type, name: str, settings: dict[str, Any]) -> None:
    strange = sorted(set(settings) - {field.name for field in dataclasses.fields(kind)})
    if strange:
        raise ValueError(f"config: {name} has no setting {', '.join(strange)}")
