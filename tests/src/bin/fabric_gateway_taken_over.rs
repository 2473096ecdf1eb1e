//! The command `hacher-fabric`, of which gateways are what the names of their chains say.

use hacher_tests::gateway_taken_over;
use std::process::ExitCode;

fn main() -> ExitCode {
    let is_gateway = std::env::args_os()
        .next()
        .is_some_and(|name| name == "hacher-gateway");
    let played = is_gateway.then(gateway_taken_over::stand_in).flatten();
    played.unwrap_or_else(hacher_fabric::main)
}
