#!/usr/bin/env bash
# Trains what is meant to reach the literature's accuracies, from nothing to
# outputs/literature/compare/index.html:
# F_best, FERNet, the small network, an ensemble, VGGNet, which learns from it, and the best network, that
# with one thing changed at a time (three seeds; the ablation table is "Over seeds" of that page).
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
if [ -n "${QUICK:-}" ]; then
    data+=(data=drawn data.size=280 data.batch_size=16 data.source.seed=0 trainer.max_epochs=1)
    seeds=0,1
    folds=(data.folds=2 data.fold=0,1 model=small)
fi

sweep() { # the sweep's name, then its values
    "$python" -m ferlab train -m "${@:2}" "${data[@]}" hydra.sweep.dir="$out/$1"
}

sweep F_best experiment=F_best seed="$seeds"
sweep fernet experiment=fernet seed="$seeds"
sweep small experiment=small seed="$seeds"
sweep ensemble experiment=ensemble "${folds[@]}"
ours="distillation.teachers=[$out/ensemble]"
sweep vggnet experiment=vggnet "$ours" seed="$seeds"
sweep best experiment=best seed="$seeds"

changed() { # what is changed in the best network's recipe, then the values that do so
    sweep "best-$1" experiment=best "${@:2}" seed="$seeds"
}
changed without-erasing augment.transforms.erasing=0
changed without-crops model.input_size=48
changed without-teachers distillation.teachers=[] loss.label_smoothing=0.1
changed with-cross-fitted-teachers "$ours"
changed with-half-of-the-teachers distillation.share=0.35
changed without-sgd optimizer=adamw optimizer.lr=2e-3 optimizer.weight_decay=0.05
changed with-strong-augmentation augment=strong augment.transforms.rotation=10 \
    augment.transforms.zoom=0 augment.transforms.erasing_area=0.33
changed with-mixup augment.mixup=0.2
changed without-precise-batch-norm callbacks.precise_batch_norm=null
changed without-refining augment.refine=0
changed with-averaged-weights callbacks=ema
changed with-transforms-of-small augment.transforms.rotation=10 augment.transforms.zoom=0.1 \
    augment.transforms.erasing_area=0.2
changed with-the-small-network model=small
changed with-senet model=senet

"$python" -m ferlab evaluate run="[$out/ensemble,$out/best,$out/vggnet]" hydra.run.dir="$out/mean"
"$python" -m ferlab compare runs="[$out]" hydra.run.dir="$out/compare"
