//! The bundled node as a program of its own.

fn main() {}
