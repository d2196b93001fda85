//! What people meet first: what they read, what they type, and the clients that they bring.

// What the pages show works as it is shown, and what they name and link to is there.
mod docs;
// What the set-up says while somebody waits for it.
mod setup;
// `landfall dev` needs nothing and shows what lands.
mod dev;
// The page for people says what is, to everybody, and takes no text for markup.
mod page;
// The page of a gateway at work: a fleet, an outage, a drain, a token, too many who look.
mod page_live;
// What `landfall explain` says of a message is what becomes of it.
mod explain;
// What `landfall parse try` shows of a payload, proposes for one, and says of one that fails.
mod parse_try;
// `landfall parse status | retry | skip` show what stands in a running role, and have it decided.
mod parse_operate;
// Clients that are not ours publish, and clients that are not ours read.
mod clients;
// What `/api/v1/live` shows of a gateway that works, to as many as may look.
mod live;
// `device-sim run` on a terminal shows what its ledger says, takes faults by key, and gives the terminal back.
mod simulator;
// What the benchmark counts has landed.
mod bench;
