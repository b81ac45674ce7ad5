#!/usr/bin/env bash
# Trains what is to reach the literature, from nothing to outputs/literature/compare/index.html:
# F_best, VGGNet and FERNet, the best network without each of its parts in turn (three seeds, the
# ablation table is "Over seeds" of that page), and an ensemble.
#
#     scripts/literature.sh              FER-2013; for a CUDA device: days on a CPU
#     QUICK=1 scripts/literature.sh      drawn faces, minutes: shows that it works, no more
#     OUT=elsewhere scripts/literature.sh data.root=/path/to/fer2013
#
# Stop it at any point and start it again: what is finished is kept, what was cut off goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
out=${OUT:-outputs/literature${QUICK:+-quick}}
data=("$@")
seeds=0,1,2
if [ -n "${QUICK:-}" ]; then
    data+=(data=drawn data.size=140 data.batch_size=16 data.source.seed=0 trainer.max_epochs=1)
    seeds=0,1
fi

sweep() { # the sweep's name, then its values
    "$python" -m ferlab train -m "${@:2}" "${data[@]}" hydra.sweep.dir="$out/$1"
}

sweep F_best experiment=F_best seed="$seeds"
sweep vggnet experiment=vggnet seed="$seeds"
sweep fernet experiment=fernet seed="$seeds"
sweep best experiment=best seed="$seeds"

without() { # a part's name, then the values that leave it out
    sweep "best-without-$1" experiment=best "${@:2}" seed="$seeds"
}
without strong-augmentation augment=standard
without mixup augment.mixup=0
without label-smoothing loss.label_smoothing=0
without averaged-weights callbacks.ema=null
without sgd optimizer=adamw optimizer.lr=2e-3 optimizer.weight_decay=0.05

members=$(printf ',%s' "$out"/{best,vggnet}/seed-*)
"$python" -m ferlab evaluate run="[${members:1}]" hydra.run.dir="$out/ensemble"
"$python" -m ferlab compare runs="[$out]" hydra.run.dir="$out/compare"
