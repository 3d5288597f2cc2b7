#!/bin/bash
# The same without Slurm: on the machines that are named, by ssh, or with none named on this one.
#   without_slurm.sh MODEL [MACHINE...]
# The current folder must be shared: the same path on every machine, with prompts.txt in it and pictures/.
set -euo pipefail
model=${1:?usage: without_slurm.sh MODEL [MACHINE...]}
shift
machines=("$@")
parts=${#machines[@]}
((parts > 0)) || parts=$(nproc)
cutaway=${CUTAWAY:-cutaway}
job=(generate --model "$model" --prompts-file prompts.txt --seeds "${SEEDS:-0..99}" --out pictures/p.png --quiet
     --isa "${ISA:-avx2}" --resume)

if ((${#machines[@]} == 0)); then
  # A process for each core, a thread for each process. GNU parallel: seq "$parts" | parallel "$cutaway" ... --shard {}/"$parts"
  seq "$parts" | xargs -P "$parts" -I I "$cutaway" "${job[@]}" --threads 1 --shard I/"$parts"
  exit
fi
tasks=()
for i in "${!machines[@]}"; do
  command=$(printf '%q ' cd "$PWD")"&& "$(printf '%q ' "$cutaway" "${job[@]}" --shard $((i + 1))/"$parts")
  ssh "${machines[$i]}" "$command" &
  tasks+=($!)
done
failed=0
for task in "${tasks[@]}"; do wait "$task" || failed=1; done
exit $failed
