//! Whom a server runs as: not root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The first of these users that is there runs servers for root.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A user of the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Whom to run a server as; none for ourselves, who are no root.
    ///
    /// # Panics
    ///
    /// If we are root and there is no unprivileged user.
    pub(crate) fn unprivileged() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let users = std::fs::read_to_string("/etc/passwd").expect("the list of users");
        let found = UNPRIVILEGED.iter().find_map(|name| find(&users, name));
        Some(found.unwrap_or_else(|| panic!("servers need one of these users: {UNPRIVILEGED:?}")))
    }

    /// Makes a command run as this user.
    pub(crate) fn runs(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives this user a folder.
    pub(crate) fn owns(self, folder: &Path) {
        std::os::unix::fs::chown(folder, Some(self.uid), Some(self.gid))
            .unwrap_or_else(|error| panic!("give \"{}\" away: {error}", folder.display()));
    }
}

/// Finds a line `name:x:uid:gid:...`.
fn find(users: &str, name: &str) -> Option<User> {
    let mut fields = users
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    fields.next()?;
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(User { uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104:PostgreSQL:/var:/bin/sh\n";

        let user = find(users, "postgres").expect("it is there");

        assert_eq!((user.uid, user.gid), (101, 104));
        assert!(find(users, "post").is_none());
    }
}
