//! Two masters of one cluster file, as the members of a group and an operator see them.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use gantry_client::{Client, ClientError, Consumer, ConsumerOptions, Options};
use gantry_model::{
    subscription::Subscription,
    topic::{Perm, TopicConfig},
};
use gantry_protocol::{
    body::assignment::{Assignment, QueryAssignment, RequestMode, RequestModeConfig},
    code::request::{ADD_WRITE_PERM_OF_BROKER, WIPE_WRITE_PERM_OF_BROKER},
};

use crate::process::{Node, PATIENCE};

const QUEUES: usize = 4;

/// A file like `conf/2m-noslave.toml`, for this machine; where its name servers listen.
fn cluster(folder: &Path) -> (PathBuf, Vec<String>) {
    // Both are held until both are chosen, so that they differ.
    let free = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = free.map(|listener| listener.local_addr().unwrap().port());
    let node = |(name, broker, zone, port): (&str, &str, &str, u16)| {
        format!(
            "[node.{name}]\nhost = '127.0.0.1'\ndata = '{name}'\nhttp_port = 0\nzone = '{zone}'\n\
             labels = {{ disk = 'nvme' }}\nnameserver = {{ port = {port} }}\n\
             brokers = [{{ name = '{broker}', port = 0 }}]\n"
        )
    };
    let nodes = [("one", "broker-a", "az1", ports[0]), ("two", "broker-b", "az2", ports[1])].map(node);
    let file = folder.join("cluster.toml");
    fs::write(&file, nodes.concat()).unwrap();
    (file, ports.map(|port| format!("127.0.0.1:{port}")).into())
}

/// Looks again until `look` finds something.
async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A client of one of the name servers.
fn client(name_server: &str, client_id: &str) -> Client {
    // A route is never old: what a test changes is seen at once.
    let options = Options { client_id: client_id.to_owned(), route_age_max: Duration::ZERO, ..Options::default() };
    Client::new(vec![name_server.to_owned()], options)
}

/// Addresses of both masters, once a name server knows them.
async fn masters(client: &Client) -> Vec<String> {
    let both = async || client.masters(None).await.ok().filter(|masters| masters.len() == 2);
    eventually("two masters", both).await.into_iter().map(|(_, address)| address).collect()
}

async fn assigned(client: &Client, broker: &str, member: &str) -> Result<Option<Vec<Assignment>>, ClientError> {
    let query = QueryAssignment {
        client_id: member.to_owned(),
        consumer_group: "group".to_owned(),
        topic: "shared".to_owned(),
        strategy_name: "AVG".to_owned(),
        ..QueryAssignment::default()
    };
    Ok(client.query_assignment(broker, &query).await?.message_queue_assignments)
}

/// Waits until both brokers say that the member has so many queues; these, of which both must say the same.
async fn share(client: &Client, brokers: &[String], member: &str, queues: usize) -> Vec<(String, i32, RequestMode)> {
    let what = format!("{queues} queues of {member}");
    let found = eventually(&what, async || {
        let mut shares = Vec::new();
        for broker in brokers {
            let share = assigned(client, broker, member).await.unwrap()?;
            let queues = share.into_iter().map(|of| (of.message_queue.broker_name, of.message_queue.queue_id, of.mode));
            shares.push(queues.collect::<Vec<_>>());
        }
        let same = shares.windows(2).all(|pair| pair[0] == pair[1]);
        shares.pop().filter(|share| same && share.len() == queues)
    });
    found.await
}

fn pulled(broker: &str, queues: &[i32]) -> Vec<(String, i32, RequestMode)> {
    queues.iter().map(|queue| (broker.to_owned(), *queue, RequestMode::Pull)).collect()
}

#[test]
fn any_broker_answers_and_an_operator_takes_one_out() {
    let folder = tempfile::tempdir().unwrap();
    let (file, name_servers) = cluster(folder.path());
    let (one, two) = (Node::of_cluster(&file, "one"), Node::of_cluster(&file, "two"));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let [first, second] = [0, 1].map(|at| client(&name_servers[at], &format!("10.{at}.0.1@7")));
        let brokers = masters(&first).await;
        masters(&second).await;
        for broker in &brokers {
            first.put_topic(broker, &TopicConfig::new("shared", QUEUES as u32, Perm::READ_WRITE)).await.unwrap();
        }
        for client in [&first, &second] {
            let everywhere =
                async || client.subscribe_queues("shared").await.ok().filter(|found| found.len() == 2 * QUEUES);
            eventually("the topic on both brokers", everywhere).await;
            let info = client.cluster_info().await.unwrap().broker_addr_table;
            let zones = ["broker-a", "broker-b"].map(|broker| info[broker].zone_name.as_deref());
            assert_eq!(zones, [Some("az1"), Some("az2")]);
        }

        let member = async |client: &Client| {
            let options = ConsumerOptions::new("group", vec![Subscription::from_tags("shared", "*")]);
            Consumer::start(client.clone(), options).await.unwrap()
        };
        let staying = member(&first).await;
        share(&first, &brokers, "10.0.0.1@7", 2 * QUEUES).await;
        let leaving = member(&second).await;
        assert_eq!(share(&first, &brokers, "10.0.0.1@7", QUEUES).await, pulled("broker-a", &[0, 1, 2, 3]));
        assert_eq!(share(&first, &brokers, "10.1.0.1@7", QUEUES).await, pulled("broker-b", &[0, 1, 2, 3]));
        // As if it was killed: its connections end, and it says nothing.
        let killed = Instant::now();
        drop((leaving, second));
        share(&first, &brokers, "10.0.0.1@7", 2 * QUEUES).await;
        assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());

        for broker in &brokers {
            let (topic, consumer_group) = ("shared".to_owned(), "group".to_owned());
            let pop = RequestModeConfig { topic, consumer_group, mode: RequestMode::Pop, pop_share_queue_num: 0 };
            first.set_request_mode(broker, &pop).await.unwrap();
        }
        let popped = ["broker-a", "broker-b"].map(|broker| (broker.to_owned(), -1, RequestMode::Pop));
        assert_eq!(share(&first, &brokers, "10.0.0.1@7", 2).await, popped);

        let wipe = async |code, count| {
            let write = |ext: &mut gantry_protocol::frame::FrameWriter<'_, '_>| _ = ext.ext("brokerName", "broker-a");
            let answer = first.request(&name_servers[0], code, write, b"", PATIENCE).await.unwrap();
            let header = answer.header().unwrap();
            assert!(header.code == 0 && header.ext.number::<u32>(count).unwrap() >= 1, "{:?}", header.remark);
            first.publish_queues("shared").await.unwrap().len()
        };
        assert_eq!(wipe(WIPE_WRITE_PERM_OF_BROKER, "wipeTopicCount").await, QUEUES);
        assert_eq!(first.subscribe_queues("shared").await.unwrap().len(), 2 * QUEUES, "consumers see no change");
        assert_eq!(wipe(ADD_WRITE_PERM_OF_BROKER, "addTopicCount").await, 2 * QUEUES);
        drop(staying);
    });
    // How a group consumes outlives a restart.
    assert_eq!(two.terminate(), Some(0));
    let two = Node::of_cluster(&file, "two");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = client(&name_servers[1], "10.0.0.1@7");
        let brokers = masters(&client).await;
        let options = ConsumerOptions::new("group", vec![Subscription::from_tags("shared", "*")]);
        let _member = Consumer::start(client.clone(), options).await.unwrap();
        let share = share(&client, &brokers, "10.0.0.1@7", 2).await;
        assert!(share.iter().all(|(_, queue, mode)| (*queue, *mode) == (-1, RequestMode::Pop)), "{share:?}");
    });
    assert_eq!((one.terminate(), two.terminate()), (Some(0), Some(0)));
}

/// Queues and routes are decided about as RocketMQ has it until the plugin is there.
#[test]
fn a_balancer_whose_plugin_is_not_there_leaves_everything_to_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.toml");
    let text = "[[plugin]]\nname='p'\nfile='p.wasm'\nworld='queue-balancer'\n\
                [[balancer]]\ntopic='orders'\nplugin='p'\ndecides=['select-queue', 'route']\n";
    fs::write(&file, text).unwrap();
    let node = Node::start(folder.path(), &["--config", file.to_str().unwrap()]);
    let balance = node.status()["brokers"][0]["balance"].clone();
    assert_eq!((&balance["select_asked"], &balance["assign_faults"]), (&0.into(), &0.into()), "{balance}");
    assert_eq!(node.terminate(), Some(0));
    let said = fs::read_to_string(folder.path().join("node.log")).unwrap();
    assert!(said.contains("plugin refused, nothing serves its bindings: the file cannot be read"), "{said}");
}
