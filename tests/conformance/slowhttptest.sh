#!/usr/bin/env bash
# Clients that are slow on purpose, by slowhttptest: more connections than the gateway takes, with heads,
# bodies and reads that do not end. Meanwhile and afterwards the gateway says that it is healthy, and the
# chain answers.
set -euo pipefail
. "$(dirname "$0")/service.sh"

command -v slowhttptest > /dev/null || skip "there is no slowhttptest in the path"
connections=${CONNECTIONS:-1500}
limit=$(ulimit -n)
if [ "$limit" != unlimited ] && [ "$limit" -lt $((connections + 100)) ]; then
  ulimit -n $((connections + 100)) 2> /dev/null || skip "$connections connections need more than $limit open files"
fi

serve
# `attack NAME SECONDS ARGUMENTS...`
attack() {
  local name=$1 seconds=$2 asked=0 answered=0
  shift 2
  timeout $((seconds + 15)) slowhttptest -c "$connections" -r 750 -l "$seconds" -i 3 -p 5 "$@" > "$folder/$name" 2>&1 &
  local attacker=$!
  sleep 3
  while kill -0 "$attacker" 2> /dev/null; do
    asked=$((asked + 1))
    ask "$host:$port" /healthz | grep -q '^HTTP/1.1 200' && answered=$((answered + 1))
    sleep 1
  done
  wait "$attacker" || true
  echo "$name: /healthz was answered $answered of $asked times"
  [ "$asked" -gt 0 ] && [ "$answered" = "$asked" ] || { sed 's/\x1b\[[0-9;]*m//g' "$folder/$name" | tail -30; exit 1; }
}

attack heads 12 -H -u "http://$host:$port/healthz" -t GET
attack bodies 12 -B -u "http://$host:$port/chains/t" -s 8192
attack reads 12 -X -u "http://$host:$port/readyz" -k 3 -n 5 -w 10 -y 20 -z 32
