//! Map states: fields in their places.

use serde_json::Map;

use super::report::Report;
use crate::source::child;
use crate::walk::{State, is_distributed, processor};

/// Fields of a Map state in either mode.
const OF_MAP: &[&str] =
    &["MaxConcurrency", "MaxConcurrencyPath", "ItemSelector", "Items", "ItemsPath"];

/// Fields of a Map state in the distributed mode.
const OF_DISTRIBUTED: &[&str] = &[
    "ItemReader",
    "ItemBatcher",
    "ResultWriter",
    "Label",
    "ToleratedFailurePercentage",
    "ToleratedFailurePercentagePath",
    "ToleratedFailureCount",
    "ToleratedFailureCountPath",
];

pub(super) fn places(state: &State<'_>, report: &mut Report<'_>) {
    let fields = |names: &'static [&'static str]| {
        names.iter().filter(|name| state.value.get(**name).is_some())
    };
    if !state.is("Map") {
        for field in fields(OF_MAP).chain(fields(OF_DISTRIBUTED)) {
            let kind = state.value["Type"].as_str().unwrap_or_default();
            let what = format!("{field} is a field of a Map, and this is a {kind}");
            report.say(
                "map-field-misplaced",
                state,
                &state.at(field),
                what,
                "move it to a Map state",
            );
        }
        return;
    }
    for field in fields(OF_DISTRIBUTED).filter(|_| !is_distributed(state.value)) {
        let what = format!("{field} is for a distributed Map, and this one is inline");
        let mend = "write \"ProcessorConfig\": {\"Mode\": \"DISTRIBUTED\", \"ExecutionType\": \
                    \"STANDARD\"} in ItemProcessor";
        report.say("map-not-distributed", state, &state.at(field), what, mend);
    }
    // What belongs beside ItemProcessor and stands within it.
    if let Some((key, processor)) = processor(state.value) {
        for field in
            OF_MAP.iter().chain(OF_DISTRIBUTED).filter(|name| processor.get(**name).is_some())
        {
            let what = format!("{field} stands in {key}, where it is not read");
            let pointer = child(&state.at(key), field);
            report.say(
                "map-field-misplaced",
                state,
                &pointer,
                what,
                "move it to the Map state itself",
            );
        }
    }
}

pub(super) fn processor_config(state: &State<'_>, report: &mut Report<'_>) {
    let Some((key, processor)) = processor(state.value) else { return };
    let config = &processor["ProcessorConfig"];
    let pointer = child(&state.at(key), "ProcessorConfig");
    for field in config.as_object().into_iter().flat_map(Map::keys) {
        if !["Mode", "ExecutionType"].contains(&field.as_str()) {
            let what =
                format!("{field} stands in ProcessorConfig, which has Mode and ExecutionType only");
            let mend = "move it to the Map state itself";
            let pointer = child(&pointer, field);
            report.say("map-field-in-processor-config", state, &pointer, what, mend);
        }
    }
    if is_distributed(state.value) && config.get("ExecutionType").is_none() {
        let what = "a distributed Map must say how its children run";
        let mend = "add \"ExecutionType\": \"STANDARD\" (or \"EXPRESS\") to ProcessorConfig";
        report.say("execution-type-missing", state, &pointer, what, mend);
    }
}

/// Express executions have neither callbacks nor jobs (Developer Guide, "Choosing workflow type").
pub(super) fn express_children(state: &State<'_>, report: &mut Report<'_>) {
    let waits = [".waitForTaskToken", ".sync", ".sync:2"];
    if state.express && state.is("Task") && waits.iter().any(|end| state.resource().ends_with(end))
    {
        let what = "it waits, and it runs in an Express execution, which cannot";
        let mend = "write \"ExecutionType\": \"STANDARD\" in the ProcessorConfig around it";
        report.say("express-waits", state, &state.at("Resource"), what, mend);
    }
}
