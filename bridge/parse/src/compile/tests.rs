//! Faults of what is written of a parser: where, and what to write.
