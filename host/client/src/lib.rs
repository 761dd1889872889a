//! Placeholder until its files land.
