//! The consumer groups of this broker (`config/subscriptionGroup.json`, RocketMQ's shape).

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use gantry_base::{clock::Clock, disk::Disk};
use gantry_model::{group::GroupConfig, name, version::DataVersion};
use gantry_protocol::code::response;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    options::BrokerOptions,
    reply::Refusal,
    topics::{read_json, write_json},
};

type Groups = FxHashMap<String, Arc<GroupConfig>>;

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroupsFile {
    data_version: DataVersion,
    /// Bits by group and topic, written by mqadmin; kept verbatim.
    forbidden_table: serde_json::Map<String, serde_json::Value>,
    subscription_group_table: BTreeMap<String, GroupConfig>,
}

/// Settings of all groups; read without a lock, changed durably before the change shows.
pub(crate) struct GroupTable {
    groups: ArcSwap<Groups>,
    change: Mutex<(DataVersion, serde_json::Map<String, serde_json::Value>)>,
    disk: Arc<dyn Disk>,
    file: PathBuf,
    clock: Clock,
    auto_create: bool,
    groups_max: usize,
}

impl GroupTable {
    pub(crate) fn open(disk: Arc<dyn Disk>, options: &BrokerOptions) -> io::Result<Self> {
        let file = options.data.join("config").join("subscriptionGroup.json");
        let found: GroupsFile = read_json(&*disk, &file)?.unwrap_or_default();
        let groups = found.subscription_group_table.into_iter().map(|(name, group)| (name, Arc::new(group))).collect();
        Ok(GroupTable {
            groups: ArcSwap::from_pointee(groups),
            change: Mutex::new((found.data_version, found.forbidden_table)),
            disk,
            file,
            clock: options.clock.clone(),
            auto_create: options.auto_create_groups,
            groups_max: options.groups_max,
        })
    }

    pub(crate) fn get(&self, group: &str) -> Option<Arc<GroupConfig>> {
        self.groups.load().get(group).cloned()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.groups.load().len()
    }

    /// The group, made with defaults when it is unknown and that is allowed. Blocks on the disk when it makes one.
    pub(crate) fn get_or_create(&self, group: &str) -> Result<Arc<GroupConfig>, Refusal> {
        if let Some(known) = self.get(group) {
            return Ok(known);
        }
        name::check_group(group)?;
        // System groups exist from the start in RocketMQ, whatever the setting.
        if !self.auto_create && !group.starts_with(name::SYSTEM_GROUP_PREFIX) {
            return Err(Refusal::no_group(group));
        }
        let mut change = self.change.lock();
        if let Some(known) = self.get(group) {
            return Ok(known);
        }
        self.put(&mut change, GroupConfig::new(group))?;
        self.get(group).ok_or_else(|| Refusal::no_group(group))
    }

    pub(crate) fn update(&self, config: GroupConfig) -> Result<(), Refusal> {
        name::check_group(&config.group_name)?;
        self.put(&mut self.change.lock(), config)
    }

    /// `false` when it was unknown.
    pub(crate) fn delete(&self, group: &str) -> Result<bool, Refusal> {
        let mut change = self.change.lock();
        let mut groups = Groups::clone(&self.groups.load_full());
        if groups.remove(group).is_none() {
            return Ok(false);
        }
        self.publish(&mut change, groups)?;
        Ok(true)
    }

    pub(crate) fn export(&self) -> (DataVersion, BTreeMap<String, GroupConfig>) {
        let change = self.change.lock();
        let table = self.groups.load().iter().map(|(name, group)| (name.clone(), GroupConfig::clone(group))).collect();
        (change.0.clone(), table)
    }

    fn put(
        &self,
        change: &mut (DataVersion, serde_json::Map<String, serde_json::Value>),
        config: GroupConfig,
    ) -> Result<(), Refusal> {
        let mut groups = Groups::clone(&self.groups.load_full());
        if !groups.contains_key(&config.group_name) && groups.len() >= self.groups_max {
            let remark = format!("the broker holds {} groups, its limit (groups_max)", groups.len());
            return Err(Refusal::new(response::SYSTEM_ERROR, remark));
        }
        groups.insert(config.group_name.clone(), Arc::new(config));
        self.publish(change, groups)
    }

    fn publish(
        &self,
        change: &mut (DataVersion, serde_json::Map<String, serde_json::Value>),
        groups: Groups,
    ) -> Result<(), Refusal> {
        let mut version = change.0.clone();
        version.bump(self.clock.now_ms());
        let file = GroupsFile {
            data_version: version.clone(),
            forbidden_table: change.1.clone(),
            subscription_group_table: groups
                .iter()
                .map(|(name, group)| (name.clone(), GroupConfig::clone(group)))
                .collect(),
        };
        write_json(&*self.disk, &self.file, &file).map_err(|error| {
            let remark = format!("the group could not be saved, nothing was changed: {error}");
            Refusal::new(response::SYSTEM_ERROR, remark)
        })?;
        change.0 = version;
        self.groups.store(Arc::new(groups));
        Ok(())
    }
}
