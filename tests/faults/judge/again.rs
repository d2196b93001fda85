//! `faults judge`: judges a case once more, from the files that a cell left, for whoever looks for the fault or
//! changes the judge.

use std::path::PathBuf;

use super::{Case, Evidence, Object, Verdict};
use crate::books::Books;
use crate::landed::Lines;

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// The fleet's books
    #[arg(long)]
    pub books: PathBuf,
    /// The lines of the reader of Kafka, `landed.out`
    #[arg(long)]
    pub landed: PathBuf,
    /// What else the cell knew; nothing without it
    #[arg(long)]
    pub evidence: Option<PathBuf>,
    /// The folder that the S3 server keeps its buckets in; without it references cannot be read
    #[arg(long)]
    pub buckets: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<Verdict, String> {
    let books = Books::read(&options.books)?;
    let lines = Lines::read(&options.landed)?;
    let evidence = options.evidence.as_deref().map(Evidence::read).transpose()?.unwrap_or_default();
    let open = |uri: &str| match &options.buckets {
        Some(buckets) => Object::of_uri(buckets, uri),
        None => Err("no --buckets are given".to_owned()),
    };
    Ok(Case::of(&books, &lines, &open).verdict(&evidence))
}
