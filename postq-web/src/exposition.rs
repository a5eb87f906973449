//! Writing gauges in Prometheus's text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::Write as _;

use postq_engine::metrics::Metric;

/// A page of gauges.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// Adds a metric with all its values; one without values is left out.
    pub(crate) fn put<L: AsRef<str>>(
        &mut self,
        metric: &Metric,
        values: impl IntoIterator<Item = (Vec<L>, f64)>,
    ) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return;
        }
        let (name, page) = (metric.name, &mut self.0);
        let kind = metric.kind.as_str();
        let sure = "a string takes all that is written to it";
        writeln!(page, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help).expect(sure);
        for (labels, value) in values {
            page.push_str(name);
            for (i, (label, value)) in metric.labels.iter().zip(&labels).enumerate() {
                let before = if i == 0 { '{' } else { ',' };
                write!(page, "{before}{label}=\"{}\"", escaped(value.as_ref())).expect(sure);
            }
            if !labels.is_empty() {
                page.push('}');
            }
            writeln!(page, " {value}").expect(sure);
        }
    }

    /// Adds a metric that has one value and no labels.
    pub(crate) fn put_one(&mut self, metric: &Metric, value: f64) {
        self.put(metric, [(Vec::<&str>::new(), value)]);
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use postq_engine::metrics::MetricKind;

    use super::*;

    #[test]
    fn values_are_written_with_their_labels() {
        let depth = Metric {
            name: "depth",
            kind: MetricKind::Gauge,
            labels: &["topic", "state"],
            help: "how many",
        };
        let mut page = Page::default();

        page.put(&depth, [(vec!["a\"b\\c\nd", "due"], 3.0), (vec!["e", "due"], 0.5)]);
        page.put(&depth, Vec::<(Vec<&str>, f64)>::new());
        page.put_one(&Metric { name: "up", labels: &[], ..depth }, 1.0);

        let expected = "# HELP depth how many\n# TYPE depth gauge\n\
                        depth{topic=\"a\\\"b\\\\c\\nd\",state=\"due\"} 3\n\
                        depth{topic=\"e\",state=\"due\"} 0.5\n\
                        # HELP up how many\n# TYPE up gauge\nup 1\n";
        assert_eq!(page.finish(), expected);
    }
}
