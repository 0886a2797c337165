#!/usr/bin/env bash
# Make the default bundle.
#
#   benchmarks/default_bundle.sh DATA ENCODER RUNS
#
# DATA     a directory with the public sets as instance files: fewrel, docred_train_intra, redocred_dev,
#          redocred_test, wikizsl_part, wikizsl_partial_rels_sample and the two redocred_*_negatives
# ENCODER  all-MiniLM-L6-v2: its name on the Hub, or a directory
# RUNS     where the checkpoint goes; a killed run goes on there
#
# What it printed is in benchmarks/default_bundle.md.
set -euo pipefail
data=$1 encoder=$2 runs=$3
cd "$(dirname "${BASH_SOURCE[0]}")/.."
emma=${EMMA:-.venv/bin/emma}

# Wiki-ZSL has its dates the other way round: the date is the head there.
dates=P569,P570,P571,P577

"$emma" build \
  --instances "$data/fewrel.jsonl.gz" \
  --instances "$data/docred_train_intra.jsonl.gz" \
  --instances "$data/redocred_dev.jsonl.gz" \
  --instances "$data/redocred_dev_negatives.jsonl.gz" \
  --instances "$data/wikizsl_part.jsonl.gz" --without "wikizsl_part.jsonl.gz=$dates" \
  --instances "$data/wikizsl_partial_rels_sample.jsonl.gz" --without "wikizsl_partial_rels_sample.jsonl.gz=$dates" \
  --relations models/catalogue/default.jsonl \
  --catalogue models/catalogue/default.jsonl \
  --encoder "$encoder" --encoder-name all-MiniLM-L6-v2 \
  --per-relation 200 --recall-epochs 1 \
  --test "$data/redocred_test.jsonl.gz" --test "$data/redocred_test_negatives.jsonl.gz" --limit 2000 \
  --name emma-minilm-l6 --checkpoint "$runs/default" --output models/pretrained
