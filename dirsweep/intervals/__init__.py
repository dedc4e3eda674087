"""Confidence intervals for the error of a shot, over new seeds and new samples, and the verdict they allow.

A configuration trained over S seeds gives an (S, N) matrix of errors: seeds crossed with the samples of a
shot. Another S seeds and another N samples would give another mean; the interval covers the mean over all
of them. Two things are easily missed: below five independent seeds nothing can be said about new seeds (the
interval is then over samples alone, and says so), and trials that share a stage 1 share its noise, so what
counts as independent are their parents.

The construction. Let A be the variance of the P parents' values over P, B that of the seed-averaged error
over the samples' clusters (subjects), AB that of what is left when both means are taken out, all as variances
of the estimate. It varies by A + B - AB, for A and B each hold AB once (Owen 2007, The pigeonhole bootstrap;
Cameron, Gelbach & Miller 2011, Robust inference with multiway clustering). Only B - AB is cut at zero, never
A - AB: A has few degrees of freedom, and its luck must stay in the width (Hillis 2007, Stat. Med. 26:596, for
readers crossed with cases). Each factor then deviates by its own studentised distribution:

    estimate - truth  ~  sqrt(A) * t  +  sqrt(max(B - AB, 0)) * T

- t: Student's, of P - 1 degrees of freedom. Five seeds cannot be resampled: their bootstrap variance is
  (P - 1) / P of A, and its quantiles are near the normal's 1.96 where 2.78 is due.
- T: shifts of the estimate when clusters are drawn with replacement, over each resample's own deviation
  (bootstrap-t: Hall 1992, The bootstrap and Edgeworth expansion; Davison & Hinkley 1997, section 5.2). It
  follows the skew of errors, which Student's t does not. Clusters of uneven size say less than as many even
  ones: the bootstrap is stretched by the ratio of Student's quantiles for their effective number and for
  their number. With one cluster that holds half to three quarters of the samples this errs on the wide side.
  Below ten clusters Student's t stands for the bootstrap, and does not follow the skew: of strongly skewed
  errors (exponential effects of six subjects) a 95% interval covers 89%.

The interval comes from the quantiles of the sum, as in the Behrens-Fisher problem of two variances, where
this errs on the wide side (Robinson 1976, Ann. Stat. 4:963). Samples that hardly vary leave Student's t
over parents, seeds that do not matter the bootstrap-t over samples.
"""

from dirsweep.intervals.crossed import Statistic
from dirsweep.intervals.decide import SeedsNeeded, Verdict, holm, seeds_needed, verdict
from dirsweep.intervals.interval import LEVEL, MIN_SEEDS, Interval, difference_interval, error_interval
from dirsweep.intervals.spread import RESAMPLES

__all__ = [
    "LEVEL",
    "MIN_SEEDS",
    "RESAMPLES",
    "Interval",
    "SeedsNeeded",
    "Statistic",
    "Verdict",
    "difference_interval",
    "error_interval",
    "holm",
    "seeds_needed",
    "verdict",
]
