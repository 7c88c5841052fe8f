//! The page obeys the rules that `promtool check metrics` and the OpenMetrics text format have.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::metrics::Metrics;
use crate::storage::{Operation, Plugin, Pooled, Watch};

/// A family of the page: its type, unit, help, and samples as (name, labels, value).
#[derive(Default)]
struct Family {
    kind: String,
    unit: Option<String>,
    help: String,
    samples: Vec<(String, String, f64)>,
}

/// Reads the page and checks its form: each family in one piece, described before its samples, `# EOF` at the
/// end.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let body = text.strip_suffix("# EOF\n").expect("it ends with its mark");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let [keyword, name, value] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            if keyword == "HELP" {
                assert!(!families.contains_key(name), "{name} is described twice");
                current = name.to_owned();
            }
            assert_eq!(name, current, "{line}");
            let family = families.entry(name.to_owned()).or_default();
            match keyword {
                "HELP" => family.help = value.to_owned(),
                "TYPE" => family.kind = value.to_owned(),
                "UNIT" => family.unit = Some(value.to_owned()),
                _ => panic!("{line}"),
            }
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            assert!(name.starts_with(&current), "{line} is not of {current}");
            let sample = (name.to_owned(), labels.trim_end_matches('}').to_owned(), value.parse().unwrap());
            families.get_mut(&current).unwrap().samples.push(sample);
        }
    }
    families
}

fn page() -> BTreeMap<String, Family> {
    let metrics = Arc::new(Metrics::default());
    metrics.set_certificates([("/tls.crt".to_owned(), 1_800_000_000)]);
    metrics.committed(7, std::time::Duration::from_millis(3));
    metrics.committed(9_000, std::time::Duration::from_secs(30));
    for operation in [Operation::PostgresRead, Operation::PostgresSave, Operation::RedisLook] {
        metrics.operated(operation, std::time::Duration::from_micros(300), operation != Operation::RedisLook);
    }
    metrics.batched(Plugin::Postgres, 30);
    metrics.pooled(Plugin::Postgres, Pooled::InUse, 3);
    families(&metrics.exposition())
}

#[test]
fn names_follow_the_conventions() {
    let name_char = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
    for (name, family) in page() {
        assert!(name.starts_with("meerkat_") || name.starts_with("process_"), "{name}");
        assert!(name.chars().all(name_char) && !name.contains("__"), "{name}");
        assert!(family.help.ends_with('.') && family.help.len() > 10, "{name}: {}", family.help);
        assert!(!family.samples.is_empty(), "{name}");
        // OpenMetrics: the unit is the end of the name. promtool: base units only, and `_total` for counters
        // alone.
        if let Some(unit) = &family.unit {
            assert!(name.ends_with(&format!("_{unit}")), "{name}");
            assert!(["seconds", "bytes"].contains(&unit.as_str()), "{name}");
        }
        let odd_units = ["_ms", "_milliseconds", "_microseconds", "_minutes", "_kilobytes", "_kb"];
        assert!(!odd_units.iter().any(|unit| name.ends_with(unit)), "{name}");
        assert!(!name.ends_with("_total") && !name.ends_with("_count") && !name.ends_with("_sum"), "{name}");
    }
}

#[test]
fn samples_have_the_names_of_their_type_and_no_series_comes_twice() {
    let mut seen = HashSet::new();
    for (name, family) in page() {
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_sum", "_count", "_bucket"],
            kind => panic!("{name} is a {kind}"),
        };
        for (sample, labels, value) in family.samples {
            let suffix = sample.strip_prefix(&name).unwrap();
            assert!(suffixes.contains(&suffix), "{sample} of {name}");
            assert!(value.is_finite() && value >= 0.0, "{sample} {value}");
            assert!(seen.insert((sample.clone(), labels.clone())), "{sample}{{{labels}}} comes twice");
        }
    }
    assert!(seen.len() > 150, "{}", seen.len());
}

#[test]
fn histograms_are_cumulative_and_end_with_everything() {
    let mut histograms = 0;
    for (name, family) in page().into_iter().filter(|(_, family)| family.kind == "histogram") {
        // Buckets and sums of one histogram have the same labels, but for the bound.
        let mut buckets: HashMap<String, Vec<(f64, f64)>> = HashMap::new();
        let mut single: HashMap<(String, String), f64> = HashMap::new();
        for (sample, labels, value) in family.samples {
            let (bound, rest): (Vec<&str>, Vec<&str>) = labels
                .split(',')
                .filter(|label| !label.is_empty())
                .partition(|label| label.starts_with("le="));
            match bound[..] {
                [bound] => {
                    let bound = bound.trim_start_matches("le=").trim_matches('"').parse().unwrap();
                    buckets.entry(rest.join(",")).or_default().push((bound, value));
                }
                _ => {
                    single.insert((sample.trim_start_matches(&name).to_owned(), rest.join(",")), value);
                }
            }
        }
        for (labels, buckets) in buckets {
            histograms += 1;
            let single = |what: &str| single.get(&(what.to_owned(), labels.clone())).copied();
            assert!(buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1), "{name}");
            assert_eq!(
                buckets.last().copied(),
                single("_count").map(|count| (f64::INFINITY, count)),
                "{name}"
            );
            assert!(single("_sum").is_some(), "{name}");
        }
    }
    // Four of the server, and one for each operation and plugin of the two that told.
    assert_eq!(histograms, 4 + (4 + 7) + 2);
}

#[test]
fn the_process_tells_of_itself() {
    let page = page();
    for name in [
        "process_cpu_seconds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        assert!(page[name].samples[0].2 > 0.0 || name == "process_cpu_seconds", "{name}");
    }
}
