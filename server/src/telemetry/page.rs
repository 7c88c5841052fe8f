//! The page that Prometheus reads, metric by metric.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::instruments::{Counter, Gauge, Histogram, Per};
use super::labels::Label;

/// Names are given without unit and without `_total`: the encoder adds both.
pub(super) struct Page<'a>(pub DescriptorEncoder<'a>);

impl Page<'_> {
    pub fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }

    pub fn counter(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        let mut family = self.family(name, help, unit.as_ref(), MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.family(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)
    }

    pub fn counters<L: Label>(&mut self, name: &str, help: &str, counters: &Per<L, Counter>) -> fmt::Result {
        self.counters_of((name, help), counters, |_| true)
    }

    pub fn counters_in<L: Label>(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        counters: &Per<L, Counter>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, Some(&unit), MetricType::Counter)?;
        for (label, counter) in counters.iter() {
            let value = counter.value();
            family.encode_family(&label.pairs())?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    pub fn gauges<L: Label>(&mut self, name: &str, help: &str, gauges: &Per<L, Gauge>) -> fmt::Result {
        self.gauges_of((name, help), gauges, |_| true)
    }

    /// Those of the labels that `shown` picks.
    pub fn counters_of<L: Label>(
        &mut self,
        (name, help): (&str, &str),
        counters: &Per<L, Counter>,
        shown: impl Fn(L) -> bool,
    ) -> fmt::Result {
        let mut family = self.family(name, help, None, MetricType::Counter)?;
        for (label, counter) in counters.iter().filter(|(label, _)| shown(*label)) {
            let value = counter.value();
            family.encode_family(&label.pairs())?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    pub fn gauges_of<L: Label>(
        &mut self,
        (name, help): (&str, &str),
        gauges: &Per<L, Gauge>,
        shown: impl Fn(L) -> bool,
    ) -> fmt::Result {
        let mut family = self.family(name, help, None, MetricType::Gauge)?;
        for (label, gauge) in gauges.iter().filter(|(label, _)| shown(*label)) {
            family.encode_family(&label.pairs())?.encode_gauge(&gauge.value())?;
        }
        Ok(())
    }

    pub fn histograms_of<L: Label>(
        &mut self,
        (name, help): (&str, &str),
        unit: Option<Unit>,
        histograms: &Per<L, Histogram>,
        shown: impl Fn(L) -> bool,
    ) -> fmt::Result {
        let divisor = if unit.is_some() { 1e9 } else { 1.0 };
        let mut family = self.family(name, help, unit.as_ref(), MetricType::Histogram)?;
        for (label, histogram) in histograms.iter().filter(|(label, _)| shown(*label)) {
            let (sum, count, buckets) = histogram.read(divisor);
            let labels = label.pairs();
            let mut one = family.encode_family(&labels)?;
            one.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    /// Durations are kept in nanoseconds, and shown in seconds.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        histogram: &Histogram,
    ) -> fmt::Result {
        let (sum, count, buckets) = histogram.read(if unit.is_some() { 1e9 } else { 1.0 });
        let mut family = self.family(name, help, unit.as_ref(), MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// OpenMetrics' text form in Prometheus's older one: a counter is described by its whole name, and units and
/// the mark of the end are comments that mean nothing.
pub(super) fn older_form(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        let type_follows = lines.peek().is_some_and(|next| next.ends_with(" counter"));
        match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
            ["#", "UNIT", ..] | ["#", "EOF"] => continue,
            ["#", "HELP", name, help] if type_follows => {
                text.push_str(&format!("# HELP {name}_total {help}"));
            }
            ["#", "TYPE", name, "counter"] => text.push_str(&format!("# TYPE {name}_total counter")),
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_form_names_counters_as_their_samples() {
        let openmetrics = "# HELP a_bytes Words, words.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total 1\n\
                           # HELP b A counter.\n# TYPE b gauge\nb{c=\"# EOF\"} 2\n# EOF\n";
        let older = "# HELP a_bytes_total Words, words.\n# TYPE a_bytes_total counter\na_bytes_total 1\n\
                     # HELP b A counter.\n# TYPE b gauge\nb{c=\"# EOF\"} 2\n";
        assert_eq!(older_form(openmetrics), older);
    }
}
