//! The machines of this repository are what their sources say, and without a problem.

use std::path::Path;

use slowlane_asl::directory;

#[test]
fn what_is_checked_in_is_what_the_sources_say() {
    let machines = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../state-machines");
    for directory in [machines.join("examples"), machines] {
        directory::compare(&directory).unwrap_or_else(|error| panic!("{error}"));
    }
}
