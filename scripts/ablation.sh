#!/usr/bin/env bash
# Trains the best network, then the same with one thing changed at a time, three seeds each: what each
# ingredient of experiment=best is worth. The table is "Over seeds" of outputs/ablation/compare/index.html.
#
#     scripts/ablation.sh              FER-2013; for a CUDA device: days on a CPU
#     OUT=outputs/ablation-small scripts/ablation.sh model=small trainer.max_epochs=20    hours on a CPU
#     AT_ONCE=1 scripts/ablation.sh    all sweeps at the same time: for a large CUDA device
#     QUICK=1 scripts/ablation.sh      drawn faces, minutes: shows that it works, no more
#
# What stands behind its name holds for all of them. LABELS names the cross-fitted teachers of one.
# Stop it at any point and start it again: what is finished is kept, what was cut off goes on.
set -eo pipefail  # no -u: macOS's bash takes an empty array for an unset name
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
out=${OUT:-outputs/ablation${QUICK:+-quick}}
labels=${LABELS:-weights/labels}
overrides=("$@")
seeds=0,1,2
if [ -n "${QUICK:-}" ]; then
    overrides+=(data=drawn data.size=280 data.batch_size=16 data.source.seed=0 trainer.max_epochs=1)
    seeds=0,1
    labels=${LABELS:-weights/F}  # weights/labels knows no drawn face
fi

running=()
train() { # the sweep's name, then what it changes
    local command=("$python" -m ferlab train -m experiment=best "${@:2}" "${overrides[@]}"
        seed="$seeds" hydra.sweep.dir="$out/$1")
    if [ -z "${AT_ONCE:-}" ]; then
        "${command[@]}"
    else
        set -m  # in a group of its own: Ctrl-C reaches it by the trap, once
        "${command[@]}" > >(while IFS= read -r line; do echo "$1: $line"; done) 2>&1 &
        running+=("$!")
        set +m
    fi
}
[ -z "${AT_ONCE:-}" ] || trap 'kill -TERM "${running[@]}"; wait; exit 130' INT TERM

train best
train without-teachers distillation.teachers=[] loss.label_smoothing=0.1
train without-erasing augment.transforms.erasing=0
train without-crops model.input_size=48
train without-refining augment.refine=0
train with-mixup augment.mixup=0.2
train with-averaged-weights callbacks=ema
train without-sgd optimizer=adamw optimizer.lr=2e-3 optimizer.weight_decay=0.05
train with-transforms-of-small augment.transforms.rotation=10 augment.transforms.zoom=0.1 \
    augment.transforms.erasing_area=0.2
train with-strong-augmentation augment=strong augment.transforms.rotation=10 \
    augment.transforms.zoom=0 augment.transforms.erasing_area=0.33
train with-half-of-the-teachers distillation.share=0.35
train with-cross-fitted-teachers distillation.teachers="[$labels]"
train without-precise-batch-norm callbacks.precise_batch_norm=null

status=0
for job in "${running[@]}"; do wait "$job" || status=$?; done
trap - INT TERM
[ "$status" = 0 ] || exit "$status"
"$python" -m ferlab compare runs="[$out]" hydra.run.dir="$out/compare"
