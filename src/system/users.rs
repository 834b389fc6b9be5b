//! Users and groups by name, from /etc/passwd and /etc/group: a static binary has no other directory.
//!
//! Both files are read once, when the configuration is first read: in the sandbox they cannot be, and a
//! reload may name users again.

use std::sync::LazyLock;

static PASSWD: LazyLock<String> = LazyLock::new(|| read("/etc/passwd"));
static GROUP: LazyLock<String> = LazyLock::new(|| read("/etc/group"));

/// To setresuid(2), "leave it as it is"; never an id.
pub const INVALID_ID: u32 = u32::MAX;

/// A user's entry in passwd(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// The number of its own group.
    pub gid: u32,
}

/// The user of this name or number. A number without an entry is its own group's number too; a name of
/// digits is a number.
pub fn find_user(text: &str) -> Option<User> {
    find_in_passwd(text, &PASSWD)
}

/// The number of the group of this name or number.
pub fn find_group(text: &str) -> Option<u32> {
    find_in_group(text, &GROUP)
}

/// Reads both files, for names that are looked up later.
pub fn read_names() {
    LazyLock::force(&PASSWD);
    LazyLock::force(&GROUP);
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

fn find_in_passwd(text: &str, passwd: &str) -> Option<User> {
    let number: Option<u32> = text.parse().ok();
    let entry = passwd.lines().filter_map(entry).find(|(name, user)| match number {
        Some(number) => user.uid == number,
        None => *name == text,
    });
    match (entry, number) {
        (Some((_, user)), _) => Some(user),
        (None, Some(uid)) if uid != INVALID_ID => Some(User { uid, gid: uid }),
        (None, _) => None,
    }
}

fn entry(line: &str) -> Option<(&str, User)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some((name, User { uid, gid }))
}

fn find_in_group(text: &str, groups: &str) -> Option<u32> {
    if let Ok(gid) = text.parse() {
        return Some(gid).filter(|gid| *gid != INVALID_ID);
    }
    let line = groups.lines().find(|line| line.split(':').next() == Some(text))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                          broken line\n\
                          toor:x:0:7::/:\n\
                          nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n\
                          1000:x:77:78::/:\n";
    const GROUP: &str = "root:x:0:\nbroken\ndocker:x:999:alice,bob\n";

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let user = |uid, gid| Some(User { uid, gid });
        assert_eq!(find_in_passwd("nobody", PASSWD), user(65534, 65533));
        assert_eq!(find_in_passwd("65534", PASSWD), user(65534, 65533));
        assert_eq!(find_in_passwd("4711", PASSWD), user(4711, 4711));
        assert_eq!(find_in_passwd("1000", PASSWD), user(1000, 1000), "a name of digits is a number");
        for wrong in ["", "stranger", "-1", "4294967295", "4294967296"] {
            assert_eq!(find_in_passwd(wrong, PASSWD), None, "{wrong}");
        }
    }

    #[test]
    fn a_group_is_found_by_name_and_by_number() {
        assert_eq!(find_in_group("docker", GROUP), Some(999));
        assert_eq!(find_in_group("12", GROUP), Some(12));
        for wrong in ["", "strangers", "broken", "-1", "4294967295"] {
            assert_eq!(find_in_group(wrong, GROUP), None, "{wrong}");
        }
    }
}
