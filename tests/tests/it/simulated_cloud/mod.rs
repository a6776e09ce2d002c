//! Whole runs on the simulated AWS, in virtual time: enqueuer, queues, mappings and all slots.

mod alarms;
mod cost;
mod pause;
mod places;
mod rings;
