#!/usr/bin/env bash
# Measure what serving costs and how it bears load, and write the page and plots of all results that are there.
#
#   benchmarks/serving.sh DATA RUNS BUNDLES [MEASUREMENT...]
#
# DATA         a directory with the public sets as instance files, splits/ and descriptions/
# RUNS         checkpoints: default, as default_bundle.sh leaves it, and those that zero_shot.sh leaves as SPLIT.emma;
#              the first of these that is there is what the precisions' and runtimes' speed is measured with
# BUNDLES      where bundles of these in fp32 and in 8 bits go; those that are there are not made again
# MEASUREMENT  only these, such as latency; without, all
#
# PYTHON and EMMA name other programs than those of .venv. INFINITY, the program infinity_emb of an environment of its
# own (pip install "infinity_emb[optimum,server]"), is measured beside the service where it is given; OpenVINO is where
# it can be imported (pip install --target DIRECTORY openvino, and DIRECTORY in PYTHONPATH). The machine should do
# nothing else: all takes some hours on two cores.
set -euo pipefail
here=$PWD
absolute() { case $1 in /*) echo "$1" ;; *) echo "$here/$1" ;; esac; }
data=$(absolute "$1") runs=$(absolute "$2") bundles=$(absolute "$3")
shift 3
cd "$(dirname "${BASH_SOURCE[0]}")/.."
emma=${EMMA:-.venv/bin/emma}
python=${PYTHON:-.venv/bin/python}
results=benchmarks/serving/results
chosen=("$@")

wanted() { [ ${#chosen[@]} -eq 0 ] || [[ " ${chosen[*]} " == *" $1 "* ]]; }
measure() {
  if wanted "$1"; then "$python" -m benchmarks.serving "$@" --results "$results"; fi
}
# Of a checkpoint, bundles without relations.
pair() {
  local precision
  for precision in fp32 int8; do
    if [ ! -e "$bundles/$2/$precision/manifest.json" ]; then
      "$emma" export --checkpoint "$1" --instances "$data/redocred_dev.jsonl.gz" \
        --relations models/catalogue/default.jsonl --graph-precision "$precision" --output "$bundles/$2/$precision"
    fi
  done
}

# Sentences of Wikipedia that the default bundle was not trained on, short and long.
asked=(--instances "$data/redocred_test.jsonl.gz")

measure growth "${asked[@]}"
measure stages "${asked[@]}"
measure batches "${asked[@]}"
measure sharing "${asked[@]}"
measure company "${asked[@]}"
measure every "${asked[@]}"

# They are all of one size, so any does for speed.
any=
for run in "$runs/default" "$runs"/fewrel_*.emma; do
  if [ -z "$any" ] && [ -e "$run/config.json" ]; then any=$run; fi
done
if [ -n "$any" ]; then
  if wanted speed || wanted systems; then pair "$any" "$(basename "$any" .emma)"; fi
  measure speed "${asked[@]}" --pair "$bundles/$(basename "$any" .emma)"
  measure systems "${asked[@]}" --pair "$bundles/$(basename "$any" .emma)" --checkpoint "$any"
else
  echo "speed and systems are left out: no checkpoint in $runs" >&2
fi

if wanted accuracy; then
  splits=()
  for run in "$runs"/fewrel_*.emma; do
    name=$(basename "$run" .emma)
    # A run for several splits at once is named after all of them.
    if [ -e "$run/config.json" ] && [ -e "$data/splits/$name.json" ]; then
      pair "$run" "$name"
      splits+=(--pair "$bundles/$name")
    fi
  done
  if [ ${#splits[@]} -gt 0 ]; then
    # With fewer, the spread of the difference would be larger than what may be lost.
    measure accuracy --data "$data" --test-per-relation 300 "${splits[@]}"
  else
    echo "accuracy is left out: no checkpoint of a split in $runs" >&2
  fi
fi

measure overhead "${asked[@]}" ${INFINITY:+--infinity "$INFINITY"}
measure latency "${asked[@]}"
measure overload "${asked[@]}"
measure start
measure soak "${asked[@]}"
measure search "${asked[@]}"

"$python" -m benchmarks.serving report --results "$results" --output benchmarks/serving.md
