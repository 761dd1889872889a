//! The settings of a configuration as the crates below want them.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use gantry_broker::BrokerOptions;
use gantry_namesrv::NameServerOptions;
use gantry_plugin::{BreakerOptions, HostOptions, hex};
use gantry_remoting::Limits;
use gantry_store::{Flush, Options as StoreOptions, RetentionOptions};

use super::cluster::Config;

/// Bytes of a record besides its body: RocketMQ allows 32 KiB of properties, and Gantry's fixed parts fit in the rest.
pub(super) const RECORD_MARGIN_BYTES: u32 = 64 << 10;

/// Hours of the day as RocketMQ's `deleteWhen` lists them, `04;16`; none of them for `any`.
pub(super) fn hours(text: &str) -> Option<Vec<u8>> {
    if text.trim() == "any" {
        return Some(Vec::new());
    }
    let hour = |part: &str| part.trim().parse().ok().filter(|hour: &u8| *hour < 24);
    text.split(';').map(hour).collect()
}

impl Config {
    /// Bounds of each listener.
    pub(crate) fn limits(&self) -> Limits {
        let seconds = |path| Duration::from_secs(self.document.integer(path));
        Limits {
            frame_bytes_max: self.size("limits.frame_bytes_max"),
            in_flight_requests_max: self.size("limits.in_flight_requests_max"),
            in_flight_bytes_max: self.size("limits.in_flight_bytes_max"),
            reply_buffer_bytes_max: self.size("limits.reply_buffer_bytes_max"),
            connections_max: self.size("limits.connections_max"),
            idle_timeout: seconds("limits.idle_timeout_s"),
            write_stall_timeout: seconds("limits.write_stall_timeout_s"),
            frame_timeout: seconds("limits.frame_timeout_s"),
            drain_timeout: seconds("limits.drain_timeout_s"),
            ..Limits::default()
        }
    }

    /// Settings of a broker's store.
    pub(crate) fn store_options(&self) -> StoreOptions {
        let number = |path| self.document.integer(path);
        StoreOptions {
            flush: self.flush(),
            segment_size_bytes: number("store.segment_size_bytes"),
            queue_file_entries: number("store.queue_file_entries") as u32,
            queue_files_open_max: number("store.queue_files_open_max") as usize,
            index_enabled: self.document.boolean("store.index"),
            index_file_slots: number("store.index_file_slots") as u32,
            index_file_entries: number("store.index_file_entries") as u32,
            allocate_ahead_bytes: number("store.allocate_ahead_bytes"),
            record_size_max_bytes: number("broker.message_bytes_max") as u32 + RECORD_MARGIN_BYTES,
            async_dirty_max_bytes: number("store.async_dirty_max_bytes"),
            sync_delay_ms: number("store.sync_delay_ms"),
            checkpoint_interval_ms: number("store.checkpoint_interval_ms"),
            checkpoint_bytes: number("store.checkpoint_bytes"),
            retention: self.retention(),
            scrub_bytes_per_s: number("store.scrub_bytes_per_s"),
            scrub_interval_s: number("store.scrub_interval_s"),
            ..StoreOptions::default()
        }
    }

    /// Settings of a broker.
    pub(crate) fn broker_options(
        &self,
        name: &str,
        advertised: SocketAddr,
        name_servers: Vec<String>,
        data: PathBuf,
    ) -> BrokerOptions {
        let number = |path| self.document.integer(path);
        BrokerOptions {
            name_servers,
            flush: self.flush(),
            flush_timeout_ms: number("broker.flush_timeout_ms"),
            auto_create_topics: self.document.boolean("broker.auto_create_topics"),
            default_topic_queues: number("broker.default_topic_queues") as u32,
            auto_create_groups: self.document.boolean("broker.auto_create_groups"),
            message_bytes_max: self.size("broker.message_bytes_max"),
            pull_messages_max: self.size("broker.pull_messages_max"),
            pull_bytes_max: self.size("broker.pull_bytes_max"),
            pull_scan_max: self.size("broker.pull_scan_max"),
            suspend_max_ms: number("broker.suspend_max_ms"),
            parked_pulls_max: self.size("broker.parked_pulls_max"),
            blocking_pulls_max: self.size("broker.blocking_pulls_max"),
            flush_backlog_bytes_max: number("broker.flush_backlog_bytes_max"),
            dispatch_backlog_bytes_max: number("broker.dispatch_backlog_bytes_max"),
            send_wait_ms_max: number("broker.send_wait_ms_max"),
            blocking_waiting_max: self.size("broker.blocking_waiting_max"),
            blocking_wait_ms_max: number("broker.blocking_wait_ms_max"),
            client_expiry_ms: number("broker.client_expiry_ms"),
            clients_max: self.size("broker.clients_max"),
            topics_max: self.size("broker.topics_max"),
            groups_max: self.size("broker.groups_max"),
            timer_delay_max_s: number("broker.timer_delay_max_s"),
            recall_enabled: self.document.boolean("broker.recall_enabled"),
            zones: self.zones.clone(),
            sql92: self.document.boolean("broker.sql92"),
            admin: self.admin.clone(),
            region: self.document.text("broker.region").to_owned(),
            ..BrokerOptions::new(self.document.text("cluster.name"), name, advertised, data)
        }
    }

    /// Settings of a name server.
    pub(crate) fn name_server_options(&self) -> NameServerOptions {
        NameServerOptions {
            broker_expiry: Duration::from_secs(self.document.integer("nameserver.broker_expiry_s")),
            admin: self.admin.clone(),
            ..NameServerOptions::default()
        }
    }

    /// Settings of the plugin host; `slots` = threads that judge at the same time.
    pub(crate) fn plugin_options(&self, broker: &str, slots: usize) -> HostOptions {
        let number = |path| self.document.integer(path);
        HostOptions {
            broker: broker.to_owned(),
            slots,
            memory_budget_bytes: number("plugins.memory_budget_bytes"),
            debounce: Duration::from_millis(number("plugins.debounce_ms")),
            rescan: Duration::from_millis(number("plugins.rescan_ms")),
            breaker: BreakerOptions {
                faults: self.size("plugins.breaker_faults"),
                window: Duration::from_millis(number("plugins.breaker_window_ms")),
                pause: Duration::from_millis(number("plugins.breaker_pause_ms")),
            },
            probation: Duration::from_millis(number("plugins.probation_ms")),
            versions_kept: self.size("plugins.versions_kept"),
            trusted_keys: self.document.list("plugins.trusted_keys").iter().filter_map(|key| hex(key)).collect(),
            require_signed: self.document.boolean("plugins.require_signed"),
            ..HostOptions::default()
        }
    }

    fn retention(&self) -> RetentionOptions {
        let number = |path| self.document.integer(path);
        let percent = |path| u8::try_from(self.document.integer(path)).unwrap_or(u8::MAX);
        RetentionOptions {
            age_ms: number("retention.age_hours") * 3_600_000,
            size_bytes: number("retention.size_bytes"),
            hours: hours(self.document.text("retention.delete_hours")).unwrap_or_default(),
            disk_clean_percent: percent("retention.disk_clean_percent"),
            disk_force_percent: percent("retention.disk_force_percent"),
            disk_refuse_percent: percent("retention.disk_refuse_percent"),
            segments_per_pass_max: number("retention.segments_per_pass_max") as u32,
            interval_ms: number("retention.interval_ms"),
        }
    }

    fn flush(&self) -> Flush {
        match self.document.text("broker.flush") {
            "async" => Flush::Async { interval_ms: self.document.integer("broker.flush_interval_ms") },
            _ => Flush::Sync,
        }
    }

    fn size(&self, path: &str) -> usize {
        usize::try_from(self.document.integer(path)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    #[test]
    fn hours_are_those_of_the_day() {
        assert_eq!(hours("04"), Some(vec![4]));
        assert_eq!(hours("0; 12;23"), Some(vec![0, 12, 23]));
        assert_eq!(hours(" any "), Some(vec![]));
        for wrong in ["24", "", "4,5", "-1", "04;", "noon"] {
            assert_eq!(hours(wrong), None, "{wrong}");
        }
    }

    /// The defaults of the table and those of the crates are the same values, so neither can drift.
    #[test]
    fn the_defaults_are_those_of_the_crates() {
        fn same(found: impl Debug, expected: impl Debug) {
            assert_eq!(format!("{found:#?}"), format!("{expected:#?}"));
        }
        let config = Config::builtin();
        let (address, data) = (SocketAddr::from(([127, 0, 0, 1], 10_911)), PathBuf::from("data"));
        same(config.limits(), Limits::default());
        same(config.store_options(), StoreOptions::default());
        same(config.name_server_options(), NameServerOptions::default());
        same(
            config.plugin_options("broker-a", 4),
            HostOptions { broker: "broker-a".into(), slots: 4, ..HostOptions::default() },
        );
        let expected = BrokerOptions::new("DefaultCluster", "broker-a", address, data.clone());
        same(config.broker_options("broker-a", address, Vec::new(), data), expected);
    }
}
