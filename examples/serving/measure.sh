#!/bin/bash
# measure.sh FOLDER: all configurations of the README's table, one after another, as
# JSON and SVG files in FOLDER, and then the table. What is there is not measured again;
# what fails is named and left out, and makes the script end with exit code 1.
# BDLORA names the program, built with -tags mpi; RUN what to start each by. Needs root
# for TCP between network namespaces.
set -euo pipefail
out=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"

# measure NAME SCRIPT ARGUMENT…
measure() {
    local name=$1 script=$2
    shift 2
    [[ -s $out/$name.json ]] && return
    echo "$name" >&2
    if ${RUN:-} "$here/$script" "$@" --json --chart "$out/$name.svg" >"$out/$name.new" 2>"$out/$name.log"; then
        mv "$out/$name.new" "$out/$name.json"
    else
        tail -3 "$out/$name.log" >&2
        failed=1
    fi
}
failed=0

small=(--shape llama-3.2-1b --layers 2 --prompt_tokens 128 --batch 1,8 --new_tokens 8 --runs 5)
middle=(--shape llama-3.1-8b --layers 1 --prompt_tokens 64 --batch 1 --new_tokens 4 --runs 3)
large=(--shape llama-3.1-70b --layers 1 --prompt_tokens 32 --batch 1 --new_tokens 4 --runs 3)

for procs in 2 4; do
    measure "1b-memory-$procs" shared_memory.sh $procs "${small[@]}"
    measure "1b-tcp-$procs" tcp.sh $procs plain 0 "${small[@]}"
    measure "1b-1gbit-$procs" tcp.sh $procs 1gbit 0 "${small[@]}"
done
measure 1b-memory-8 shared_memory.sh 8 "${small[@]}"
measure 1b-tcp-8 tcp.sh 8 plain 0 --shape llama-3.2-1b --layers 2 --prompt_tokens 64 --batch 1 --new_tokens 4 --runs 3
measure 8b-memory-2 shared_memory.sh 2 "${middle[@]}"
measure 8b-tcp-2 tcp.sh 2 plain 0 "${middle[@]}"
measure 8b-1gbit-2 tcp.sh 2 1gbit 0 "${middle[@]}"
measure 70b-memory-2 shared_memory.sh 2 "${large[@]}"
measure 70b-tcp-2 tcp.sh 2 plain 0 "${large[@]}"
if modprobe --quiet --dry-run sch_netem 2>/dev/null; then
    measure 1b-1ms-2 tcp.sh 2 plain 1ms "${small[@]}"
fi
python3 "$here/table.py" "$out"/*.json
exit $failed
