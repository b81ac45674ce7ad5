#!/usr/bin/env bash
# Rebuilds the university report, from nothing to outputs/report/index.html: data exploration,
# models A to F with Adam and SGD, Tables 1 to 4 and Figures 2 and 3, its values beside ours.
#
#     scripts/reproduce_report.sh              FER-2013; hours on a CPU, not yet run on a CUDA device
#     QUICK=1 scripts/reproduce_report.sh      drawn faces, minutes: shows that it works, no more
#     OUT=elsewhere scripts/reproduce_report.sh data.root=/path/to/fer2013
#
# The data need test images: the challenge's train.csv alone has none.
# Stop it at any point and start it again: what is finished is kept, what was cut off goes on.
set -eo pipefail  # no -u: macOS's bash takes an empty array for an unset name
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
out=${OUT:-outputs/report${QUICK:+-quick}}
data=("$@")
training=()
if [ -n "${QUICK:-}" ]; then
    data+=(data=drawn data.size=280 data.batch_size=32 augment.extra.disgust=8
        augment.extra.surprise=10 augment.extra.angry=8 augment.extra.fear=8)
    training+=(trainer.max_epochs=1)
fi

"$python" -m ferlab explore "${data[@]}" hydra.run.dir="$out/data"
"$python" -m ferlab train -m model=A,B,C,D,E,F optimizer=adam,sgd \
    "${data[@]}" "${training[@]}" hydra.sweep.dir="$out/models"
extractors=$(printf ",$out/models/model-%s_optimizer-adam" F C B)
"$python" -m ferlab extract_and_fit run="[${extractors:1}]" hydra.run.dir="$out/classifiers"
"$python" scripts/report_page.py "$out"
