//! Clusters of real processes over loopback, driven through their public faces only: the command
//! line, the client protocol, the four-letter words and the trace.

mod client;
mod configured;
mod disk;
mod ensemble;
mod golden;
mod pressure;
mod process;
mod recovery;
mod serving;
mod size;
