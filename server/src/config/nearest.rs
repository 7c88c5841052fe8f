//! What somebody may have meant who wrote a key or a word that does not exist.

use strsim::jaro_winkler;

/// The known key that is nearest to an unknown one. A like name in the same section goes before a like name
/// elsewhere.
pub(super) fn nearest_key<'a>(unknown: &str, known: &'a [String]) -> &'a str {
    let (section, name) = split(unknown);
    let score = |candidate: &&String| {
        let (candidate_section, candidate_name) = split(candidate);
        jaro_winkler(name, candidate_name) + 0.2 * jaro_winkler(section, candidate_section)
    };
    known.iter().max_by(|one, other| score(one).total_cmp(&score(other))).map_or("", String::as_str)
}

/// The word that is nearest to an unknown one, upper and lower case being alike.
pub(super) fn nearest_word<'a>(unknown: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let unknown = unknown.to_ascii_lowercase();
    let score = |word: &&str| jaro_winkler(&unknown, &word.to_ascii_lowercase());
    words.max_by(|one, other| score(one).total_cmp(&score(other)))
}

fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}
