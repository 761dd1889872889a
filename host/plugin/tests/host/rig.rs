//! One helper that drives a host: guests built once, a folder with a plugin file, messages, and waiting on conditions.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use gantry_model::{
    message::MessageView,
    offset::{PhysicalOffset, QueueOffset},
    properties,
};
use gantry_plugin::{
    Binding, BindingSpec, BindingStatus, BreakerOptions, HostOptions, PluginConfig, PluginHost, PluginSpec,
    PluginStatus, Run, Verdict,
};
use gantry_plugin_build::{Output, Toolchain};

/// How long a condition may take to come true on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The guests' files, each built once a process; cargo makes later builds of the same sources cheap.
pub(crate) struct Guests {
    pub(crate) property_filter: Vec<u8>,
    pub(crate) hostile: Vec<u8>,
}

pub(crate) fn guests() -> &'static Guests {
    static GUESTS: OnceLock<Guests> = OnceLock::new();
    GUESTS.get_or_init(|| Guests {
        property_filter: build("../../plugins", "property-filter"),
        hostile: build("tests/guests/hostile", "hostile"),
    })
}

fn build(project: &str, package: &str) -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (project, target) = (here.join(project), here.join("../../target/plugins"));
    let toolchain =
        Toolchain::find(&project).unwrap_or_else(|missing| panic!("these tests run wasm guests, but {missing}"));
    let built = toolchain.build(&project, Some(&target), Output::Kept).unwrap_or_else(|error| panic!("{error}"));
    let built = built.iter().find(|built| built.package == package);
    fs::read(&built.unwrap_or_else(|| panic!("{package} is not built")).file).unwrap()
}

/// The same module as far as anyone can tell, with bytes of its own: a custom section more.
pub(crate) fn variant(module: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = module.to_vec();
    let text = format!("variant {number:08}");
    bytes.extend([0, 1 + 4 + text.len() as u8, 4]);
    bytes.extend(b"note");
    bytes.extend(text.as_bytes());
    bytes
}

/// A host with short waits, and a folder for plugin files.
pub(crate) struct Rig {
    pub(crate) host: PluginHost,
    pub(crate) folder: tempfile::TempDir,
    _turn: Turn,
}

/// A test that measures the process runs alone in it; the others run together.
static TURNS: RwLock<()> = RwLock::new(());

enum Turn {
    Shared { _turn: RwLockReadGuard<'static, ()> },
    Alone { _turn: RwLockWriteGuard<'static, ()> },
}

impl Default for Rig {
    fn default() -> Self {
        // A test that failed leaves its turn poisoned, which says nothing about this one.
        Self::start(Turn::Shared { _turn: TURNS.read().unwrap_or_else(PoisonError::into_inner) })
    }
}

impl Rig {
    /// For a test that measures the process.
    pub(crate) fn alone() -> Self {
        Self::start(Turn::Alone { _turn: TURNS.write().unwrap_or_else(PoisonError::into_inner) })
    }

    /// With other options.
    pub(crate) fn with(options: HostOptions) -> Self {
        let turn = Turn::Shared { _turn: TURNS.read().unwrap_or_else(PoisonError::into_inner) };
        Rig { host: PluginHost::start(options).unwrap(), folder: tempfile::tempdir().unwrap(), _turn: turn }
    }

    fn start(turn: Turn) -> Self {
        let breaker = BreakerOptions { pause: Duration::from_millis(200), ..BreakerOptions::default() };
        let options = HostOptions { debounce: Duration::from_millis(50), breaker, ..HostOptions::default() };
        Rig { host: PluginHost::start(options).unwrap(), folder: tempfile::tempdir().unwrap(), _turn: turn }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file as a careful writer does.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let (beside, file) = (self.file(&format!("{name}.new")), self.file(name));
        fs::write(&beside, bytes).unwrap();
        fs::rename(&beside, &file).unwrap();
        file
    }

    /// Binds one plugin to topic `t` and group `g`.
    pub(crate) fn bind(&self, file: &Path, params: &[(&str, &str)]) {
        let plugin = params.iter().fold(PluginSpec::new("p", file), |spec, (name, value)| spec.with_param(name, value));
        self.host.apply(PluginConfig::of_filters(vec![plugin], vec![BindingSpec::new("t", "g", "p")])).unwrap();
    }

    pub(crate) fn binding(&self) -> Arc<Binding> {
        self.host.binding("t", "g").unwrap()
    }

    pub(crate) fn status(&self) -> PluginStatus {
        self.host.status().into_iter().find(|status| status.name == "p").unwrap()
    }

    pub(crate) fn bound(&self) -> BindingStatus {
        self.status().bindings.into_iter().find(|binding| binding.group == "g").unwrap()
    }

    /// Waits until `condition` holds of the plugin's status.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&PluginStatus) -> bool) -> PluginStatus {
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
    pub(crate) fn until_serving(&self, bytes: &[u8]) -> PluginStatus {
        let hash = sha256(bytes);
        self.until("these bytes serve", |status| status.sha256.as_deref() == Some(&hash))
    }

    pub(crate) fn until_refused(&self, before: u64) -> PluginStatus {
        self.until("one more refusal", |status| status.refusals > before)
    }

    pub(crate) fn pin(&self) -> Run {
        self.binding().pin().unwrap()
    }

    /// Verdicts of the version that serves now, and the fault that ended them.
    pub(crate) fn judge(&self, messages: &[Message]) -> (Vec<Verdict>, Option<String>) {
        let mut run = self.pin();
        let mut verdicts = Vec::new();
        run.judge(&views(messages), &mut verdicts);
        (verdicts, run.fault().map(str::to_owned))
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A message that owns what its view borrows.
#[derive(Clone, Default)]
pub(crate) struct Message {
    pub(crate) properties: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn new(pairs: &[(&str, &str)]) -> Self {
        let mut message = Message::default();
        pairs.iter().for_each(|(name, value)| properties::push(&mut message.properties, name, value));
        message
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }
}

pub(crate) fn views(messages: &[Message]) -> Vec<MessageView<'_>> {
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
