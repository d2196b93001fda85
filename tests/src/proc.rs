//! What the system knows of a process: its CPU time and its memory.

/// Ticks of `/proc/PID/stat` in a second: Linux fixes it for what programs see.
const TICKS: f64 = 100.0;

/// CPU seconds that a process has used, in user and system mode together.
pub fn cpu_seconds(id: u32) -> Result<f64, String> {
    let path = format!("/proc/{id}/stat");
    let stat = std::fs::read_to_string(&path)
        .map_err(|error| format!("{path} cannot be read, has the process ended? {error}"))?;
    // The name in parentheses may hold blanks; the fields behind it are fixed (proc_pid_stat(5)).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    match (ticks(12), ticks(13)) {
        (Some(user), Some(system)) => Ok((user + system) / TICKS),
        _ => Err(format!("{path} does not have the fields it should have: {stat}")),
    }
}

/// CPU seconds that the process's thread of that name has used, to the nanosecond.
pub fn thread_cpu_seconds(id: u32, name: &str) -> f64 {
    let tasks = format!("/proc/{id}/task");
    let of_name = std::fs::read_dir(&tasks)
        .unwrap_or_else(|error| panic!("{tasks} cannot be read, has the process ended? {error}"))
        .filter_map(Result::ok)
        .find(|task| {
            let comm = std::fs::read_to_string(task.path().join("comm"));
            comm.is_ok_and(|comm| comm.trim_end() == name)
        });
    let task = of_name.unwrap_or_else(|| panic!("{id} has no thread {name}"));
    let told = std::fs::read_to_string(task.path().join("schedstat")).expect("Linux tells it");
    let nanoseconds = told.split(' ').next().and_then(|one| one.parse::<f64>().ok());
    nanoseconds.expect("the first number of schedstat") / 1e9
}

/// Resident bytes of a process now.
pub fn resident_bytes(id: u32) -> u64 {
    status_bytes(id, "VmRSS:")
}

/// The most resident bytes that a process ever had.
pub fn peak_resident_bytes(id: u32) -> u64 {
    status_bytes(id, "VmHWM:")
}

fn status_bytes(id: u32, name: &str) -> u64 {
    let path = format!("/proc/{id}/status");
    let status = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{path} cannot be read, has the process ended? {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_else(|| panic!("{path} has no {name}")) * 1024
}
