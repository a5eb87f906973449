//! What only the inside can tell: which plans the server makes for our statements, what a repeated
//! piece of work does, and how many transactions settling takes.

mod plans;
mod repeats;
mod settling;
