//! What calls cost, and how much may be spent.

use postq_engine::prices::{Prices, Stops, read_amount};

use super::Values;

impl Values {
    pub(super) fn prices(&self) -> anyhow::Result<Prices> {
        let prices = Prices::parse(self.text("prices")).map_err(|why| self.wrong("prices", why))?;
        let stops = match self.text("budget_stops") {
            "reading" => Stops::Reading,
            "everything" => Stops::Everything,
            other => {
                let why = format!("\"{other}\" cannot be; expected reading or everything");
                return Err(self.wrong("budget_stops", why));
            }
        };
        let Some(budget) = self.set("budget") else { return Ok(prices) };
        if prices.is_empty() {
            let why = "there is nothing to spend it on; set prices (POSTQ_PRICES) too";
            return Err(self.wrong("budget", why));
        }
        let budget = read_amount(&budget.text).map_err(|why| self.wrong("budget", why))?;
        Ok(prices.with_budget(budget, stops))
    }
}

#[cfg(test)]
mod tests {
    use postq_engine::prices::Stops;

    use super::super::tests::{load, refused};

    const PRICES: (&str, &str) = ("POSTQ_PRICES", "x:publish=0.015,currency=EUR");

    #[test]
    fn nothing_has_a_price_by_default() {
        let prices = load("", &[]).unwrap().prices;

        assert!(prices.is_empty() && prices.budget().is_none());
    }

    #[test]
    fn a_list_and_a_budget_are_set() {
        let file = "budget = \"20\"\nbudget_stops = \"everything\"";
        let prices = load(file, &[PRICES]).unwrap().prices;

        assert_eq!((prices.budget(), prices.stops()), (Some(20_000_000), Stops::Everything));
        assert_eq!(prices.show(15_000), "0.015 EUR");
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (environment, expected) in [
            (vec![("POSTQ_PRICES", "x=1")], "POSTQ_PRICES (environment): \"x=1\" cannot be"),
            (vec![("POSTQ_BUDGET", "20")], "POSTQ_BUDGET (environment): there is nothing to spend"),
            (vec![PRICES, ("POSTQ_BUDGET", "much")], "\"much\" is no amount"),
            (vec![("POSTQ_BUDGET_STOPS", "all")], "expected reading or everything"),
        ] {
            let error = refused("", &environment);
            assert!(error.contains(expected), "{error}");
        }
    }
}
