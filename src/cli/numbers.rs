//! Numbers on the command line.

/// Whether it is a whole number from 1 to `most`.
pub fn is_whole(number: f64, most: f64) -> bool {
    number.fract() == 0.0 && (1.0..=most).contains(&number)
}

/// The number that is written, if it is one that is accepted; otherwise what is expected.
pub fn number(text: &str, expected: &str, accepts: impl Fn(f64) -> bool) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| accepts(*number));
    number.ok_or_else(|| format!("expected {expected}"))
}
