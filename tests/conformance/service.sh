# Sourced by the scripts beside it: serves one echo chain on free ports, until the script ends.

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
binaries=${CARGO_TARGET_DIR:-$tree/target}/debug
folder=$(mktemp -d)
served=

# Ends the service and takes the files away.
finish() {
  if [ -n "$served" ]; then
    kill "$served" 2>/dev/null || true
    wait "$served" 2>/dev/null || true
  fi
  rm -rf "$folder"
}
trap finish EXIT

# Says why nothing was tried.
skip() {
  echo "skipped: $*"
  exit 0
}

# What the service said of `key` when it was ready: `said listen`.
said() {
  sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$folder/ready" | head -1
}

# Serves, with further arguments; sets `host`, `port` and `admin`.
serve() {
  for binary in fabric-under-test test-function; do
    [ -x "$binaries/$binary" ] || skip "$binary is not built (cargo build -p hacher-tests)"
  done
  cat > "$folder/chain.toml" <<CHAIN
chain = "t"
version = "1"
flow = ["ingress -> a -> egress"]
[ingress]
max_body = "1MiB"
[function.a]
exec = "$binaries/test-function"
env = { FUNCTION = "echo" }
CHAIN
  "$binaries/fabric-under-test" serve "$folder/chain.toml" --listen 127.0.0.1:0 --admin 127.0.0.1:0 \
    --format json --tied "$@" < /dev/null > "$folder/ready" &
  served=$!
  for _ in $(seq 300); do
    grep -q '"event":"ready"' "$folder/ready" && break
    kill -0 "$served" 2>/dev/null || { echo "the service did not start" >&2; exit 1; }
    sleep 0.1
  done
  host=127.0.0.1
  port=$(said listen | sed 's/.*://')
  admin=$(said admin)
  [ -n "$port" ] && [ -n "$admin" ] || { echo "the service did not say where it listens" >&2; exit 1; }
}

# Asks over a connection of its own and prints the reply: `ask HOST:PORT PATH`.
ask() {
  timeout 10 bash -c '
    exec 3<> "/dev/tcp/${1%:*}/${1##*:}"
    printf "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" "$2" "$1" >&3
    cat <&3' ask "$1" "$2"
}
