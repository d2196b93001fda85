//! What the system knows of a process: its CPU time, its memory and its descriptors.

use std::collections::BTreeMap;
use std::path::PathBuf;

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

/// CPU seconds that the process's threads of that name have used, to the nanosecond.
pub fn thread_cpu_seconds(id: u32, name: &str) -> f64 {
    let threads = threads_cpu_seconds(id);
    *threads.get(name).unwrap_or_else(|| panic!("{id} has no thread {name}"))
}

/// CPU seconds of the threads that a process has now, to the nanosecond; those of one name together.
pub fn threads_cpu_seconds(id: u32) -> BTreeMap<String, f64> {
    let tasks = format!("/proc/{id}/task");
    let tasks = std::fs::read_dir(&tasks)
        .unwrap_or_else(|error| panic!("{tasks} cannot be read, has the process ended? {error}"));
    let mut threads = BTreeMap::new();
    for task in tasks.filter_map(Result::ok) {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file));
        // A thread may end meanwhile.
        let (Ok(name), Ok(told)) = (read("comm"), read("schedstat")) else { continue };
        let nanoseconds = told.split(' ').next().and_then(|one| one.parse::<f64>().ok());
        let seconds = nanoseconds.expect("the first number of schedstat") / 1e9;
        *threads.entry(name.trim_end().to_owned()).or_default() += seconds;
    }
    threads
}

/// The nice values of the process's threads of that name.
pub fn nice_values(id: u32, name: &str) -> Vec<i32> {
    let nice = folders(id, name).into_iter().map(|thread| {
        let stat = std::fs::read_to_string(thread.join("stat")).expect("Linux tells it");
        // The 19th field, of which two stand before the end of the name (proc_pid_stat(5)).
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let nice = fields.split_whitespace().nth(16).and_then(|nice| nice.parse().ok());
        nice.unwrap_or_else(|| panic!("no nice value: {stat}"))
    });
    nice.collect()
}

/// The folders of the process's threads of that name, of which there is one at least.
fn folders(id: u32, name: &str) -> Vec<PathBuf> {
    let tasks = format!("/proc/{id}/task");
    let tasks = std::fs::read_dir(&tasks)
        .unwrap_or_else(|error| panic!("{tasks} cannot be read, has the process ended? {error}"));
    let is_named = |task: &PathBuf| {
        let comm = std::fs::read_to_string(task.join("comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    };
    let paths = tasks.filter_map(Result::ok).map(|task| task.path());
    let named: Vec<PathBuf> = paths.filter(is_named).collect();
    assert!(!named.is_empty(), "{id} has no thread {name}");
    named
}

/// Seconds that all cores together had since the machine started: without work, and in all.
pub fn machine_seconds() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/stat").expect("Linux tells it");
    let line = stat.lines().next().unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice (proc_stat(5)).
    let fields = line.split_whitespace().skip(1).take(8);
    let ticks: Vec<f64> = fields.map(|field| field.parse().expect("a number of ticks")).collect();
    assert_eq!(ticks.len(), 8, "/proc/stat does not have the fields it should have: {line}");
    ((ticks[3] + ticks[4]) / TICKS, ticks.iter().sum::<f64>() / TICKS)
}

/// Resident bytes of a process now.
#[track_caller]
pub fn resident_bytes(id: u32) -> u64 {
    running(id, resident_bytes_if_running(id))
}

/// The same of a process that may end at any moment.
pub fn resident_bytes_if_running(id: u32) -> Option<u64> {
    status_bytes(id, "VmRSS:")
}

/// The most resident bytes that a process ever had.
#[track_caller]
pub fn peak_resident_bytes(id: u32) -> u64 {
    running(id, status_bytes(id, "VmHWM:"))
}

/// Descriptors that a process has open now.
#[track_caller]
pub fn descriptors(id: u32) -> usize {
    running(id, descriptors_if_running(id))
}

/// The same of a process that may end at any moment.
pub fn descriptors_if_running(id: u32) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{id}/fd")).ok()?.count())
}

#[track_caller]
fn running<T>(id: u32, told: Option<T>) -> T {
    told.unwrap_or_else(|| panic!("nothing is known of process {id}: has it ended?"))
}

/// None for a process that has ended, also when nobody has waited for it yet.
fn status_bytes(id: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
