//! Whole runs on the simulated AWS, in virtual time: enqueuer, queues, mappings and all slots.

mod pause;
mod rings;
