//! The storage on a disk that fails: crashes at every change, lost and reordered sectors, errors, and
//! damage.

#![expect(clippy::unwrap_used, reason = "a test helper may fail loudly")]

mod cost;
mod crash;
mod damage;
mod disk;
mod history;
mod whole;
