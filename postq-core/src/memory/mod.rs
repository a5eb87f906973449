//! The in-memory reference backend.
