//! RabbitMQ: nodes die and restart, an operator closes what he should not, leaders move.

use std::time::Duration;

use spectrum_webhook_testkit::services::Rabbit;

use super::{Struck, place};
use crate::plan::{Kind, Strike};
use crate::stage::Stage;

/// Its nodes.
pub(crate) const NODES: usize = 3;

/// Every channel of a node is told of an acknowledgement that its client never sent, and closes: the connections stay.
const CLOSE_CHANNELS: &str =
    "[rabbit_channel:do(C, {'basic.ack', 4611686018427387904, false}) || C <- rabbit_channel:list_local()], ok.";

/// Each quorum queue is led by another member, as far as the node asked leads it.
const MOVE_LEADERS: &str = "[begin N = amqqueue:get_name(Q), \
     [To | _] = [M || M <- rabbit_amqqueue:get_quorum_nodes(Q), M =/= node()], \
     catch rabbit_quorum_queue:transfer_leadership(Q, To), N end || \
     Q <- rabbit_amqqueue:list(), {_, L} <- [amqqueue:get_pid(Q)], L =:= node()], ok.";

pub(super) async fn strike(stage: &Stage, strike: Strike, lasts: Duration) -> Struck {
    let (rabbit, node) = (&stage.rabbit, place(strike.pick, NODES));
    match strike.kind {
        Kind::KillBrokerNode => {
            rabbit.kill(node).await;
            tokio::time::sleep(lasts).await;
            rabbit.start_node(node).await;
            together(rabbit);
            Struck::at(format!("node {node}"))
        }
        Kind::RestartBroker => {
            // The last one that stopped has to be the first to start: the others wait for it.
            for node in 0..NODES {
                rabbit.stop(node).await;
            }
            tokio::time::sleep(lasts).await;
            tokio::join!(rabbit.start_node(2), rabbit.start_node(1), rabbit.start_node(0));
            together(rabbit);
            Struck::at("all nodes")
        }
        Kind::CloseChannels => operate(stage, node, &["eval", CLOSE_CHANNELS]),
        Kind::MoveLeaders => operate(stage, node, &["eval", MOVE_LEADERS]),
        _ => operate(stage, node, &["close_all_connections", "closed by an operator"]),
    }
}

fn together(rabbit: &Rabbit) {
    tokio::task::block_in_place(|| rabbit.wait_for_nodes(NODES));
}

fn operate(stage: &Stage, node: usize, words: &[&str]) -> Struck {
    if let Err(said) = tokio::task::block_in_place(|| stage.rabbit.try_ctl(node, words)) {
        stage.trouble(format!("rabbitmqctl {words:?} on node {node}: {said}"));
    }
    Struck::at(format!("node {node}"))
}
