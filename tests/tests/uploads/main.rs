//! Uploads over real HTTP (XEP-0363 sections 6 to 9; behaviours 119 and 142): what is refused, and how what is
//! served is served.

mod bounds;
mod client;
mod get;
mod nodes;
mod put;
mod s3;
mod s3_direct;
mod s3_faults;
mod stage;
mod tls;
