//! One helper that drives a host: guests built once, a folder with a plugin file, messages, and waiting on conditions.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use gantry_model::{
    message::MessageView,
    offset::{PhysicalOffset, QueueOffset},
    properties,
};
use gantry_plugin::{
    Binding, BindingSpec, BindingStatus, BreakerOptions, HostOptions, PluginHost, PluginSpec, PluginStatus, Run, Verdict,
};
use gantry_plugin_build::{Output, Toolchain};

/// How long a condition may take to come true on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The guests' files, each built once a process; cargo makes later builds of the same sources cheap.
pub struct Guests {
    pub property_filter: Vec<u8>,
    pub hostile: Vec<u8>,
}

pub fn guests() -> &'static Guests {
    static GUESTS: OnceLock<Guests> = OnceLock::new();
    GUESTS.get_or_init(|| Guests { property_filter: build("../../plugins"), hostile: build("tests/guests/hostile") })
}

fn build(project: &str) -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (project, target) = (here.join(project), here.join("../../target/plugins"));
    let toolchain = Toolchain::find(&project).unwrap_or_else(|missing| panic!("these tests run wasm guests, but {missing}"));
    let built = toolchain.build(&project, Some(&target), Output::Kept).unwrap_or_else(|error| panic!("{error}"));
    fs::read(&built[0].file).unwrap()
}

/// The same module as far as anyone can tell, with bytes of its own: a custom section more.
pub fn variant(module: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = module.to_vec();
    let text = format!("variant {number:08}");
    bytes.extend([0, 1 + 4 + text.len() as u8, 4]);
    bytes.extend(b"note");
    bytes.extend(text.as_bytes());
    bytes
}

/// A host with short waits, and a folder for plugin files.
pub struct Rig {
    pub host: PluginHost,
    pub folder: tempfile::TempDir,
}

impl Default for Rig {
    fn default() -> Self {
        Self::new(HostOptions::default())
    }
}

impl Rig {
    pub fn new(options: HostOptions) -> Self {
        let breaker = BreakerOptions { pause: Duration::from_millis(200), ..options.breaker };
        let options = HostOptions { debounce: Duration::from_millis(50), breaker, ..options };
        Rig { host: PluginHost::start(options).unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file as a careful writer does.
    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let (beside, file) = (self.file(&format!("{name}.new")), self.file(name));
        fs::write(&beside, bytes).unwrap();
        fs::rename(&beside, &file).unwrap();
        file
    }

    /// Binds one plugin to topic `t` and group `g`.
    pub fn bind(&self, file: &Path, params: &[(&str, &str)]) {
        let plugin = params.iter().fold(PluginSpec::new("p", file), |spec, (name, value)| spec.with_param(name, value));
        self.host.apply(vec![plugin], vec![BindingSpec::new("t", "g", "p")]).unwrap();
    }

    pub fn binding(&self) -> Arc<Binding> {
        self.host.binding("t", "g").unwrap()
    }

    pub fn status(&self) -> PluginStatus {
        self.host.status().into_iter().find(|status| status.name == "p").unwrap()
    }

    pub fn bound(&self) -> BindingStatus {
        self.status().bindings.into_iter().find(|binding| binding.group == "g").unwrap()
    }

    /// Waits until `condition` holds of the plugin's status.
    pub fn until(&self, what: &str, condition: impl Fn(&PluginStatus) -> bool) -> PluginStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.host.generation().get();
            let status = self.status();
            if condition(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "waited in vain until {what}; now {status:#?}");
            // Not every change is announced; those are looked for a hundred times a second.
            self.host.generation().wait_blocking(seen + 1, Duration::from_millis(10)).unwrap();
        }
    }

    /// Waits until the file with these bytes serves.
    pub fn until_serving(&self, bytes: &[u8]) -> PluginStatus {
        let hash = sha256(bytes);
        self.until("these bytes serve", |status| status.sha256.as_deref() == Some(&hash))
    }

    pub fn until_refused(&self, before: u64) -> PluginStatus {
        self.until("one more refusal", |status| status.refusals > before)
    }

    pub fn pin(&self) -> Run {
        self.binding().pin().unwrap()
    }

    /// Verdicts of the version that serves now, and the fault that ended them.
    pub fn judge(&self, messages: &[Message]) -> (Vec<Verdict>, Option<String>) {
        let mut run = self.pin();
        let mut verdicts = Vec::new();
        run.judge(&views(messages), &mut verdicts);
        (verdicts, run.fault().map(str::to_owned))
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A message that owns what its view borrows.
#[derive(Clone, Default)]
pub struct Message {
    pub properties: Vec<u8>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn new(pairs: &[(&str, &str)]) -> Self {
        let mut message = Message::default();
        pairs.iter().for_each(|(name, value)| properties::push(&mut message.properties, name, value));
        message
    }

    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }
}

pub fn views(messages: &[Message]) -> Vec<MessageView<'_>> {
    messages.iter().enumerate().map(|(index, message)| view(index, message)).collect()
}

fn view(index: usize, message: &Message) -> MessageView<'_> {
    MessageView {
        topic: "t",
        queue_id: 3,
        queue_offset: QueueOffset(index as u64),
        physical_offset: PhysicalOffset(0),
        sys_flag: 0,
        flag: 0,
        born_ms: 1_000,
        store_ms: 2_000,
        born_host: SocketAddr::from(([127, 0, 0, 1], 40_000)),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &message.body,
        properties: &message.properties,
    }
}
