//! The shared vectors on this crate's cloud.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use aws_config::SdkConfig;
use slowlane_aws_simulator::cloud::dynamodb::TableSettings;
use slowlane_aws_simulator::cloud::sqs::{QueueSettings, Redrive};
use slowlane_aws_simulator::cloud::tokens::{Ended, Token};
use slowlane_aws_simulator::cloud::{Cloud, CloudSettings, Task, Waited};
use slowlane_aws_simulator::time::{Skew, in_virtual_time};
use slowlane_aws_simulator::transcript::Caller;
use slowlane_aws_simulator::vectors::{NewQueue, Place, Server, Vector, judge, observe, page};

struct Simulated {
    cloud: Cloud,
    sdk: SdkConfig,
    /// Tasks by token, until somebody asks for their end.
    tasks: RefCell<HashMap<String, (Task, Duration)>>,
}

impl Place for Simulated {
    fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    async fn create_queue(&self, queue: NewQueue<'_>) -> String {
        let redrive = queue.redrive.map(|(dead, max_receive_count)| {
            let name = dead.rsplit('/').next().unwrap();
            Redrive { to: self.cloud.state().sqs.named(name).unwrap(), max_receive_count }
        });
        self.cloud.create_queue(QueueSettings {
            name: queue.name.to_owned(),
            visibility: Duration::from_secs(queue.visibility_secs.into()),
            redrive,
            retention: Duration::from_secs(345_600),
        });
        format!("https://sqs.us-east-1.amazonaws.com/000000000000/{}", queue.name)
    }

    async fn create_table(&self, name: &str) {
        self.cloud.state().dynamo.create(TableSettings {
            name: name.to_owned(),
            key: "id".to_owned(),
            ttl: None,
        });
    }

    async fn begin_task(&self, timeout: Duration) -> String {
        let task = self.cloud.begin_task();
        let token = task.token().to_string();
        self.tasks.borrow_mut().insert(token.clone(), (task, timeout));
        token
    }

    async fn stop(&self, token: &str) {
        let token: Token = token.parse().unwrap();
        self.cloud.state().stop(token, self.cloud.now());
    }

    async fn end_of(&self, token: &str) -> String {
        let (task, timeout) = self.tasks.borrow_mut().remove(token).unwrap();
        match self.cloud.wait_for(task, timeout).await {
            Waited::Ended(Ended::Succeeded(output)) => format!("succeeded {output}"),
            Waited::Ended(Ended::Failed { error, .. }) => format!("failed {error}"),
            Waited::TimedOut => "timed out".to_owned(),
            Waited::Stopped => "stopped".to_owned(),
        }
    }

    /// The simulated cloud has acted on a callback when it answers.
    async fn until_acted_on(&self, _token: &str) {}
}

fn seen() -> Vec<Vector> {
    in_virtual_time(async {
        let cloud = Cloud::new(CloudSettings::new(1));
        let sdk = cloud.sdk(Caller::Person, Skew::NONE);
        observe(&Simulated { cloud, sdk, tasks: RefCell::default() }).await
    })
    .unwrap()
}

#[test]
fn the_simulated_cloud_answers_as_aws_documents_say() {
    assert_eq!(judge(Server::Simulator, &seen()), Vec::<String>::new());
}

#[test]
fn the_page_of_vectors_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/vectors.md");
    let page = page(&seen());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "UPDATE_DOCS=1 cargo test -p slowlane-aws-simulator --test vectors");
}
