//! Clients and receivers that mean harm: memory and time stay bounded, and whoever behaves is served all the while.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `wire` | raw requests, and their answers |
//! | `bystander` | who behaves: posts through all of it, and gets everything |
//! | `clients` | slow ones, crowds, endless heads, pipelines |
//! | `http2` | the same by HTTP/2 |
//! | `smuggling` | one request that could be two |
//! | `receivers`, `manners` | endpoints that answer with whatever is no answer |

mod bystander;
mod clients;
mod http2;
mod manners;
mod receivers;

mod smuggling;
mod wire;
