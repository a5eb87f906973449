//! The keys: one that seals credentials, from the configuration or from a file beside the database, and
//! those that still open.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use postq_core::account::Account;
use postq_core::vault::{ChaChaVault, KeyRing, Sealed, Vault};
use postq_core::webhook::Endpoint;
use postq_engine::media::LinkKey;
use secrecy::SecretString;

use crate::config::{Config, Kept};

/// The name of the key file in the data folder.
pub(crate) const FILE: &str = "key";

/// Longer than any key: 64 hex digits and a line break.
const MOST_BYTES: u64 = 1_024;

/// What the vault opens: the credentials of accounts, and the secrets of webhooks.
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) accounts: Vec<Account>,
    pub(crate) webhooks: Vec<Endpoint>,
}

impl Secrets {
    fn credentials(&self) -> impl Iterator<Item = (&str, &Sealed)> {
        self.accounts.iter().filter_map(|a| Some((a.name.as_str(), a.credentials.as_ref()?)))
    }

    /// Whether there is something to show to a platform.
    pub(crate) fn has_credentials(&self) -> bool {
        self.credentials().next().is_some()
    }

    /// How many are sealed with keys that only open, and with which.
    pub(crate) fn sealed_with_old(&self, ring: &KeyRing) -> (usize, BTreeSet<String>) {
        let webhooks = self.webhooks.iter().flat_map(|webhook| {
            std::iter::once(&webhook.secret).chain(webhook.retiring.as_ref().map(|old| &old.secret))
        });
        let all = self.credentials().map(|(_, sealed)| sealed).chain(webhooks);
        let old = all.filter(|sealed| ring.old_key_ids().any(|old| old == sealed.key_id));
        let keys: Vec<String> = old.map(|sealed| sealed.key_id.clone()).collect();
        (keys.len(), keys.into_iter().collect())
    }

    /// Whose are sealed with keys that are none of these, for a person; none if there are none.
    fn owners(&self, known: &[ChaChaVault]) -> Option<String> {
        let is_lost = |sealed: &Sealed| known.iter().all(|key| key.key_id() != sealed.key_id);
        let lost = self.credentials().filter(|(_, sealed)| is_lost(sealed));
        let accounts: Vec<&str> = lost.map(|(name, _)| name).collect();
        let lost = self.webhooks.iter().filter(|webhook| is_lost(&webhook.secret));
        let webhooks: Vec<String> = lost.map(|w| w.id.to_string()).collect();
        let all = [
            (!accounts.is_empty()).then(|| format!("the credentials of {}", accounts.join(", "))),
            (!webhooks.is_empty())
                .then(|| format!("the secrets of webhook {}", webhooks.join(", "))),
        ];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(" and "))
    }
}

/// The vault in force. Makes the key file on first use, but not while something is sealed with a key
/// that is gone.
pub(crate) fn vault(config: &Config, secrets: &Secrets) -> anyhow::Result<KeyRing> {
    let (sealing, old) = keys(config, secrets)?;
    let ring = KeyRing::new(Arc::new(sealing));
    Ok(old.into_iter().fold(ring, |ring, old| ring.opening(Arc::new(old))))
}

/// What signs links to media, made of the keys in force: every node with these keys knows them.
pub(crate) fn link_keys(config: &Config, secrets: &Secrets) -> anyhow::Result<Vec<LinkKey>> {
    let (sealing, old) = keys(config, secrets)?;
    let all = std::iter::once(&sealing).chain(&old);
    Ok(all.map(|key| key.derived(b"postq signs media links.")).collect())
}

/// The key that seals, and those that open as well.
fn keys(config: &Config, secrets: &Secrets) -> anyhow::Result<(ChaChaVault, Vec<ChaChaVault>)> {
    let mut old = Vec::new();
    for (n, text) in config.encryption_keys_old.iter().enumerate() {
        let key = ChaChaVault::from_text(text);
        old.push(key.with_context(|| format!("POSTQ_ENCRYPTION_KEYS_OLD, number {}", n + 1))?);
    }
    Ok((sealing(config, secrets, &old)?, old))
}

/// The key that seals.
fn sealing(config: &Config, secrets: &Secrets, old: &[ChaChaVault]) -> anyhow::Result<ChaChaVault> {
    if let Some(text) = &config.encryption_key {
        return ChaChaVault::from_text(text).context("POSTQ_ENCRYPTION_KEY");
    }
    if matches!(config.kept, Kept::OnServers(_)) {
        bail!(
            "POSTQ_ENCRYPTION_KEY is not set: nodes that share Postgres share the key that seals \
             credentials; make one with `openssl rand -hex 32` and give it to every node"
        );
    }
    let path = config.data_dir.join(FILE);
    let text = match read(&path)? {
        Some(text) => text,
        None => {
            if let Some(owners) = secrets.owners(old) {
                bail!(
                    "the key file \"{}\" is gone, and {owners} are sealed with it; restore it, or \
                     set POSTQ_ENCRYPTION_KEY",
                    path.display()
                );
            }
            make(&path)?
        }
    };
    ChaChaVault::from_text(&text).with_context(|| format!("the key file \"{}\"", path.display()))
}

/// Fails if no key in force opens something.
pub(crate) fn ensure_fits(ring: &KeyRing, secrets: &Secrets) -> anyhow::Result<()> {
    let (mut keys, old) = (format!("the key in force is {}", ring.key_id()), ring.old_key_ids());
    let old: Vec<&str> = old.collect();
    if !old.is_empty() {
        keys = format!("{keys}, and {} still open", old.join(", "));
    }
    let others = |sealed: &mut dyn Iterator<Item = (String, &Sealed)>| {
        let others = sealed.filter(|(_, sealed)| !ring.has(&sealed.key_id));
        let others: Vec<String> =
            others.map(|(name, sealed)| format!("{name} (key {})", sealed.key_id)).collect();
        (!others.is_empty()).then(|| others.join(", "))
    };
    let accounts = others(&mut secrets.credentials().map(|(name, by)| (name.to_owned(), by)));
    if let Some(accounts) = accounts {
        bail!(
            "{keys}, but these accounts are sealed with another one: {accounts}; add that key to \
             POSTQ_ENCRYPTION_KEYS_OLD, or connect them again: postqd account add PLATFORM --name \
             NAME --access-token-stdin"
        )
    }
    let webhooks = others(&mut secrets.webhooks.iter().map(|w| (w.id.to_string(), &w.secret)));
    if let Some(webhooks) = webhooks {
        bail!(
            "{keys}, but the secrets of these webhooks are sealed with another one: {webhooks}; add \
             that key to POSTQ_ENCRYPTION_KEYS_OLD, or give them new ones: postqd webhook rotate ID"
        )
    }
    Ok(())
}

/// The key in the file; none if there is no file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<SecretString>> {
    let named = || format!("read the key file \"{}\"", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(named),
    };
    let mode = file.metadata().with_context(named)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!(
            "the key file \"{0}\" can be read by others (mode {mode:o}); chmod 600 \"{0}\"",
            path.display()
        );
    }
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).with_context(named)?;
    Ok(Some(text.into()))
}

fn make(path: &Path) -> anyhow::Result<SecretString> {
    let bytes: [u8; 32] = rand::random();
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // Written under another name and linked, so that nobody ever sees half a key, and of two
    // processes that start at once one wins and both use its key.
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let written = write(&draft, &text).and_then(|()| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    let named = || format!("make the key file \"{}\"", path.display());
    match written {
        Ok(()) => removed.with_context(named).map(|()| text.into()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read(path)?.with_context(|| format!("the key file \"{}\" is gone", path.display()))
        }
        Err(error) => Err(error).with_context(named),
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);

        let first = ChaChaVault::from_text(&make(&path).unwrap()).unwrap();
        let second = ChaChaVault::from_text(&make(&path).unwrap()).unwrap();

        assert_eq!(first.key_id(), second.key_id(), "who comes second uses the first one's key");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        make(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();

        let error = read(&path).unwrap_err().to_string();

        assert!(error.contains("mode 644") && error.contains("chmod 600"), "{error}");
    }
}
