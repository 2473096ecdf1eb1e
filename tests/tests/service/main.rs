//! The service as its users and operators meet it: the real programs, started for each test. One executable,
//! since most of these tests wait most of their time, and wait beside each other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

mod adaptor;
mod asking;
mod chains;
mod cloud_events;
mod companions;
mod deaths;
mod drain;
mod evidence;
mod four_kinds;
mod functions;
mod gateway;
mod gateway_taken_over;
mod guests;
mod http;
mod http_2;
mod images;
mod isolation;
mod joined_replies;
mod key_broker;
mod killed;
mod lambda;
mod logs;
mod mapped;
mod metrics;
mod programs;
mod python;
mod replies;
mod requests;
mod said_twice;
mod sealed_requests;
mod session;
mod silent_file_systems;
mod start;
mod start_several;
mod status;
mod streams;
mod taken_over;
mod templates;
mod tenants;
mod tls;
mod together;
mod tracing;
mod verify;
