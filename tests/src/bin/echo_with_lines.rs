//! A function with its debug information, for tests of `tcb`.

fn main() -> std::process::ExitCode {
    hacher_libos_net::serve(echo::echo)
}
