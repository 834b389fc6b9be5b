//! Options of ps(1) that `containers:top` takes.
//!
//! The engine runs ps on the host with the client's options and shows the rows of the container's processes. Some
//! options show environments (`e` without a dash), and columns with other names make the engine show rows of
//! other processes. Where options conflict, ps may read them all again as if there were no dash. So there is a
//! list of those that do none of it, each by itself.

/// Words with a dash: all processes, in more or less detail. Each is valid by itself.
const WITH_DASH: &[&str] = &[
    "-e", "-ef", "-eF", "-el", "-ely", "-elf", "-ej", "-eLf", "-efw", "-efww", "-A", "-Af", "-AF", "-Al",
    "-f", "-F",
];
/// Letters that may stand without a dash, as in `aux`. `e` would show environments.
const WITHOUT_DASH: &str = "auxwfljv";
/// Words before columns.
const BEFORE_COLUMNS: &[&str] = &["-o", "-eo", "-Ao"];

/// Columns that `-o` takes.
#[rustfmt::skip]
const COLUMNS: &[&str] = &[
    "pid", "ppid", "pgid", "pgrp", "sid", "sess", "tid", "lwp", "nlwp", "thcount", "psr",
    "user", "uid", "euser", "euid", "ruser", "ruid", "group", "gid", "egroup", "egid", "rgroup", "rgid",
    "comm", "ucmd", "args", "cmd", "command",
    "s", "stat", "state", "tty", "tt", "tname", "wchan", "cls", "pri", "ni", "nice", "c",
    "time", "cputime", "etime", "etimes", "start", "stime", "start_time", "lstart", "bsdstart", "bsdtime",
    "%cpu", "pcpu", "%mem", "pmem", "rss", "rssize", "vsz", "vsize", "size", "sz",
];

/// The options in one spelling; `None` if they are not in the list.
pub fn accept(value: &str) -> Option<String> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    match words[..] {
        [word] if WITH_DASH.contains(&word) || is_bsd(word) => Some(word.to_owned()),
        [word] => {
            let (option, columns) = word.split_at_checked(word.find('o')? + 1)?;
            with_columns(option, columns)
        }
        [option, columns] => with_columns(option, columns),
        _ => None,
    }
}

fn is_bsd(word: &str) -> bool {
    word.chars().all(|letter| WITHOUT_DASH.contains(letter))
}

fn with_columns(option: &str, columns: &str) -> Option<String> {
    let known = columns.split(',').all(|column| COLUMNS.contains(&column));
    (BEFORE_COLUMNS.contains(&option) && known).then(|| format!("{option} {columns}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_show_a_container_s_processes_are_taken() {
        for good in ["-ef", "aux", "-e", "-A", "-efww", "auxww", "-eo pid,ppid,user,args", "-o pid,comm"] {
            assert_eq!(accept(good).as_deref(), Some(good));
        }
        assert_eq!(accept("-opid,%cpu").as_deref(), Some("-o pid,%cpu"));
        assert_eq!(accept("  -eo   pid,cmd ").as_deref(), Some("-eo pid,cmd"));
    }

    #[test]
    fn options_that_show_more_are_not() {
        for bad in [
            "e",
            "eww",
            "auxe",
            "auxewww",
            "-ef e",
            "-o pid=x",
            "-eo pid=PID,environ",
            "-o pid,environ",
            "o pid",
            "-o",
            "-o pid,,cmd",
            "-p 1",
            "-p1",
            "1",
            "--pid 1",
            "-C sshd",
            "-u root",
            "-eo pid:300",
            "--format pid",
            "-",
            "",
            " ",
            "-o pid -p 1",
            "-aux",
            "-eZ",
            "-O pid",
            "-ef;id",
            "-eo pid,cmd 1",
            "-eLH",
            "-ef -o pid",
            "-eT",
            "-ef aux",
            "a b",
        ] {
            assert_eq!(accept(bad), None, "{bad}");
        }
    }
}
