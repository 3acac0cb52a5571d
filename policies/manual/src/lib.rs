//! The rollback policy `manual`: it never goes back by itself, and every version is fit.
//!
//! Going back, and stopping, is left to an operator. With it a version comes in as fast as its plan allows: stages and bake last as long
//! as the plan says, and what happens meanwhile is nobody's question but a person's.

use caxton_policy::{Judgement, Reload, RollbackPolicy};
use schemars::JsonSchema;
use serde::Deserialize;

/// There are none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

/// The policy.
pub struct Manual;

impl RollbackPolicy for Manual {
    const NAME: &'static str = "manual";
    const ABOUT: &'static str =
        "Never goes back by itself and always finds a version fit: an operator decides.";
    type Settings = Settings;
    type State = ();

    fn evaluate(_settings: &Settings, _reload: &Reload<'_>, _state: &mut ()) -> Judgement {
        Judgement::proceed("manual", "going back is left to an operator")
    }
}

caxton_policy::rollback_policy!(Manual);

#[cfg(test)]
mod tests {
    use super::*;
    use caxton_policy::{Context, Problems, ReloadMetrics, Verdict, settings, testing, windows};

    #[test]
    fn whatever_happens_it_goes_on() {
        let (context, metrics) = (Context::default(), ReloadMetrics::default());
        let burning = [testing::window(0, (100, 100), (0, 100))];
        assert_eq!(windows::candidate(&burning).failures, 100);
        for windows in [&burning[..], &[]] {
            let reload = Reload {
                context: &context,
                metrics: &metrics,
                windows,
            };
            let judgement = Manual::evaluate(&Settings {}, &reload, &mut ());
            assert_eq!(judgement.verdict, Verdict::Proceed);
            assert_eq!(judgement.why.code, "manual");
        }
    }

    #[test]
    fn any_setting_is_refused() {
        let check: fn(&Settings, &mut Problems) = Manual::check;
        settings::check(" { } ", check).unwrap();
        for text in ["", "[]", r#"{"speed": 1}"#] {
            assert_eq!(settings::check(text, check).unwrap_err().len(), 1, "{text}");
        }
    }
}
