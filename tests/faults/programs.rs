//! The built programs that a cell starts.

use std::path::{Path, PathBuf};

use clap::Args;

/// Where they are; whoever starts several cells builds them once.
#[derive(Args, Clone)]
pub struct Programs {
    /// The gateway, as its users have it
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
    /// The gateway with faults that can be asked for
    #[arg(long, value_name = "FILE")]
    with_faults: Option<PathBuf>,
}

impl Programs {
    /// Another gateway.
    pub fn with_gateway(path: PathBuf) -> Programs {
        Programs { gateway: Some(path), with_faults: None }
    }

    /// Those that are named, and for the others those of the tree as it is now.
    pub fn built(self) -> Programs {
        let gateway = self.gateway.unwrap_or_else(tests::tools::without_faults);
        let with_faults = self.with_faults.unwrap_or_else(|| tests::tools::program("landfall"));
        // It is started from another folder.
        let whole = |path: PathBuf| {
            let whole = path.canonicalize();
            whole.unwrap_or_else(|error| panic!("there is no program {}: {error}", path.display()))
        };
        Programs { gateway: Some(whole(gateway)), with_faults: Some(whole(with_faults)) }
    }

    pub fn gateway(&self, with_faults: bool) -> &Path {
        let path = if with_faults { &self.with_faults } else { &self.gateway };
        path.as_deref().expect("they are built")
    }

    /// As arguments of a cell.
    pub fn arguments(&self) -> [&Path; 4] {
        let [gateway, with_faults] = [self.gateway(false), self.gateway(true)];
        [Path::new("--gateway"), gateway, Path::new("--with-faults"), with_faults]
    }
}
