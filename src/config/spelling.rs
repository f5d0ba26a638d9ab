//! What an unknown key may have been meant to be.

use super::keys::KEYS;

/// The known spelling nearest to an unknown one.
pub fn nearest(unknown: &str) -> &'static str {
    KEYS.iter()
        .flat_map(|key| [Some(key.name), key.alias])
        .flatten()
        .min_by_key(|known| distance(unknown, known))
        .unwrap_or_default()
}

/// Levenshtein's distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
