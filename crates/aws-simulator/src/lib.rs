#![doc = include_str!("../README.md")]

pub mod chance;
pub mod clients;
pub mod cloud;
pub mod faults;
pub mod time;
pub mod transcript;
pub mod vectors;
mod wire;
