//! What the fuzz targets stand on: a tree in memory, a home on disk, a canary beside it.
//!
//! Invariant: a target fails by a panic alone, so that libFuzzer keeps the input that caused it.

#![cfg(fuzzing)]

pub mod canary;
pub mod home;
pub mod memory;
pub mod player;
pub mod protocols;
