//! How much memory this process may have.

use std::sync::OnceLock;

/// Bytes that this process may use: the machine's, or those of the control group (of Linux, both versions) that it runs in if they are fewer.
/// `u64::MAX` where the system does not say.
pub fn limit() -> u64 {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let groups = read("/proc/self/cgroup");
        let limits = group_files(&groups).map(|file| bytes(&read(&file)));
        limits
            .chain([machine(&read("/proc/meminfo"))])
            .min()
            .unwrap_or(u64::MAX)
    })
}

/// What `/proc/meminfo` says the machine has.
fn machine(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = total.and_then(|total| total.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.map_or(u64::MAX, |kibibytes| kibibytes.saturating_mul(1024))
}

/// The files with the limits of the groups in `/proc/self/cgroup`, and of the groups that these are in. Inside a container the path may be one of
/// outside; then only the root's file is there, and it has the container's limit.
fn group_files(groups: &str) -> impl Iterator<Item = String> + '_ {
    let found = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        if controllers.is_empty() {
            return Some(("/sys/fs/cgroup", "memory.max", path));
        }
        let memory = controllers.split(',').any(|controller| controller == "memory");
        memory.then_some(("/sys/fs/cgroup/memory", "memory.limit_in_bytes", path))
    });
    found.flat_map(|(root, file, path)| {
        let all = std::iter::successors(Some(path.trim_end_matches('/')), |path| {
            Some(path.rsplit_once('/')?.0)
        });
        all.map(move |path| format!("{root}{path}/{file}"))
    })
}

/// The limit in such a file; `max` and a file that is not there are none.
fn bytes(limit: &str) -> u64 {
    limit.trim().parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_in_both_versions_of_control_groups() {
        let groups = "12:cpu,cpuacct:/a\n4:memory:/box/one\n0::/user.slice\n";
        let files: Vec<String> = group_files(groups).collect();
        let expected = [
            "/sys/fs/cgroup/memory/box/one/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/box/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/user.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(files, expected);
        assert_eq!(
            group_files("0::/\nnonsense\n").collect::<Vec<_>>(),
            ["/sys/fs/cgroup/memory.max"]
        );
        assert_eq!(
            ["67108864\n", "max\n", ""].map(bytes),
            [64 << 20, u64::MAX, u64::MAX]
        );
        assert_eq!(
            machine("MemTotal:       24690496 kB\nMemFree: 1 kB\n"),
            24_690_496 << 10
        );
        assert_eq!(machine("MemFree: 1 kB\n"), u64::MAX);
        assert!(limit() > 1 << 20);
    }
}
