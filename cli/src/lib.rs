//! What tools show of jobs, shared by those that show it.
//!
//! | file | concept |
//! |---|---|
//! | `processes.rs` | processes of jobs: asked for, put in rows and columns, explained |
//! | `top.rs` | `mostop`: the same again and again |
//! | `top/look.rs` | one look at jobs and nodes, and what it tells together with the last |
//! | `top/state.rs` | what is selected, and what keys do |
//! | `top/screen.rs` | what the terminal shows |
#![forbid(unsafe_code)]

pub mod processes;
pub mod top;
