//! A long run of everything at once, for as long as one likes: see `hacher_tests::soak`.

use hacher_tests::soak::Soak;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "usage: soak [--minutes N | --seconds N] [--seed N]";

fn main() -> ExitCode {
    let Some(soak) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match soak.run() {
        Ok(report) => {
            println!("{report}");
            if report.is_good() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Soak> {
    let mut soak = Soak {
        length: Duration::from_secs(60),
        seed: fastrand::u64(..1 << 40),
    };
    while let Some(flag) = arguments.next() {
        let number: u64 = arguments.next()?.parse().ok()?;
        match flag.as_str() {
            "--minutes" => soak.length = Duration::from_secs(number.checked_mul(60)?),
            "--seconds" => soak.length = Duration::from_secs(number),
            "--seed" => soak.seed = number,
            _ => return None,
        }
    }
    Some(soak)
}
