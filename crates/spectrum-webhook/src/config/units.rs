//! How the text of a setting becomes its value, and what is said when it does not.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

/// Longer ones are mistakes, and would overflow where they are added up.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A time with its unit, more than nothing.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let said = "a duration with its unit, like `200ms`, `30s`, `10m` or `72h`";
    let duration = humantime::parse_duration(text).map_err(|_| format!("expected {said}"))?;
    if duration < Duration::from_millis(1) || duration > LONGEST {
        return Err("expected a duration from 1 ms to 366 days".to_owned());
    }
    Ok(duration)
}

/// A time with its unit, or `0s`.
pub(crate) fn duration_or_none(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { duration(text).map_err(|why| format!("{why}, or `0s` for none")) }
}

/// A size with its unit, in bytes, more than nothing.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let said = || "expected a size with its unit, like `512B`, `64KiB`, `1MiB` or `1GiB`".to_owned();
    let digits = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(said)?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(said()),
    };
    let number: usize = number.parse().map_err(|_| said())?;
    number.checked_mul(factor).filter(|size| *size > 0).ok_or_else(|| "expected a size above 0".to_owned())
}

/// A whole number in a range.
pub(crate) fn number(low: u32, high: u32) -> impl Fn(&str) -> Result<u32, String> {
    move |text| {
        let number = text.parse().ok().filter(|number| (low..=high).contains(number));
        number.ok_or_else(|| format!("expected a whole number from {low} to {high}"))
    }
}

/// How much each wait grows.
pub(crate) fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor: &f64| (1.0..=1_000.0).contains(factor));
    factor.ok_or_else(|| "expected a number from 1 to 1000".to_owned())
}

/// Exactly `true` or `false`.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "expected `true` or `false`".to_owned())
}

/// An address to listen on.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, like `127.0.0.1:8080` or `[::1]:8080`".to_owned())
}

/// CIDRs, separated by commas.
pub(crate) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    text.split(',')
        .map(|network| {
            let network = network.trim();
            network.parse().map_err(|_| format!("expected CIDRs like `10.0.0.0/8,fd00::/8`; `{network}` is none"))
        })
        .collect()
}
