//! What can pass the 256 KiB that a state may hand on.

use serde_json::Value;

use super::report::Report;
use crate::walk::{Language, State, is_distributed};

/// The largest input, output or set of arguments (Developer Guide, "Step Functions service quotas").
const PAYLOAD_BYTES: usize = 262_144;

/// The results of a distributed Map are one list, which grows with the dataset.
pub(super) fn results_of_a_dataset(state: &State<'_>, report: &mut Report<'_>) {
    let reader = &state.value["ItemReader"];
    let limited =
        ["MaxItems", "MaxItemsPath"].iter().any(|key| reader["ReaderConfig"].get(key).is_some());
    let written = state.value.get("ResultWriter").is_some();
    if !is_distributed(state.value) || reader.is_null() || limited || written {
        return;
    }
    let field = |key: &str| state.value.get(key);
    let dropped = match state.language {
        Language::Jsonata => field("Output").is_some(),
        Language::JsonPath => {
            field("ResultSelector").is_some()
                || field("ResultPath") == Some(&Value::Null)
                || field("OutputPath") == Some(&Value::Null)
        }
    };
    if !dropped {
        let what =
            "the results of a whole dataset become this state's output, which can pass 256 KiB";
        let mend = "add a ResultWriter, or an Output without them";
        report.say("payload-too-large", state, &state.pointer, what, mend);
    }
}

pub(super) fn literal(state: &State<'_>, report: &mut Report<'_>) {
    for key in ["Arguments", "Parameters", "Output", "Result", "ItemSelector", "Items"] {
        let size = state.value[key].to_string().len();
        if size > PAYLOAD_BYTES {
            let what = format!("{key} has {size} bytes, and 262144 is the most");
            let mend = "keep it in S3 and hand on its key";
            report.say("payload-too-large", state, &state.at(key), what, mend);
        }
    }
}
