//! What is PostgreSQL's alone: the schema, several servers on one database, and a database that fails.

mod copy;
mod faults;
mod leases;
mod owned;
mod parts;
mod plans;
mod schema;
mod sentences;
mod stage;
mod together;
mod verify;
