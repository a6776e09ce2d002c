//! One real worker on the simulated AWS, in virtual time. A [`rig`] delivers its messages by hand, so
//! that a test says what happens and when.

mod deletes;
mod hard_world;
mod outage;
mod rig;
mod traps;
mod truthful_names;
mod urgent;
