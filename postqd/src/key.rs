//! The key that seals credentials: from the configuration, or from a file beside the database.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use postq_core::account::Account;
use postq_core::vault::ChaChaVault;
use secrecy::SecretString;

use crate::config::{Config, Kept};

/// The name of the key file in the data folder.
pub(crate) const FILE: &str = "key";

/// Longer than any key: 64 hex digits and a line break.
const MOST_BYTES: u64 = 1_024;

/// The vault in force. Makes the key file on first use, but not while something is sealed with a key
/// that is gone.
pub(crate) fn vault(config: &Config, accounts: &[Account]) -> anyhow::Result<ChaChaVault> {
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
            let sealed = accounts.iter().filter(|account| account.credentials.is_some());
            let names: Vec<&str> = sealed.map(|account| account.name.as_str()).collect();
            if !names.is_empty() {
                bail!(
                    "the key file \"{}\" is gone, and the credentials of {} are sealed with it; \
                     restore it, or set POSTQ_ENCRYPTION_KEY",
                    path.display(),
                    names.join(", ")
                );
            }
            make(&path)?
        }
    };
    ChaChaVault::from_text(&text).with_context(|| format!("the key file \"{}\"", path.display()))
}

/// Which accounts the vault cannot open: they were sealed with another key.
pub(crate) fn ensure_fits(vault: &ChaChaVault, accounts: &[Account]) -> anyhow::Result<()> {
    let sealed = accounts.iter().filter_map(|a| Some((a, a.credentials.as_ref()?)));
    let others: Vec<String> = sealed
        .filter(|(_, sealed)| sealed.key_id != vault.key_id())
        .map(|(account, sealed)| format!("{} (key {})", account.name, sealed.key_id))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    bail!(
        "the key in force is {}, but these accounts are sealed with another one: {}; set \
         POSTQ_ENCRYPTION_KEY to that key, or connect them again: postqd account add PLATFORM \
         --name NAME --access-token-stdin",
        vault.key_id(),
        others.join(", ")
    )
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
