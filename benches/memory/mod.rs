//! How much memory there is, and how much this process takes, as the system tells (Linux).

/// A line of what the system tells of this process' memory (Linux): `VmRSS:` now, `VmHWM:` the most so far.
pub fn resident_bytes(line: &str) -> Option<u64> {
    kibibytes("/proc/self/status", line)
}

/// A figure of a file of the system that counts in kibibytes.
pub fn kibibytes(file: &str, line: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|one| one.strip_prefix(line))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
