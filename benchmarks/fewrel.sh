#!/usr/bin/env bash
# Train by the default recipe on one zero-shot split of FewRel and report on its test relations, once.
#
#   benchmarks/fewrel.sh DATA ENCODER RUNS [SPLIT]
#
# DATA     a directory with fewrel.jsonl.gz, splits/SPLIT.json and, under descriptions/, the published
#          fewrel_emma_rematching_alignre.json
# ENCODER  all-MiniLM-L6-v2: its name on the Hub, or a directory
# RUNS     where checkpoint and figures go; a killed run goes on there
# SPLIT    fewrel_m15_seed42 if not given
#
# Training draws among the published descriptions and the catalogue's wordings. The test is done with either: the
# published ones compare with the papers, the catalogue's are what the service ships.
set -euo pipefail
data=$1 encoder=$2 runs=$3 split=${4:-fewrel_m15_seed42}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
emma=${EMMA:-.venv/bin/emma}

mkdir -p "$runs"
.venv/bin/python benchmarks/published_descriptions.py \
  "$data/descriptions/fewrel_emma_rematching_alignre.json" "$runs/fewrel_relations.jsonl"

"$emma" train --encoder "$encoder" --encoder-name all-MiniLM-L6-v2 \
  --instances "$data/fewrel.jsonl.gz" --split "$data/splits/$split.json" \
  --relations "$runs/fewrel_relations.jsonl" --relations models/catalogue/default.jsonl \
  --output "$runs/$split"

# The same test with the relations described as this project does, and as the papers did.
for described in models/catalogue/default.jsonl "$runs/fewrel_relations.jsonl"; do
  "$emma" evaluate --checkpoint "$runs/$split" \
    --instances "$data/fewrel.jsonl.gz" --split "$data/splits/$split.json" \
    --relations "$described" --k 2 --k 3 --k 5 --output "$runs/$split-$(basename "$described" .jsonl).json"
done
