//! Plugins of a cluster file, what they are bound to, and the zones of clients.

use std::{collections::BTreeMap, path::PathBuf};

use gantry_balance::{ANY, Decision, Zones};
use gantry_base::access::Networks;
use gantry_model::name;
use gantry_plugin::{BalancerSpec, BindingSpec, OnError, PluginSpec, World};

use super::{cluster::check_label, document::Document, problem::did_you_mean};

pub(super) fn plugins(document: &mut Document) -> Vec<PluginSpec> {
    let mut names = BTreeMap::new();
    let mut plugins = Vec::new();
    for plugin in document.elements("plugin") {
        let at = |key: &str| format!("{plugin}.{key}");
        let name = document.text(&at("name")).to_owned();
        if !name.is_empty() && names.insert(name.clone(), ()).is_some() {
            document.problem_at(&at("name"), format!("two plugins are named {name:?}; a name is given once"));
        }
        // The choice was checked against the table of keys.
        let world = World::named(document.text(&at("world"))).unwrap_or_default();
        let deadline = at("deadline_ms");
        let sha256 = document.text(&at("sha256")).to_owned();
        let shadow = at("shadow_differs_max_percent");
        plugins.push(PluginSpec {
            params: document.params(&at("params")),
            memory_limit_bytes: document.integer(&at("memory_limit_mib")) << 20,
            deadline_ms: match document.is_given(&deadline) {
                true => document.integer(&deadline),
                false => world.default_deadline_ms(),
            },
            on_error: if document.text(&at("on_error")) == "deliver" { OnError::Deliver } else { OnError::Hold },
            sha256: (!sha256.is_empty()).then_some(sha256),
            shadow_differs_max_percent: document.is_given(&shadow).then(|| document.integer(&shadow) as u8),
            ..PluginSpec::of(world, name, absolute(document.path(&at("file"))))
        });
    }
    plugins
}

/// Whoever is told where a plugin's file is, may be in another folder.
fn absolute(file: PathBuf) -> PathBuf {
    std::path::absolute(&file).unwrap_or(file)
}

/// Checks that `path` names a plugin of `world`.
fn check_plugin(document: &mut Document, path: &str, world: &str) {
    let wanted = document.text(path).to_owned();
    let plugins = document.elements("plugin").into_iter();
    let named = plugins.filter(|plugin| document.text(&format!("{plugin}.name")) == wanted);
    let found = named.map(|plugin| document.text(&format!("{plugin}.world")).to_owned()).next();
    let problem = match found {
        _ if !document.is_given(path) => return,
        None => format!("there is no [[plugin]] named {wanted:?}"),
        Some(found) if found != world => format!("the plugin {wanted:?} is a {found}, wanted is a {world}"),
        Some(_) => return,
    };
    document.problem_at(path, problem);
}

/// Checks a name that must be legal, where it is given; `may_be_any`: or [`ANY`].
fn check_name(document: &mut Document, path: &str, may_be_any: bool, check: fn(&str) -> Result<(), name::NameError>) {
    let text = document.text(path);
    let checked = if may_be_any && text == ANY { Ok(()) } else { check(text) };
    if let Err(error) = checked
        && document.is_given(path)
    {
        document.problem_at(path, error.to_string());
    }
}

pub(super) fn filters(document: &mut Document) -> Vec<BindingSpec> {
    let mut bound = BTreeMap::new();
    let mut filters = Vec::new();
    for filter in document.elements("filter") {
        let at = |key: &str| format!("{filter}.{key}");
        let [topic, group, plugin] = ["topic", "group", "plugin"].map(|key| document.text(&at(key)).to_owned());
        check_name(document, &at("topic"), false, name::check_topic);
        check_name(document, &at("group"), false, name::check_group);
        check_plugin(document, &at("plugin"), World::MessageFilter.name());
        if bound.insert((topic.clone(), group.clone()), ()).is_some() {
            document.problem_at(
                &filter,
                format!("group {group:?} has a filter on topic {topic:?} already; one is allowed"),
            );
        }
        let on_error = if document.text(&at("on_error")) == "deliver" { OnError::Deliver } else { OnError::Hold };
        filters.push(BindingSpec { topic, group, plugin, params: document.params(&at("params")), on_error });
    }
    filters
}

pub(super) fn balancers(document: &mut Document) -> Vec<BalancerSpec> {
    let mut bound = BTreeMap::new();
    let mut balancers = Vec::new();
    for balancer in document.elements("balancer") {
        let at = |key: &str| format!("{balancer}.{key}");
        let [topic, group, plugin] = ["topic", "group", "plugin"].map(|key| document.text(&at(key)).to_owned());
        check_name(document, &at("topic"), true, name::check_topic);
        check_name(document, &at("group"), true, name::check_group);
        check_plugin(document, &at("plugin"), World::QueueBalancer.name());
        let decides = decisions(document, &at("decides"));
        let retarget = document.boolean(&at("retarget"));
        if group != ANY && decides.iter().any(|decision| *decision != Decision::Assign) {
            let problem = "only assign is about a group; give what else it decides a [[balancer]] without `group`";
            document.problem_at(&at("group"), problem);
        }
        if retarget && !decides.contains(&Decision::SelectQueue) {
            document.problem_at(&at("retarget"), "messages are moved by select-queue, which this does not decide");
        }
        for decision in &decides {
            if bound.insert((topic.clone(), group.clone(), *decision), ()).is_some() {
                let name = decision.name();
                let problem =
                    format!("another [[balancer]] decides {name} of topic {topic:?} and group {group:?} already");
                document.problem_at(&balancer, problem);
            }
        }
        let (params, decides) = (document.params(&at("params")), decides.into_iter().collect());
        balancers.push(BalancerSpec { topic, group, plugin, params, decides, retarget });
    }
    balancers
}

fn decisions(document: &mut Document, path: &str) -> Vec<Decision> {
    let mut decides = Vec::new();
    for name in document.list(path).to_vec() {
        match Decision::named(&name) {
            Some(decision) if !decides.contains(&decision) => decides.push(decision),
            Some(_) => document.problem_at(path, format!("{name:?} is there twice")),
            None => {
                let advice = did_you_mean(&name, Decision::ALL.map(Decision::name));
                let advice = advice.map_or(String::new(), |meant| format!("; did you mean {meant:?}?"));
                document.problem_at(path, format!("{name:?} is no decision{advice}"));
            }
        }
    }
    if document.is_given(path) && document.list(path).is_empty() {
        document.problem_at(path, "it decides nothing; give at least one of route, select-queue and assign");
    }
    decides
}

pub(super) fn zones(document: &mut Document) -> Zones {
    let mut zones = Vec::new();
    for zone in document.elements("zone") {
        let at = |key: &str| format!("{zone}.{key}");
        check_label(document, &at("name"), "zone");
        match Networks::parse(document.list(&at("networks"))) {
            Ok(networks) => zones.push((document.text(&at("name")).into(), networks)),
            Err(error) => document.problem_at(&at("networks"), error.to_string()),
        }
    }
    Zones::new(zones)
}
