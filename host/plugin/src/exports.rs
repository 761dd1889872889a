//! What a plugin exports, found once in its code and again in each instance.

use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

use crate::{
    guest::Guest,
    spec::World,
    wit::{
        alert::{AlertHook, AlertHookIndices},
        balancer::{QueueBalancer, QueueBalancerIndices},
        carried::{Carried, CarriedIndices},
        filter::{MessageFilter, MessageFilterIndices},
        metric::{MetricHook, MetricHookIndices},
    },
};

/// Where a component has its world's exports.
pub(crate) struct Places {
    world: WorldPlaces,
    carried: Option<CarriedIndices>,
}

enum WorldPlaces {
    Filter(MessageFilterIndices),
    Balancer(QueueBalancerIndices),
    Metric(MetricHookIndices),
    Alert(AlertHookIndices),
}

/// The exports of one instance.
pub(crate) struct Exports {
    pub(crate) world: WorldExports,
    /// State that it can hand over, if it can.
    pub(crate) carried: Option<Carried>,
}

/// By world.
pub(crate) enum WorldExports {
    Filter(MessageFilter),
    Balancer(QueueBalancer),
    Metric(MetricHook),
    Alert(AlertHook),
}

impl Places {
    pub(crate) fn find(world: World, pre: &InstancePre<Guest>) -> wasmtime::Result<Self> {
        let world = match world {
            World::MessageFilter => WorldPlaces::Filter(MessageFilterIndices::new(pre)?),
            World::QueueBalancer => WorldPlaces::Balancer(QueueBalancerIndices::new(pre)?),
            World::MetricHook => WorldPlaces::Metric(MetricHookIndices::new(pre)?),
            World::AlertHook => WorldPlaces::Alert(AlertHookIndices::new(pre)?),
        };
        // Not an error: the interface is optional.
        Ok(Places { world, carried: CarriedIndices::new(pre).ok() })
    }

    pub(crate) fn load(&self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Exports> {
        let world = match &self.world {
            WorldPlaces::Filter(places) => WorldExports::Filter(places.load(&mut *store, instance)?),
            WorldPlaces::Balancer(places) => WorldExports::Balancer(places.load(&mut *store, instance)?),
            WorldPlaces::Metric(places) => WorldExports::Metric(places.load(&mut *store, instance)?),
            WorldPlaces::Alert(places) => WorldExports::Alert(places.load(&mut *store, instance)?),
        };
        let carried = self.carried.as_ref().map(|places| places.load(&mut *store, instance)).transpose()?;
        Ok(Exports { world, carried })
    }
}
