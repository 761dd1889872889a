//! Every key of the cluster file: the one table behind the parser, `gantry config explain` and the files in `conf/`.

use super::key::{
    Key,
    Kind::{self, Bool, Choice, Integer, List, Params, Path, Text},
    Reload::{self, Live, Restart},
    Value,
};

const KIB: i64 = 1024;
const MIB: i64 = 1024 * KIB;
const GIB: i64 = 1024 * MIB;
const DAY_MS: i64 = 86_400_000;

const fn int(min: i64, max: i64, unit: &'static str) -> Kind {
    Integer { min, max, unit }
}

const fn key(path: &'static str, kind: Kind, default: Value, reload: Reload, doc: &'static str) -> Key {
    Key { path, kind, default, reload, doc }
}

use Value::{Absent, Empty, Required};

const fn n(value: i64) -> Value {
    Value::Integer(value)
}

/// In the order in which they are explained.
#[rustfmt::skip]
pub(crate) static KEYS: &[Key] = &[
    key("cluster.name", Text("letters, digits and % | - _ ."), Value::Text("DefaultCluster"), Restart,
        "Name of the cluster. Brokers register under it, and every stored message carries it."),

    key("broker.flush", Choice(&["sync", "async"]), Value::Text("sync"), Restart,
        "\"sync\": SEND_OK means that the message is on disk. \"async\": SEND_OK means that the system has it; what came \
         since the last flush is lost when the power goes, not when the process dies."),
    key("broker.flush_interval_ms", int(1, 60_000, "ms"), n(500), Restart,
        "Longest time between two flushes with flush = \"async\": the window that a power loss can cost."),
    key("broker.flush_timeout_ms", int(1, 60_000, "ms"), n(5_000), Restart,
        "How long a synchronous send waits for its flush; then the producer gets FLUSH_DISK_TIMEOUT, and the message may \
         still be stored."),
    key("broker.auto_create_topics", Bool, Value::Bool(true), Restart,
        "Whether a send to an unknown topic creates it, as RocketMQ does after its template TBW102."),
    key("broker.default_topic_queues", int(1, 1_024, "queues"), n(8), Restart,
        "Most queues of a topic that a send creates. Clients ask for 4 unless told otherwise."),
    key("broker.auto_create_groups", Bool, Value::Bool(true), Restart,
        "Whether an unknown consumer group is created when it is first used."),
    key("broker.message_bytes_max", int(1, 15 * MIB, "bytes"), n(4 * MIB), Restart,
        "Largest body of a message or a batch; a larger one is answered MESSAGE_ILLEGAL."),
    key("broker.region", Text("letters, digits and % | - _ ."), Value::Text("DefaultRegion"), Restart,
        "Region that is stored in every message and told to producers (MSG_REGION)."),
    key("broker.pull_messages_max", int(1, 10_000, "messages"), n(1_024), Restart,
        "Most messages that one pull returns, whatever it asks for."),
    key("broker.pull_bytes_max", int(KIB, 8 * MIB, "bytes"), n(256 * KIB), Restart,
        "Most bytes that one pull returns; the first message is returned whatever its size."),
    key("broker.pull_scan_max", int(1, 1_000_000, "messages"), n(4_096), Restart,
        "Most messages that one pull looks at to find some that its filter accepts; then it answers how far it got."),
    key("broker.suspend_max_ms", int(1_000, 300_000, "ms"), n(60_000), Restart,
        "Longest that a pull is held at the end of its queue, whatever it asks for."),
    key("broker.parked_pulls_max", int(0, 10_000_000, "pulls"), n(100_000), Restart,
        "Pulls that are held at the same time; beyond it a pull is answered at once, so that clients poll."),
    key("broker.blocking_pulls_max", int(1, 256, "pulls"), n(8), Restart,
        "Pulls that may wait for the disk or run a slow filter at the same time; more of them queue up."),
    key("broker.flush_backlog_bytes_max", int(MIB, 1_024 * GIB, "bytes"), n(256 * MIB), Restart,
        "Bytes of the log that may wait for a flush; beyond it sends wait up to send_wait_ms_max and are then refused with \
         SYSTEM_BUSY. Metric gantry_flush_backlog_bytes."),
    key("broker.dispatch_backlog_bytes_max", int(MIB, 1_024 * GIB, "bytes"), n(256 * MIB), Restart,
        "Bytes of the log that may wait for their consume queue entries; beyond it the same. Metric \
         gantry_dispatch_backlog_bytes."),
    key("broker.send_wait_ms_max", int(1, 60_000, "ms"), n(200), Restart,
        "Longest that a send waits to be served, counted from its arrival; then it is refused with SYSTEM_BUSY. Metric \
         gantry_send_wait_ms."),
    key("broker.blocking_waiting_max", int(1, 1_000_000, "requests"), n(4_096), Restart,
        "Requests that may wait in line for one of blocking_pulls_max; beyond it they are refused with SYSTEM_BUSY. Metric \
         gantry_blocking_waiting."),
    key("broker.blocking_wait_ms_max", int(1, 60_000, "ms"), n(5_000), Restart,
        "Longest that one of them waits; then it is refused with SYSTEM_BUSY. Metric gantry_blocking_wait_ms."),
    key("broker.client_expiry_ms", int(10_000, DAY_MS, "ms"), n(120_000), Restart,
        "A client that sends no heartbeat for this long is dropped from its groups. Clients send one every 30 s."),
    key("broker.clients_max", int(1, 10_000_000, "members"), n(100_000), Restart,
        "Members of all groups together; a heartbeat beyond it is refused with SYSTEM_BUSY."),
    key("broker.topics_max", int(1, 1_000_000, "topics"), n(100_000), Restart,
        "Most topics; creation beyond it is refused."),
    key("broker.groups_max", int(1, 1_000_000, "groups"), n(100_000), Restart,
        "Most consumer groups; creation beyond it is refused."),
    key("broker.timer_delay_max_s", int(1, 3_650 * DAY_MS / 1_000, "s"), n(365 * DAY_MS / 1_000), Restart,
        "Furthest ahead that a message may be timed (TIMER_DELAY_SEC, TIMER_DELAY_MS, TIMER_DELIVER_MS); beyond it a send is \
         answered MESSAGE_ILLEGAL. It may be longer than messages are kept."),
    key("broker.recall_enabled", Bool, Value::Bool(true), Restart,
        "Whether producers may recall timed messages that are not delivered yet; RocketMQ's default is no."),
    key("broker.sql92", Bool, Value::Bool(true), Restart,
        "Whether consumers may select messages by SQL92 expressions over properties (MessageSelector.bySql). RocketMQ's \
         enablePropertyFilter, whose default is no; with false such a consumer is refused as there."),

    key("store.segment_size_bytes", int(MIB, GIB, "bytes"), n(GIB), Restart,
        "Length of each file of the commit log. A data directory keeps the value that it was made with."),
    key("store.queue_file_entries", int(1_000, 10_000_000, "entries"), n(300_000), Restart,
        "Entries of each consume queue file, 20 bytes each. A data directory keeps the value that it was made with."),
    key("store.queue_files_open_max", int(16, 1_000_000, "files"), n(4_096), Restart,
        "Most consume queue files open at once, of all queues together; one that was not used lately is closed for the next. A \
         quarter of the open files limit (ulimit -n) at most is used."),
    key("store.index", Bool, Value::Bool(true), Restart,
        "Whether messages are found by their id and keys. Switched on again, the index is built from the log meanwhile."),
    key("store.index_file_slots", int(1_000, 100_000_000, "slots"), n(5_000_000), Restart,
        "Hash slots of each index file, 4 bytes each. A data directory keeps the value that it was made with."),
    key("store.index_file_entries", int(1_000, 80_000_000, "entries"), n(20_000_000), Restart,
        "Keys that each index file takes, 20 bytes each. A data directory keeps the value that it was made with."),
    key("store.allocate_ahead_bytes", int(0, GIB, "bytes"), n(64 * MIB), Restart,
        "How far ahead of the end of the log disk space is reserved, so that a full disk is noticed before a message is \
         half written."),
    key("store.async_dirty_max_bytes", int(MIB, 4 * GIB, "bytes"), n(64 * MIB), Restart,
        "With flush = \"async\" a flush starts early when this much waits for one."),
    key("store.sync_delay_ms", int(0, 60_000, "ms"), n(0), Restart,
        "Added to each sync of the log: shows what a slow disk does to synchronous sends. For measurements only."),
    key("store.checkpoint_interval_ms", int(100, 600_000, "ms"), n(5_000), Restart,
        "Longest time between two checkpoints while messages come. A restart after a crash reads the log from the last one."),
    key("store.checkpoint_bytes", int(MIB, 64 * GIB, "bytes"), n(128 * MIB), Restart,
        "A checkpoint is made early after this much log: it bounds how long a restart after a crash takes."),
    key("store.scrub_bytes_per_s", int(0, GIB, "bytes/s"), n(8 * MIB), Restart,
        "How fast the files are looked through for damage in the background, so that it is found while copies still exist; \
         0 = not at all."),
    key("store.scrub_interval_s", int(1, 365 * 86_400, "s"), n(7 * 86_400), Restart,
        "Time from the end of one look through all files to the beginning of the next."),

    key("retention.age_hours", int(0, 876_000, "hours"), n(72), Restart,
        "A file of the commit log is deleted when its newest message is older, with the consume queues' part of it; 0 = age \
         deletes nothing. Only whole files go (store.segment_size_bytes), never the one being written. What delayed messages \
         and consumer offsets still need is kept."),
    key("retention.delete_hours", Text("hours of the day from 0 to 23, joined by ;, or any"), Value::Text("04"), Restart,
        "When age deletes, in the host's time zone: any time within these hours."),
    key("retention.size_bytes", int(0, 1_048_576 * GIB, "bytes"), n(0), Restart,
        "Most bytes of the commit log that are kept, at any hour and whatever their age; 0 = no bound."),
    key("retention.disk_clean_percent", int(1, 101, "%"), n(75), Restart,
        "From this use of the disk on, by whatever, what age_hours allows is deleted at any hour."),
    key("retention.disk_force_percent", int(1, 101, "%"), n(85), Restart,
        "From this use of the disk on the oldest files of the log are deleted whatever their age; 101 = never."),
    key("retention.disk_refuse_percent", int(1, 101, "%"), n(90), Restart,
        "From this use of the disk on sends are answered SERVICE_NOT_AVAILABLE, while pulls and offset commits go on; below it \
         sends are taken again, without a restart. 101 = only a disk without space refuses."),
    key("retention.segments_per_pass_max", int(1, 10_000, "files"), n(10), Restart,
        "Files of the log that are deleted at most in one go."),
    key("retention.interval_ms", int(100, 3_600_000, "ms"), n(10_000), Restart,
        "How often it is looked what is to be deleted. How full the disk is, is looked at every second at least."),

    key("limits.frame_bytes_max", int(64 * KIB, 64 * MIB, "bytes"), n(16 * MIB), Restart,
        "Longest frame that a peer may send; a longer one closes its connection. RocketMQ's clients take 16 MiB."),
    key("limits.in_flight_requests_max", int(1, 1_000_000, "requests"), n(10_000), Restart,
        "Requests of one connection that are being worked on, held pulls included; at the limit it is not read further."),
    key("limits.in_flight_bytes_max", int(MIB, 64 * GIB, "bytes"), n(256 * MIB), Restart,
        "Bytes that all connections of a listener may hold beyond 64 KiB each in either direction; when spent, only \
         those that hold more wait."),
    key("limits.reply_buffer_bytes_max", int(64 * KIB, GIB, "bytes"), n(4 * MIB), Restart,
        "Unsent answers of one connection; beyond it the connection is not read until its peer takes some."),
    key("limits.connections_max", int(1, 1_000_000, "connections"), n(20_000), Restart,
        "Connections of one listener; further ones are closed when they arrive. The limit of open files (ulimit -n) must \
         be above it."),
    key("limits.idle_timeout_s", int(5, 86_400, "s"), n(120), Restart,
        "A connection on which nothing is read or written for so long is closed. Clients send heartbeats every 30 s."),
    key("limits.write_stall_timeout_s", int(1, 3_600, "s"), n(30), Restart,
        "A peer that takes none of its answers for so long is closed."),
    key("limits.frame_timeout_s", int(1, 3_600, "s"), n(10), Restart,
        "A frame that was begun must be complete within this time; every 64 KiB of it earn another second."),
    key("limits.drain_timeout_s", int(0, 600, "s"), n(10), Restart,
        "How long a node that was told to stop waits for answers in flight."),

    key("nameserver.broker_expiry_s", int(10, 86_400, "s"), n(120), Restart,
        "A broker that does not register again for so long is taken out of the routes. Brokers do it every 30 s."),

    key("plugins.memory_budget_bytes", int(16 * MIB, 1_024 * GIB, "bytes"), n(4 * GIB), Restart,
        "Bound on what all instances of all plugins may take together; each plugin has one instance for each worker."),
    key("plugins.debounce_ms", int(10, 60_000, "ms"), n(200), Restart,
        "How long a plugin's file must stand still before it is read."),
    key("plugins.rescan_ms", int(100, 600_000, "ms"), n(2_000), Restart,
        "How often plugin files are looked at besides the system's notices, for file systems that give none."),
    key("plugins.breaker_faults", int(1, 100_000, "messages"), n(5), Restart,
        "After so many undecided messages within breaker_window_ms a filter rests."),
    key("plugins.breaker_window_ms", int(100, 3_600_000, "ms"), n(10_000), Restart,
        "The time within which breaker_faults count."),
    key("plugins.breaker_pause_ms", int(10, 3_600_000, "ms"), n(30_000), Restart,
        "How long a filter rests; then one batch is tried."),

    key("plugins.probation_ms", int(0, 3_600_000, "ms"), n(60_000), Restart,
        "For so long after a swap a new version that fails until its breaker opens is replaced by the version before."),
    key("plugins.versions_kept", int(0, 32, "versions"), n(3), Restart,
        "Former versions of each plugin that are kept in the data directory, for gantry plugin rollback."),
    key("plugins.trusted_keys", List("ed25519 public keys, 64 hex digits each"), Empty, Restart,
        "Whose signatures plugins may have. FILE.wasm is signed by FILE.wasm.sig: 64 bytes, or 128 hex digits, over the whole file."),
    key("plugins.require_signed", Bool, Value::Bool(false), Restart,
        "Whether a file without a signature by one of plugins.trusted_keys is refused."),

    key("telemetry.series_max", int(1_000, 10_000_000, "series"), n(200_000), Restart,
        "Most metric series that are gathered and shown, each bound of a histogram being one. What is beyond it is left out and \
         counted (gantry_metrics_dropped_series_total)."),
    key("telemetry.tick_ms", int(100, 3_600_000, "ms"), n(5_000), Restart,
        "How often metric and alert plugins are shown the node's metrics."),
    key("telemetry.feed_series_max", int(100, 1_000_000, "series"), n(20_000), Restart,
        "Most series that they are shown; what is beyond it is left out and counted (gantry_feed_left_out_series)."),
    key("telemetry.derived_series_max", int(1, 1_000_000, "series"), n(10_000), Restart,
        "Most series that one plugin may derive from others; further ones are left out and counted."),
    key("telemetry.alerts_max", int(1, 1_000_000, "alerts"), n(10_000), Restart,
        "Most alerts that are kept, pending and firing; further ones are not taken, which is said and counted."),
    key("telemetry.alert_confirm_s", int(1, 86_400, "s"), n(300), Restart,
        "After a start, how long whoever raised an alert before may take to raise it again; then it is over."),
    key("telemetry.alert_resend_s", int(1, 3_600, "s"), n(60), Restart,
        "How often firing alerts are sent again. An Alertmanager that hears nothing of one for three times as long takes it \
         for over."),

    key("admin.allow", List("addresses and networks, such as \"10.1.0.7\" and \"10.1.0.0/16\""), Empty, Restart,
        "Whose requests may create, change and delete topics and groups, besides those from the machine itself. There is no \
         authentication yet: whoever can use these addresses is trusted."),

    key("node.*.host", Text("an IP address or a host name"), Value::Text("127.0.0.1"), Restart,
        "Where this node listens. 0.0.0.0 and :: mean every address of the machine, and then advertise is required."),
    key("node.*.advertise", Text("an IP address or a host name"), Absent, Restart,
        "The address that clients and other nodes are told; the host when left out."),
    key("node.*.data", Path, Value::Text("gantry-data"), Restart,
        "Data directory of the node; each broker has a folder of its name in it. --data overrides it."),
    key("node.*.zone", Text("letters, digits and % | - _ ."), Absent, Restart,
        "Zone that the node's brokers stand in. Name servers tell it (zoneName), and balancers look at it."),
    key("node.*.labels", Params, Empty, Restart,
        "What balancers are told of the node's brokers besides: up to 16 names with values, such as { disk = \"nvme\" }."),
    key("node.*.http_port", int(0, 65_535, ""), n(5_557), Restart,
        "Port of the HTTP endpoint (0 = any free one): /metrics for Prometheus, /healthz, /readyz, and on nodes with a \
         nameserver the addresses of name servers for clients."),
    key("node.*.nameserver.port", int(0, 65_535, ""), n(9_876), Restart,
        "Port of the node's name server (0 = any free one). The table `nameserver`, even empty, makes the node run one."),
    key("node.*.brokers[].name", Text("letters, digits and % | - _ ."), Required, Restart,
        "Name of the broker, one in the cluster. Its messages lie in a folder of this name."),
    key("node.*.brokers[].id", int(0, 65_535, ""), n(0), Restart,
        "0 = master. Replicas (above 0) are not built yet and are refused."),
    key("node.*.brokers[].port", int(0, 65_535, ""), n(10_911), Restart,
        "Port of the broker (0 = any free one)."),

    key("plugin[].name", Text("letters, digits and - _ ."), Required, Live,
        "Name that [[filter]] and [[balancer]] use."),
    key("plugin[].file", Path, Required, Live,
        "The .wasm file. It may come later, and it is loaded again whenever it changes; one that is refused leaves the old \
         one serving."),
    key("plugin[].world", Choice(&["message-filter", "queue-balancer", "metric-hook", "alert-hook"]), Value::Text("message-filter"), Live,
        "What the plugin is: a message-filter decides which messages a group sees, a queue-balancer where messages go and who \
         consumes them, a metric-hook makes metrics of metrics, an alert-hook alerts. A hook serves without further binding."),
    key("plugin[].params", Params, Empty, Live,
        "What the plugin is opened with, for every filter that uses it."),
    key("plugin[].memory_limit_mib", int(1, 1_024, "MiB"), n(16), Live,
        "Memory of one instance; what wants more fails its call."),
    key("plugin[].deadline_ms", int(1, 1_000, "ms"), Absent, Live,
        "Processor time of one call (a batch of messages, a balancer's answer, a hook's tick); what takes longer fails it. 5 when \
         left out, 500 of a hook."),
    key("plugin[].on_error", Choice(&["hold", "deliver"]), Value::Text("hold"), Live,
        "What happens to a message that the plugin fails to decide when a subscription calls it by wasm(); as filter[].on_error."),
    key("plugin[].sha256", Text("64 digits of 0-9 and a-f"), Absent, Live,
        "The only file that is taken, by its SHA-256; any when left out."),
    key("plugin[].shadow_differs_max_percent", int(0, 100, "%"), Absent, Live,
        "A new version of a filter is first run over messages that the present one judged lately; one that judges a larger share of \
         them otherwise is refused. When left out, the difference is only reported."),

    key("alert_webhook[].url", Text("the address of an Alertmanager, such as \"http://127.0.0.1:9093\""), Required, Live,
        "Where firing and resolved alerts are posted, as Prometheus does: to /api/v2/alerts below this address. Tried again, with \
         growing pauses, until they are taken."),

    key("filter[].topic", Text("a topic"), Required, Live,
        "The topic that is filtered."),
    key("filter[].group", Text("a consumer group"), Required, Live,
        "The consumer group that sees what the filter accepts. Both the filter and the client's own subscription must accept."),
    key("filter[].plugin", Text("the name of a [[plugin]]"), Required, Live,
        "Which plugin decides."),
    key("filter[].params", Params, Empty, Live,
        "Parameters that are laid over those of the plugin."),
    key("filter[].on_error", Choice(&["hold", "deliver"]), Value::Text("hold"), Live,
        "What happens to a message that the plugin fails to decide. \"hold\": the group waits, nothing is passed over. \
         \"deliver\": the group gets it, marked with the property GANTRY_FILTER_UNDECIDED."),

    key("balancer[].topic", Text("a topic, or * for every topic"), Required, Live,
        "The topic that is decided about; for routes TBW102 stands for topics to be made. Retry, dead letter and other system \
         topics never are."),
    key("balancer[].group", Text("a consumer group, or * for every group"), Value::Text("*"), Live,
        "The consumer group whose members get queues; only for decides = [\"assign\"]."),
    key("balancer[].plugin", Text("the name of a [[plugin]] of the world queue-balancer"), Required, Live,
        "Which plugin decides."),
    key("balancer[].params", Params, Empty, Live,
        "Parameters that are laid over those of the plugin."),
    key("balancer[].decides", List("\"route\", \"select-queue\", \"assign\" or several of them"), Required, Live,
        "\"route\": which brokers producers may write to. \"select-queue\": which queue takes a message whose producer left \
         it open. \"assign\": which member of a group gets which queue. What nobody decides is as RocketMQ has it."),
    key("balancer[].retarget", Bool, Value::Bool(false), Live,
        "Whether select-queue may also move messages whose producer named a queue, within their broker. Never those with a \
         sharding key or of topics marked as ordered; leave it off where producers keep an order by naming queues."),

    key("zone[].name", Text("letters, digits and % | - _ ."), Required, Restart,
        "Name of the zone; several [[zone]] may share one."),
    key("zone[].networks", List("addresses and networks, such as \"10.1.0.7\" and \"10.1.0.0/16\""), Required, Restart,
        "Clients with these addresses stand in the zone: the address that a client's id begins with, else that of its \
         connection. The first [[zone]] that has it counts."),
];

/// The key of a pattern such as `node.*.host`.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether some key lies below the pattern.
pub(crate) fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// Names that operators may bring along, from RocketMQ's broker.conf or from an earlier Gantry, and where they went.
/// Compared with the last part of an unknown key.
#[rustfmt::skip]
pub(crate) static MOVED: &[(&str, &str)] = &[
    ("brokerClusterName", "it is `name` in [cluster]"),
    ("brokerName", "it is `name` of an entry of `brokers` in [node.NAME]"),
    ("brokerId", "it is `id` of an entry of `brokers` in [node.NAME]"),
    ("brokerRole", "a broker with id = 0 is the master; replicas are not built yet"),
    ("listenPort", "it is `port` of an entry of `brokers` in [node.NAME]"),
    ("brokerIP1", "it is `advertise` in [node.NAME]"),
    ("namesrvAddr", "brokers use the name servers of all nodes in this file: give the node a `nameserver = {}`"),
    ("storePathRootDir", "it is `data` in [node.NAME]"),
    ("storePathCommitLog", "the commit log lies below `data` in [node.NAME]"),
    ("flushDiskType", "it is `flush` in [broker]: SYNC_FLUSH is \"sync\", ASYNC_FLUSH is \"async\""),
    ("flushIntervalCommitLog", "it is `flush_interval_ms` in [broker]"),
    ("syncFlushTimeout", "it is `flush_timeout_ms` in [broker]"),
    ("autoCreateTopicEnable", "it is `auto_create_topics` in [broker]"),
    ("autoCreateSubscriptionGroup", "it is `auto_create_groups` in [broker]"),
    ("defaultTopicQueueNums", "it is `default_topic_queues` in [broker]"),
    ("maxMessageSize", "it is `message_bytes_max` in [broker]"),
    ("enablePropertyFilter", "it is `sql92` in [broker]"),
    ("mapedFileSizeCommitLog", "it is `segment_size_bytes` in [store]"),
    ("mappedFileSizeCommitLog", "it is `segment_size_bytes` in [store]"),
    ("timerMaxDelaySec", "it is `timer_delay_max_s` in [broker]"),
    ("timerPrecisionMs", "there is no such key: timed messages are delivered to the millisecond"),
    ("timerWheelEnable", "there is no such key: timed messages are always taken"),
    ("recallMessageEnable", "it is `recall_enabled` in [broker]"),
    ("messageIndexEnable", "it is `index` in [store]"),
    ("maxHashSlotNum", "it is `index_file_slots` in [store]"),
    ("maxIndexNum", "it is `index_file_entries` in [store]"),
    ("metricsExporterType", "there is no such key: http://host:http_port/metrics is always there"),
    ("metricsPromExporterPort", "it is `http_port` in [node.NAME]"),
    ("metricsOtelCardinalityLimit", "it is `series_max` in [telemetry]"),
    ("enablePropertyFilter", "there is no such key: filters are plugins, see [[filter]]"),
    ("deleteWhen", "it is `delete_hours` in [retention]"),
    ("fileReservedTime", "it is `age_hours` in [retention]"),
    ("diskMaxUsedSpaceRatio", "it is `disk_clean_percent` in [retention]"),
    ("diskSpaceCleanForciblyRatio", "it is `disk_force_percent` in [retention]"),
    ("diskSpaceWarningLevelRatio", "it is `disk_refuse_percent` in [retention]"),
    ("cleanFileForciblyEnable", "it is `disk_force_percent` in [retention]; 101 is never"),
    ("deleteFileBatchMax", "it is `segments_per_pass_max` in [retention]"),
    ("cleanResourceInterval", "it is `interval_ms` in [retention]"),
    ("replication", "replicas are not built yet"),
    ("listen", "it is `host` in [node.NAME]"),
    ("nameserver_port", "write `nameserver = { port = 9876 }`"),
    ("memory_limit_bytes", "it is `memory_limit_mib`"),
    ("parameters", "it is `params`"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_well_formed() {
        for (index, key) in KEYS.iter().enumerate() {
            let path = key.path;
            assert!(key.doc.ends_with('.') && key.doc.len() > 10, "{path}: the doc is a sentence");
            assert!(KEYS[..index].iter().all(|other| other.path != path), "{path} is there twice");
            assert!(MOVED.iter().all(|(moved, _)| *moved != key.name()), "{path} is listed as moved");
            let fits = match (&key.default, key.kind) {
                (Required | Absent, _) => true,
                (Value::Bool(_), Bool) | (Value::Text(_), Text(_) | Path) | (Empty, List(_) | Params) => true,
                (Value::Integer(value), Integer { min, max, unit }) => {
                    // The unit comes last in the name, so that a value says what it counts.
                    let named = match unit {
                        "ms" | "s" => path.trim_end_matches("_max").ends_with(&format!("_{unit}")),
                        "bytes" => path.contains("_bytes"),
                        "MiB" => path.ends_with("_mib"),
                        _ => true,
                    };
                    (min..=max).contains(value) && named
                }
                (Value::Text(word), Choice(words)) => words.contains(word),
                _ => false,
            };
            assert!(fits, "{path}: default {:?} of {:?}", key.default, key.kind);
        }
    }
}
