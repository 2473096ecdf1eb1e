#!/usr/bin/env bash
# The operators' metrics as Prometheus wants them, by `promtool check metrics`: help for each, names with
# units, counters that say so.
set -euo pipefail
. "$(dirname "$0")/service.sh"

command -v promtool > /dev/null || skip "there is no promtool in the path"

serve
# Something to count.
ask "$host:$port" /chains/t > /dev/null
ask "$admin" /metrics | sed '1,/^\r$/d' > "$folder/metrics"
lines=$(grep -c '^hacher_' "$folder/metrics")
promtool check metrics < "$folder/metrics" 2>&1 | tee "$folder/findings"
[ ! -s "$folder/findings" ] || exit 1
echo "promtool: $lines samples, no findings"
