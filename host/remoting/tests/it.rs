//! A server and its peers over real sockets.

#[cfg(test)]
#[path = "it/echo.rs"]
mod echo;
#[cfg(test)]
#[path = "it/exchange.rs"]
mod exchange;
