#!/usr/bin/env bash
# A real Apache RocketMQ (name server + one master broker) on loopback, to check this suite against.
#
#   oracle.sh start [--namesrv-port N] [--broker-port N]     prints the name server's address
#   oracle.sh stop
#   oracle.sh status
#
# The store is a fresh temporary directory, removed by stop; the jars come from Maven Central once.
set -euo pipefail

HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=lib.sh
source "$HERE/lib.sh"

STATE="$CACHE/oracle"
NAMESRV_PORT=29876
BROKER_PORT=30911

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }

ACTION="${1:-}"
[ $# -gt 0 ] && shift
while [ $# -gt 0 ]; do
  case "$1" in
    --namesrv-port) NAMESRV_PORT="$2"; shift 2 ;;
    --broker-port) BROKER_PORT="$2"; shift 2 ;;
    *) usage ;;
  esac
done

running() { [ -s "$STATE/$1.pid" ] && kill -0 "$(cat "$STATE/$1.pid")" 2>/dev/null; }

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_for SECONDS WHAT COMMAND...: polls until the command succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what="$2"
  shift 2
  until "$@"; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      say "gave up waiting for $what; see $STATE/*.log"
      return 1
    fi
    sleep 0.2
  done
}

resolve_classpath() {
  [ -s "$STATE/classpath" ] && [ "$STATE/classpath" -nt "$HERE/oracle/pom.xml" ] && return 0
  need_java
  say "resolving the RocketMQ artefacts"
  mvn -q -B -f "$HERE/oracle/pom.xml" dependency:build-classpath \
    -Dmdep.outputFile="$STATE/classpath" >"$STATE/maven.log" 2>&1 ||
    { tail -n 20 "$STATE/maven.log" >&2; return 1; }
}

write_config() {
  local store="$1"
  cat >"$store/namesrv.conf" <<CONF
listenPort=$NAMESRV_PORT
bindAddress=127.0.0.1
kvConfigPath=$store/kvConfig.json
configStorePath=$store/namesrv.properties
CONF
  cat >"$store/broker.conf" <<CONF
brokerClusterName=DefaultCluster
brokerName=broker-a
brokerId=0
brokerRole=ASYNC_MASTER
flushDiskType=ASYNC_FLUSH
brokerIP1=127.0.0.1
brokerIP2=127.0.0.1
bindAddress=127.0.0.1
listenPort=$BROKER_PORT
haListenPort=$((BROKER_PORT + 1))
namesrvAddr=127.0.0.1:$NAMESRV_PORT
storePathRootDir=$store/store
storePathCommitLog=$store/store/commitlog
mappedFileSizeCommitLog=67108864
autoCreateTopicEnable=true
enablePropertyFilter=true
# The oracle shares its disk with compilers: it must not stop taking messages at 75 % full.
diskMaxUsedSpaceRatio=95
CONF
}

# launch NAME HEAP MAIN_CLASS: starts one server; user.home is where RocketMQ puts its own logs.
launch() {
  local name="$1" heap="$2" main="$3" store="$4"
  ROCKETMQ_HOME="$store" nohup java \
    -Xms"$heap" -Xmx"$heap" -XX:MaxDirectMemorySize=512m -XX:+UseG1GC \
    --add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/sun.nio.ch=ALL-UNNAMED \
    --add-exports=java.base/jdk.internal.ref=ALL-UNNAMED \
    -Duser.home="$store" -cp "$(cat "$STATE/classpath")" \
    "$main" -c "$store/$name.conf" >"$STATE/$name.log" 2>&1 </dev/null &
  echo $! >"$STATE/$name.pid"
}

# The broker says so on its console once it listens and has registered with the name server.
broker_up() { grep -q 'boot success' "$STATE/broker.log"; }

start() {
  mkdir -p "$STATE"
  if running broker; then
    say "the oracle is already running"
    exit 1
  fi
  resolve_classpath
  local store
  store="$(mktemp -d "${TMPDIR:-/tmp}/gantry-oracle.XXXXXX")"
  echo "$store" >"$STATE/store"
  write_config "$store"
  launch namesrv 256m org.apache.rocketmq.namesrv.NamesrvStartup "$store"
  wait_for 60 "the name server" port_open "$NAMESRV_PORT"
  launch broker 1g org.apache.rocketmq.broker.BrokerStartup "$store"
  wait_for 90 "the broker's registration" broker_up
  echo "127.0.0.1:$NAMESRV_PORT"
}

stop() {
  local name
  for name in broker namesrv; do
    running "$name" || continue
    local pid
    pid="$(cat "$STATE/$name.pid")"
    kill "$pid"
    wait_for 30 "the $name's end" eval "! kill -0 $pid 2>/dev/null" || kill -9 "$pid"
    rm -f "$STATE/$name.pid"
  done
  if [ -s "$STATE/store" ]; then
    rm -rf "$(cat "$STATE/store")"
    rm -f "$STATE/store"
  fi
}

case "$ACTION" in
  start) start ;;
  stop) stop ;;
  status)
    for name in namesrv broker; do
      if running "$name"; then echo "$name runs, pid $(cat "$STATE/$name.pid")"; else echo "$name is stopped"; fi
    done
    ;;
  *) usage ;;
esac
