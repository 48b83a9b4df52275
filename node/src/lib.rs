//! The bundled node: a durable ZAB replicated store that speaks the ZooKeeper client protocol.

pub mod protocol;
