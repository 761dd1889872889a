//! A server and its peers over real sockets.

#[cfg(test)]
#[path = "it/drain.rs"]
mod drain;
#[cfg(test)]
#[path = "it/echo.rs"]
mod echo;
#[cfg(test)]
#[path = "it/exchange.rs"]
mod exchange;
#[cfg(test)]
#[path = "it/hostile.rs"]
mod hostile;
#[cfg(test)]
#[path = "it/push.rs"]
mod push;
