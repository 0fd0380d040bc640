//! Connecting, over real sockets of this machine.
