//! Asking a version about one message outside of any pull: nothing is counted, nobody is blamed.

use gantry_model::{message::MessageView, properties};

use crate::{guest::Judged, run::Verdict, slot::Fault, version::Version};

/// Its verdict for one message of the filter `id`, by the tags and columns of its plan.
pub(crate) fn judge(version: &Version, id: u32, message: &MessageView<'_>) -> Result<Verdict, Fault> {
    let Some(plan) = version.plan(id) else { return Ok(Verdict::Undecided) };
    if plan.tags.as_ref().is_some_and(|tags| !tags.admits(message.property(properties::TAGS))) {
        return Ok(Verdict::Skip);
    }
    let bytes = version.slot().with(|slot| {
        slot.clear(&plan.extractor);
        slot.push(&plan.extractor, message);
        let judged = Judged { messages: std::slice::from_ref(message), picked: &[0] };
        slot.evaluate(version.runtime(), version.wiring.deadline, id, &plan.extractor, judged)
    })?;
    Ok(match bytes.first() {
        Some(0) => Verdict::Skip,
        Some(1) => Verdict::Deliver,
        _ => Verdict::Undecided,
    })
}
