//! Nobody gets in who does not belong, and who is in can only be itself: each way in is tried by those it
//! is for and by those it is not for, against the real gateway.

mod admin;
mod admin_tls;
// The certificates that the others are made with are what they claim to be.
mod pki;
// Simulated devices, and some that do not belong to them.
mod fleet;
// Very many come at once.
mod storm;
// Who comes in over TLS, and what the others are told.
mod tls;

// Who has which certificate: as whom it enters, and for how long.
mod certificate;

// Who has which password, and which client ids are whose.
mod password;

// What it may do.
mod access;

// What is told of it.
mod audit;

// What carries MQTT beside TLS: WebSocket, the PROXY protocol, files in place of ports, and sockets that
// say nothing.
mod proxy_protocol;
mod sockets;
mod websocket;

// Attacks from one network, while devices of another come in.
mod attacks;

// Who has a token, and whom a service knows.
mod token;

// What is read anew meanwhile.
mod reload;
