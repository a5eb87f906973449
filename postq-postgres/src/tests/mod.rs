//! What only the inside can tell: which plans the server makes for our statements.

mod plans;
