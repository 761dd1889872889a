//! The client against a scripted server that is name server and broker at once.

#[cfg(test)]
#[path = "it/admin.rs"]
mod admin;
#[cfg(test)]
#[path = "it/consume.rs"]
mod consume;
#[cfg(test)]
#[path = "it/fake.rs"]
mod fake;
#[cfg(test)]
#[path = "it/pull.rs"]
mod pull;
#[cfg(test)]
#[path = "it/registration.rs"]
mod registration;
#[cfg(test)]
#[path = "it/send.rs"]
mod send;
