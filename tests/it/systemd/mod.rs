//! Promise: it is a good service. It takes the sockets that systemd opened for it, keeps its clients over a
//! restart, and says what it does.

mod passed_sockets;
mod real;
mod units;
