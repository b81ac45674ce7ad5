#!/usr/bin/env bash
# Trains what is meant to reach the literature's accuracies, from nothing to
# outputs/literature/compare/index.html: F_best, FERNet, the small network, VGGNet, an ensemble, and the
# best network with its ablation (three seeds; its table is "Over seeds" of that page).
#
#     scripts/literature.sh              FER-2013; for a CUDA device: days on a CPU
#     QUICK=1 scripts/literature.sh      drawn faces, minutes: shows that it works, no more
#     OUT=elsewhere scripts/literature.sh data.root=/path/to/fer2013
#
# The data need test images: the challenge's train.csv alone has none.
# Stop it at any point and start it again: what is finished is kept, what was cut off goes on.
set -eo pipefail  # no -u: macOS's bash takes an empty array for an unset name
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
out=${OUT:-outputs/literature${QUICK:+-quick}}
data=("$@")
seeds=0,1,2
folds=(data.folds=8 data.fold=0,1,2,3,4,5,6,7)
quick=()
if [ -n "${QUICK:-}" ]; then
    quick+=(data=drawn data.size=280 data.batch_size=16 data.source.seed=0 trainer.max_epochs=1)
    seeds=0,1
    folds=(data.folds=2 data.fold=0,1 model=small)
fi

sweep() { # the sweep's name, then its values
    "$python" -m ferlab train -m "${@:2}" "${data[@]}" "${quick[@]}" hydra.sweep.dir="$out/$1"
}

sweep F_best experiment=F_best seed="$seeds"
sweep fernet experiment=fernet seed="$seeds"
sweep small experiment=small seed="$seeds"
sweep vggnet experiment=vggnet seed="$seeds"
sweep ensemble experiment=ensemble "${folds[@]}"
OUT="$out/ablation" LABELS="$out/ensemble" scripts/ablation.sh "${data[@]}"
sweep best-with-the-small-network experiment=best model=small seed="$seeds"
sweep best-with-senet experiment=best model=senet seed="$seeds"

"$python" -m ferlab evaluate run="[$out/ensemble,$out/ablation/best,$out/vggnet]" hydra.run.dir="$out/mean"
"$python" -m ferlab compare runs="[$out]" hydra.run.dir="$out/compare"
