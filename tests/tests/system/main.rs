//! Whole-system tests: the real program as a process, over real sockets and on a real disk, against receivers with
//! their own memory and their own verifier.
//!
//! | scenario | what it shows |
//! | --- | --- |
//! | [`api`] | calls made up by the API's description: no 5xx, and no answer that it does not have |
//! | [`contract`] | the wire contract, from the management API to the receiver |
//! | [`backup`] | a backup of a running deployment, restored after everything was lost |
//! | [`bad_input`] | what is refused, what passes to the byte, clients that misbehave |
//! | [`order`] | first arrivals in order, through failures and outages |
//! | [`hostile`] | clients and receivers that mean harm harm nobody |
//! | [`isolation`] | no URL waits for another |
//! | [`dashboard`] | the dashboard in a real browser: what people do there, and what hostile content does not |
//! | [`durability`] | `kill -9` at any moment loses and swaps nothing |
//! | [`secrets`] | none is in the clear in what the program writes or answers |
//! | [`see`] | where events stand, how webhooks are, the delivery log |
//! | [`logs`] | an event's life in the log, what a line may be, and that nobody else writes one |
//! | [`shutdown`] | SIGTERM neither loses nor repeats |
//! | [`folders`] | data folders that are read-only, full, or in use |
//! | [`cluster`] | several processes over RabbitMQ, Redis and PostgreSQL, through every single fault |
//! | [`keys`] | the key in the data folder is exchanged beside a running server |
//! | [`manual`] | the commands of the operators' manual, as they stand there |
//! | [`moving`] | a deployment carried into a cluster, and into other partitions, through kills |
//! | [`steer`] | what people do about deliveries: dead letters sent again, lanes steered, test events |
//! | [`traces`] | one trace from a post to each attempt, and a collector that fails |
//! | [`watching`] | metrics, alerts and the Grafana dashboard as they are documented |
//! | [`ops`] | metrics that add up, health, the commands beside a running server |
//!
//! `world` is what they share.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the test runner captures it, and shows it when a test fails")]

mod api;
mod backup;
mod bad_input;
mod cluster;
mod contract;
mod dashboard;
mod durability;
mod folders;
mod hostile;
mod isolation;
mod keys;
mod logs;
mod manual;
mod moving;
mod ops;
mod order;
mod secrets;
mod see;
mod shutdown;
mod steer;
mod traces;
mod watching;
mod world;
