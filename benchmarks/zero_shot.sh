#!/usr/bin/env bash
# Train and test the compared methods on zero-shot splits, and write the tables and plots of all cells that are there.
#
#   benchmarks/zero_shot.sh DATA ENCODER RUNS
#
# DATA     a directory with the public sets as instance files, splits/ and descriptions/
# ENCODER  all-MiniLM-L6-v2: its name on the Hub, or a directory
# RUNS     where checkpoints go; a killed run goes on there
#
# The last epoch is kept, as the papers do: the 5 relations that a split validates by are too few to choose one.
# A cell that benchmarks/zero_shot/ has already is not run again: delete its file to run it anew. The numbers of
# instances are what two CPU cores do in a working day; where there is a GPU, raise them.
set -euo pipefail
data=$1 encoder=$2 runs=$3
cd "$(dirname "${BASH_SOURCE[0]}")/.."
emma=${EMMA:-.venv/bin/emma}

cells() {
  "$emma" bench zero-shot --data "$data" --encoder "$encoder" --encoder-name all-MiniLM-L6-v2 \
    --cells benchmarks/zero_shot --runs "$runs" --keep last --test-per-relation 100 "$@"
}

# Published systems: 100 instances of each relation of the split's own set.
published=(--per-relation 100 --classifier-instances 3000)
# EMMA as built trains on further sets besides, at most 120 instances of a relation and file, once through.
built=(--per-relation 120 --recall-epochs 1 --valid-instances 600)
m15=(--split fewrel_m15_seed42)
# Trained with 15 unseen relations, tested with 5 and 10 of them.
nested=(--split fewrel_m5_seed42 --split fewrel_m10_seed42 --trained-for fewrel_m15_seed42)

cells "${published[@]}" "${m15[@]}" --split fewrel_m15_seedori --method re-matching --method emma-published
cells "${published[@]}" "${nested[@]}" --method re-matching --method emma-published
cells "${published[@]}" "${m15[@]}" --method zs-bert --method prompt-match \
  --method encoding-ht --method encoding-mask --method encoding-ht-mask --method encoding-hybrid --method finecl \
  --method re-matching-synonyms --method re-matching-keyword \
  --method emma-published-no-virtual --method emma-published-joint

cells "${built[@]}" "${m15[@]}" --split fewrel_m15_seedori --split fewrel_m15_seed40 --split wikizsl_m15_seed41 \
  --method emma
cells "${built[@]}" "${nested[@]}" --method emma --method emma-self-trained --method emma-written
cells "${built[@]}" "${m15[@]}" --method emma-written --method emma-written-self-trained \
  --method emma-self-trained --method emma-longer \
  --method emma-fewer-data --method emma-no-virtual --method emma-pairs --method emma-joint

"$emma" bench report --cells benchmarks/zero_shot --output benchmarks/zero_shot.md
