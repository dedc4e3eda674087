"""The method of a configuration as a short key, by which runs of different sweeps are found and compared.

Base methods are called as published tables (and `reproduce`) call them, "vanilla" where there is none; what
follows says which of our parts are added.
"""

from dirsweep.config.ordinality import NoNormOrdinality
from dirsweep.config.stages import settings
from dirsweep.config.trial import TrialConfig

LOSSES = {"focal_r": "focal_r", "balanced_mse": "bmse", "dist": "dist_loss"}
"""Losses that are methods; the others are ordinary."""


def method_key(config: TrialConfig) -> str:
    """Its key: "vanilla", "lds+fds", "ranksim+stage2", "two_stage" (both of ours), "two_stage-mu0" ..."""
    base, ours = _base(config), _ours(config)
    if not base:
        return ours if ours.startswith("two_stage") else "+".join(filter(None, ("vanilla", ours)))
    return "+".join(filter(None, (*base, ours)))


def _base(config: TrialConfig) -> list[str]:
    main, chain = config.stage1, settings(config.stage1)
    weighting, feature = main.weighting.name, main.feature_method.name
    if feature == "vir":
        return ["vir"]  # with its own loss, and published with weighting lds
    sharp = main.optimizer.rho > 0
    found = ["bsam"] if sharp and weighting == "sqinv" else ["sam"] if sharp else []
    found += [] if weighting == "none" or found == ["bsam"] else [weighting]
    found += [LOSSES[main.loss.name]] if main.loss.name in LOSSES else []
    found += [] if feature == "none" else [feature]
    return found + (["rrt"] if any(setting.reset_head for setting in chain) else [])


def _ours(config: TrialConfig) -> str:
    terms = [setting.main.norm_ordinality for setting in settings(config.stage1) if setting.layers != "head"]
    ordinality = any(not isinstance(term, NoNormOrdinality) and term.weight > 0 for term in terms)
    if config.stage2 is None or config.stage2.schedule.epochs == 0:
        return "ordinality" if ordinality else ""
    return ("two_stage" if ordinality else "stage2") + ("" if config.stage2.norm_weight > 0 else "-mu0")
