# %% [markdown]
# # What a sweep found
#
# Open this file as a notebook (VS Code and Jupyter with jupytext run the cells one by one), or run it:
#
#     python docs/notebook.py sweeps/all-1
#
# It loads a sweep, holds its winner against the controls, looks at epochs and bins, and saves a picture in
# the working directory.

# %%
import sys
from pathlib import Path

import matplotlib.pyplot as plt

import dirsweep

folder = Path(sys.argv[1] if len(sys.argv) == 2 else "sweeps/all-1")
sweep = dirsweep.load_sweep(folder)
trials, epochs, bins = sweep.trials, sweep.epochs, sweep.bins
print(sweep.spec.question.strip())

# %% [markdown]
# ## The winner against its controls
#
# `trials` has a row for each trial and control, and a column for each searched knob and each metric. The
# winner is one of many, so its val figure is optimistic: `dirsweep finalize` gives the verdict.

# %%
if not trials.is_best.any():
    sys.exit(f"{folder}: no trial has won yet; run the sweep to its end")
winner = trials[trials.is_best].iloc[0]
complete = trials[trials.state == "COMPLETE"]
controls = complete[(complete.kind == "control") & complete.of.isin([winner.trial, "default"])]
errors = [f"val/{shot}/mae" for shot in ("all", "many", "median", "few")]
compared = trials[trials.is_best | trials.trial.isin(controls.trial)].set_index("trial")
print(compared[errors].round(3))

change = 100 * (winner[errors].astype(float) / compared.loc[controls.trial, errors] - 1)
print("\nwinner against each control, in percent (below 0: the winner's error is smaller)")
print(change.round(1))

# %% [markdown]
# ## The knobs
#
# Which values do the best five trials share?

# %%
knobs = list(sweep.spec.searched)
print(trials[trials["rank"] <= 5].sort_values("rank").set_index("trial")[[*knobs, "val/all/mae"]])

# %% [markdown]
# ## Epochs
#
# Where stage 2 begins, the error on few-shot labels may jump.

# %%
own = epochs[epochs.trial == winner.trial].set_index("epoch")
print(own.groupby("stage", observed=True)["val/few/mae"].agg(["first", "min", "last"]))

# %% [markdown]
# ## Bins
#
# A bin's error weighs the same however many samples it has, so the means below differ from `val/few/mae`.

# %%
print(bins.groupby(["trial", "shot"], observed=True)["val_mae"].mean().unstack().loc[compared.index])

# %% [markdown]
# ## A picture
#
# Left the learning curve of the winner by shot, right its error per bin beside that of its plain control.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for shot, style in (("many", "-"), ("median", "--"), ("few", ":")):
    left.plot(own.index, own[f"val/{shot}/mae"], style, color="black", label=shot)
left.set(xlabel="epoch", ylabel="val MAE (label units)", title=f"Trial {winner.trial}, by shot")
begins = own.index[own.stage == "stage2"]
if len(begins):
    left.axvline(begins[0] - 0.5, color="grey", linewidth=0.8, label="stage 2 begins")

for trial, colour in ((winner.trial, "tab:blue"), (f"{winner.trial}-plain", "tab:orange")):
    one = bins[bins.trial == trial].dropna(subset="val_mae")
    right.plot(one.centre, one.val_mae, ".-", color=colour, label=trial, linewidth=1)
right.set(xlabel="label", ylabel="val MAE per bin (label units)", title="Error per bin")

for axes in (left, right):
    axes.set_ylim(0, None)
    axes.legend(frameon=False)

picture = Path(f"{folder.name}.png")
figure.savefig(picture, dpi=120)
plt.close(figure)
print(f"picture: {picture}")
