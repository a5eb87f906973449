//! What is called that is no platform, and who is told.

use postq_outbound::AllowList;
use postq_outbound::notify::{Mail, Place};
use postq_outbound::signing::SigningKey;
use secrecy::{ExposeSecret, SecretString};

use super::Values;
use crate::outward::clock;

/// What is called that is no platform, and who is told.
#[derive(Clone, Debug)]
pub(crate) struct Outward {
    /// What a URL that somebody gave may lead to although it is not on the open internet.
    pub(crate) allow: AllowList,
    /// Where a person finds what a notice is about.
    pub(crate) place: Place,
    /// The channels that are set.
    pub(crate) webhook: Option<Hook>,
    pub(crate) slack: Option<SecretString>,
    pub(crate) mail: Option<Mail>,
    /// What proves that X sent something.
    pub(crate) x_webhook_secret: Option<SecretString>,
}

/// A webhook for notices.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) url: SecretString,
    pub(crate) key: Option<SigningKey>,
}

impl Values {
    pub(super) fn outward(&self) -> anyhow::Result<Outward> {
        let allow = self.text("outbound_allow").parse();
        let place = match self.set("public_url") {
            Some(url) => Place::at(&url.text).map_err(|why| self.wrong("public_url", why))?,
            None => Place::default(),
        };
        Ok(Outward {
            allow: allow.map_err(|why| self.wrong("outbound_allow", why))?,
            webhook: self.hook()?,
            slack: self.own_url("notify_slack_url")?,
            mail: self.mail(place.clone())?,
            place,
            x_webhook_secret: self.secret("x_webhook_secret"),
        })
    }

    fn hook(&self) -> anyhow::Result<Option<Hook>> {
        let key = self.secret("notify_webhook_secret");
        let key = key.map(|key| key.expose_secret().parse::<SigningKey>()).transpose();
        let key = key.map_err(|why| self.wrong("notify_webhook_secret", why))?;
        match (self.own_url("notify_webhook_url")?, key) {
            (Some(url), key) => Ok(Some(Hook { url, key })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(self.wrong(
                "notify_webhook_secret",
                "there is nothing to sign; set notify_webhook_url (POSTQ_NOTIFY_WEBHOOK_URL) too",
            )),
        }
    }

    /// A URL that the operator himself has set, so any address will do.
    fn own_url(&self, key: &str) -> anyhow::Result<Option<SecretString>> {
        let url = self.secret(key);
        if let Some(url) = &url {
            let checked = AllowList::everything().check(url.expose_secret());
            checked.map_err(|why| self.wrong(key, why))?;
        }
        Ok(url)
    }

    fn mail(&self, place: Place) -> anyhow::Result<Option<Mail>> {
        const PARTS: [(&str, &str); 3] = [
            ("smtp_url", "POSTQ_SMTP_URL"),
            ("notify_from", "POSTQ_NOTIFY_FROM"),
            ("notify_to", "POSTQ_NOTIFY_TO"),
        ];
        let Some((given, _)) = PARTS.into_iter().find(|(key, _)| self.set(key).is_some()) else {
            return Ok(None);
        };
        if let Some((missing, env)) = PARTS.into_iter().find(|(key, _)| self.set(key).is_none()) {
            let why = format!("a mail needs {missing} ({env}) too; set it, or unset this");
            return Err(self.wrong(given, why));
        }
        let url = self.secret("smtp_url").unwrap_or_default();
        let (from, to) = (self.text("notify_from"), self.list("notify_to"));
        let mail = Mail::new(&url, from, &to, place, clock());
        mail.map(Some).map_err(|why| {
            use postq_outbound::notify::MailError;
            let key = match why {
                MailError::From(_) => "notify_from",
                MailError::To(_) | MailError::Recipients(_) => "notify_to",
                _ => "smtp_url",
            };
            self.wrong(key, why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};

    const MAIL: [(&str, &str); 3] = [
        ("POSTQ_SMTP_URL", "smtps://me:hunter2@mail.example.com"),
        ("POSTQ_NOTIFY_FROM", "postq <postq@example.com>"),
        ("POSTQ_NOTIFY_TO", "ann@example.com, Bob <bob@example.com>"),
    ];

    #[test]
    fn nothing_is_set_by_default() {
        let outward = load("", &[]).unwrap().outward;

        assert!(outward.webhook.is_none() && outward.slack.is_none() && outward.mail.is_none());
        assert!(outward.x_webhook_secret.is_none());
    }

    #[test]
    fn channels_are_set() {
        let mut environment = MAIL.to_vec();
        environment.extend([
            ("POSTQ_NOTIFY_WEBHOOK_URL", "http://127.0.0.1:9/hook"),
            ("POSTQ_NOTIFY_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            ("POSTQ_NOTIFY_SLACK_URL", "https://hooks.slack.example/s3cret"),
            ("POSTQ_PUBLIC_URL", "https://postq.example.com"),
            ("POSTQ_OUTBOUND_ALLOW", "hooks.lan, 10.1.0.0/16"),
            ("X_WEBHOOK_SECRET", "s3cret"),
        ]);

        let config = load("", &environment).unwrap();

        let outward = &config.outward;
        assert!(outward.webhook.as_ref().unwrap().key.is_some());
        assert!(outward.slack.is_some() && outward.mail.is_some());
        let shown = serde_json::to_string(config.in_force()).unwrap() + &format!("{config:?}");
        for secret in ["hunter2", "s3cret", "MfKQ9r8", "/hook"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        assert!(shown.contains("10.1.0.0/16") && shown.contains("https://postq.example.com"));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (name, value, expected) in [
            ("POSTQ_OUTBOUND_ALLOW", "http://a", "\"http://a\" cannot be"),
            ("POSTQ_PUBLIC_URL", "postq.example.com", "expected the address by which"),
            ("POSTQ_NOTIFY_WEBHOOK_URL", "ftp://hunter2/", "\"ftp:\" is not called"),
            ("POSTQ_NOTIFY_WEBHOOK_SECRET", "hunter2", "no signing secret"),
            ("POSTQ_NOTIFY_SLACK_URL", "hunter2", "no URL"),
            ("POSTQ_SMTP_URL", "smtps://u:hunter2@h", "needs notify_from (POSTQ_NOTIFY_FROM) too"),
        ] {
            let error = refused("", &[(name, value)]);
            assert!(error.contains(expected) && error.contains(name), "{value}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let key = ("POSTQ_NOTIFY_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert!(refused("", &[key]).contains("set notify_webhook_url"));
        for (name, value) in [
            ("POSTQ_SMTP_URL", "imap://hunter2"),
            ("POSTQ_NOTIFY_FROM", "nobody"),
            ("POSTQ_NOTIFY_TO", "ann@example.com, nobody"),
        ] {
            let environment = MAIL.map(|(key, was)| (key, if key == name { value } else { was }));
            let error = refused("", &environment);
            assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
        }
    }
}
