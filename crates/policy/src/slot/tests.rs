//! The slot in every order of events up to a bound, mutants of it that this finds, and what it
//! does step by step.

mod checks;
mod exhaustive;
mod mutants;
mod steps;
mod world;
